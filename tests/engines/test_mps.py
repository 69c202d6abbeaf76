"""With a stand-in for NVIDIA's control program, which writes down what it is told."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from archsearch.engines import mps
from archsearch.training.setup import WorkerSetup

SHARED = (WorkerSetup(gpu="0", gpu_share=0.5),) * 2
CONTROL = """#!/bin/sh
if [ "$1" = -d ]; then echo "start $CUDA_MPS_PIPE_DIRECTORY$CUDA_VISIBLE_DEVICES" >>{told}; {start}
else while read -r line; do echo "$line" >>{told}; done; {end}
fi
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    return install(tmp_path, monkeypatch)


def install(folder: Path, monkeypatch, *, start="", probe="", end="") -> Path:
    told = folder / "told"
    program = folder / mps.CONTROL
    program.write_text(CONTROL.format(told=told, start=start, end=end))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setattr(mps, "_OTHERS", folder / "nobody")
    monkeypatch.setattr(mps, "_PROBE", probe)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return told


def wait_for(condition) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end, "it does not come"
        time.sleep(0.02)


def test_it_runs_from_start_to_close(told, tmp_path):
    service = mps.start(SHARED, tmp_path / "log")
    assert service is not None
    assert told.read_text() == f"start {service.folder}\n"
    assert Path(service.folder).is_dir()
    service.close()
    assert told.read_text().splitlines()[1].startswith("quit")
    assert not Path(service.folder).exists()


def test_one_that_does_not_end_is_left_to_itself_and_leaves_no_process_of_ours(
    tmp_path, monkeypatch
):
    install(tmp_path, monkeypatch, end="sleep 600")
    monkeypatch.setattr(mps, "_SERVE", mps._SERVE.replace("timeout 5 ", "timeout 1 "))
    service = mps.start(SHARED, tmp_path / "log")
    assert service is not None
    began, group = time.monotonic(), service._process.pid
    service.close()
    assert time.monotonic() - began < 300  # not as long as it would take
    assert service._process.returncode is not None
    wait_for(lambda: not processes_of(group))
    assert not Path(service.folder).exists()


def processes_of(group: int) -> list[int]:
    alive = (process.pid for process in psutil.process_iter())
    return [pid for pid in alive if with_group(pid) == group]


def with_group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None


def test_workers_are_told_where_it_listens(monkeypatch):
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "")
    code = (
        "from archsearch.training.setup import WorkerSetup; import os;"
        "WorkerSetup(gpu='0', mps='/here').apply(); print(os.environ['CUDA_MPS_PIPE_DIRECTORY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "/here"


def test_it_ends_with_the_process_that_started_it_however_that_ends(told, tmp_path):
    code = (
        "import os, signal; from pathlib import Path; from archsearch.engines import mps;"
        "from archsearch.training.setup import WorkerSetup;"
        f"mps._OTHERS = Path({str(tmp_path / 'nobody')!r}); mps._PROBE = '';"
        f"s = mps.start((WorkerSetup(gpu='0'),) * 2, Path({str(tmp_path / 'log')!r}));"
        "print(s.folder, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    wait_for(lambda: "quit" in told.read_text())
    wait_for(lambda: not Path(done.stdout.strip()).exists())


@pytest.mark.parametrize(
    "setups",
    [
        (WorkerSetup(),) * 2,
        (WorkerSetup(gpu="0"),),
        (WorkerSetup(gpu="0"), WorkerSetup(gpu="1")),
    ],
    ids=["no GPU", "one worker", "a GPU each"],
)
def test_who_shares_no_gpu_needs_none(setups, told, tmp_path):
    assert mps.start(setups, tmp_path / "log") is None
    assert not told.exists()


def test_one_that_is_there_is_left_alone(told, tmp_path, monkeypatch):
    (tmp_path / "nobody").mkdir()
    assert mps.start(SHARED, tmp_path / "log") is None
    (tmp_path / "nobody").rmdir()
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/theirs")
    assert mps.start(SHARED, tmp_path / "log") is None
    assert not told.exists()


def test_without_the_program_workers_take_turns(tmp_path, monkeypatch):
    monkeypatch.setattr(mps, "_OTHERS", tmp_path / "nobody")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert mps.start(SHARED, tmp_path / "log") is None


@pytest.mark.parametrize(
    ("start", "probe"),
    [
        ("echo no driver >&2; exit 3", ""),
        ("sleep 60", ""),
        ("", "raise SystemExit('CUDA error 805')"),
    ],
    ids=["does not start", "hangs", "no process gets through"],
)
def test_one_that_does_not_work_is_given_up(start, probe, tmp_path, monkeypatch, caplog):
    install(tmp_path, monkeypatch, start=start, probe=probe)
    monkeypatch.setattr(mps, "_SERVE", mps._SERVE.replace("timeout 20 ", "timeout 1 "))
    assert mps.start(SHARED, tmp_path / "log") is None
    assert "take turns on the GPU" in caplog.text
    assert not list(tmp_path.glob("archsearch-mps-*"))
