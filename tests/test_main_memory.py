"""Limits on memory, as the kernel writes them: control groups of version 1 and 2."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from archsearch.engines.local import LOCAL, LocalEngine
from archsearch.main_memory import Memory, main_memory, memory_kills
from archsearch.training.setup import WorkerSetup

MACHINE = Memory(64 * 2**30, 20 * 2**30)


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    facts = SimpleNamespace(total=MACHINE.total_bytes, available=MACHINE.free_bytes)
    monkeypatch.setattr("psutil.virtual_memory", lambda: facts)


def place(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def group(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "group"
    path.write_text(text)
    return path


def test_version_2_in_a_container(tmp_path: Path):
    # docker run --memory 4g: the container sees its own group as the root.
    used = 2**30
    stat = "anon 1\ninactive_file 536870912\nactive_file 5"
    place(tmp_path / "fs", memory__max=4 * 2**30, memory__current=used, memory__stat=stat)
    found = main_memory(mount=tmp_path / "fs", group=group(tmp_path, "0::/\n"))
    assert found == Memory(4 * 2**30, 4 * 2**30 - (used - 2**29))


def test_version_2_on_the_machine_itself(tmp_path: Path):
    # systemd-run --scope -p MemoryMax=3G: the limit is set on a group above the process's own.
    mount = tmp_path / "fs"
    place(mount / "user.slice", memory__max=3 * 2**30, memory__current=2**30, memory__stat="")
    place(mount / "user.slice" / "run-1.scope", memory__max="max", memory__current=5)
    found = main_memory(mount=mount, group=group(tmp_path, "0::/user.slice/run-1.scope\n"))
    assert found == Memory(3 * 2**30, 2 * 2**30)


def test_version_1(tmp_path: Path):
    # The host's path of the container's group is not there within it: the mount is the group's own.
    place(
        tmp_path / "fs" / "memory",
        memory__limit_in_bytes=4 * 2**30,
        memory__usage_in_bytes=2**30,
        memory__stat="cache 7\ntotal_inactive_file 1048576",
    )
    lines = "11:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/\n"
    found = main_memory(mount=tmp_path / "fs", group=group(tmp_path, lines))
    assert found == Memory(4 * 2**30, 3 * 2**30 + 2**20)


@pytest.mark.parametrize(
    ("limit", "lines"),
    [("max", "0::/\n"), (9223372036854771712, "4:memory:/\n"), (2**40, "0::/\n"), ("", "")],
)
def test_no_limit_leaves_the_machines_memory(tmp_path: Path, limit, lines):
    files = {
        "memory__max": limit, "memory__current": 5,
        "memory__limit_in_bytes": limit, "memory__usage_in_bytes": 5,
    }  # fmt: skip
    place(tmp_path / "fs", **files)
    place(tmp_path / "fs" / "memory", **files)
    assert main_memory(mount=tmp_path / "fs", group=group(tmp_path, lines)) == MACHINE
    assert main_memory(mount=tmp_path / "no", group=tmp_path / "no") == MACHINE


def test_the_plan_and_the_workers_keep_to_the_limit(tmp_path: Path, monkeypatch, toys):
    limit = Memory(4 * 2**30, 3 * 2**30)
    monkeypatch.setattr("archsearch.engines.local.main_memory", lambda: limit)
    assert LOCAL.machine(Path()).memory_bytes == 3 * 2**30
    engine = LocalEngine([WorkerSetup()] * 2, logs=tmp_path, main=toys.worker)
    try:
        assert engine._memory_bytes == 2**30  # half of it, shared between two
    finally:
        engine.close()


def test_processes_that_were_ended_for_their_memory_are_counted(tmp_path: Path):
    (tmp_path / "vmstat").write_text("pgmajfault 1031\noom_kill 3\nnuma_hit 4\n")
    assert memory_kills(tmp_path / "vmstat") == 3
    assert memory_kills(tmp_path / "no") == 0
    assert memory_kills() >= 0
