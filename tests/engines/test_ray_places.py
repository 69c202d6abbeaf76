"""Where workers are placed on a Ray cluster, what images bring and leave there: all without Ray."""

import os
from pathlib import Path

import numpy as np
import pytest

from archsearch.engines import ray_data
from archsearch.engines.engine import Machine
from archsearch.engines.ray_data import (
    checkpoints,
    facts_of,
    keep_checkpoint,
    local_copy,
    node_folder,
    scratch_folder,
    shipped,
)
from archsearch.engines.ray_places import Node, machine_of, places_of
from archsearch.engines.ray_worker import on_node
from archsearch.errors import MachineError, UserError
from archsearch.planning.sharing import worker_setups
from archsearch.training.setup import WorkerSetup


@pytest.fixture(autouse=True)
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


def test_a_machine_is_all_nodes():
    nodes = [Node(4, 1, 10**9), Node(8, 2, 10**9)]
    assert machine_of(nodes) == Machine(12, ("0", "1", "2"), 2 * 10**9)
    assert machine_of([]) == Machine(0)


def test_workers_that_share_a_gpu_stay_together():
    setups = worker_setups(4, cores=8, gpus=("0", "1"))
    places = places_of(setups, [Node(4, 1), Node(4, 1)])
    assert [(len(place.setups), place.cores, place.gpus) for place in places] == [(2, 4, 1)] * 2
    apart = places_of(worker_setups(3, cores=6, gpus=()), [Node(8)])
    assert [(len(place.setups), place.cores, place.gpus) for place in apart] == [(1, 2, 0)] * 3


def test_no_worker_asks_for_more_than_a_node_has():
    [place] = places_of([WorkerSetup(threads=12)], [Node(4), Node(8)])
    assert (place.cores, place.setups[0].threads) == (8, 8)
    [team] = places_of(
        [WorkerSetup(threads=4, devices=2, gpu="0", gpus=("0", "1"))], [Node(8, 4), Node(64)]
    )
    assert (team.cores, team.gpus, team.setups[0].threads) == (4, 2, 2)
    [unknown] = places_of([WorkerSetup(threads=4)], [])
    assert unknown.cores == 4
    with pytest.raises(UserError, match=r"--devices 2: no node of the Ray cluster has 2 GPUs"):
        places_of([WorkerSetup(devices=2, gpu="0", gpus=("0", "1"))], [Node(8, 1)])


def test_a_gpu_is_the_one_that_ray_gave(tmp_path: Path):
    shared = worker_setups(2, cores=2, gpus=("5",))
    assert [setup.gpu for setup in on_node(shared, "GPU-7a")] == ["GPU-7a"] * 2
    team = WorkerSetup(devices=2, gpu="0", gpus=("0", "1"))
    assert on_node([team], "3,2")[0].gpus == ("3", "2")
    assert on_node([WorkerSetup()], "")[0].gpu is None
    with pytest.raises(MachineError, match="Ray gave 0 GPUs where 1 are needed"):
        on_node(shared, "")


def test_compiled_programs_are_kept_where_the_node_can(tmp_path: Path):
    here = WorkerSetup(cache=str(tmp_path / "compiled"))
    assert on_node([here], "") == (here,)
    [moved] = on_node([WorkerSetup(cache="/not/here/compiled")], "")
    assert moved.cache == str(node_folder() / "compiled")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "dataset.json").write_text('{"digest": "1"}')
    (folder / "train.npy").write_bytes(bytes(range(250)))
    (folder / "none.npy").write_bytes(b"")
    monkeypatch.setattr(ray_data, "_PIECE_BYTES", 100)
    return folder


def test_images_are_brought_once_and_only_where_they_are_not(images: Path):
    facts, stored = facts_of(images), []

    def put(piece):
        stored.append(piece)
        return len(stored) - 1

    assert local_copy(images, facts, None) == images
    away = images.with_name("away")
    assert local_copy(away, facts, None) is None
    shipment = shipped(images, put=put, fetch=lambda number: stored[number])
    assert max(map(len, stored)) == 100
    copy = local_copy(away, facts, shipment)
    assert copy is not None
    assert {p.name: p.read_bytes() for p in copy.iterdir()} == {
        p.name: p.read_bytes() for p in images.iterdir()
    }
    stored.clear()  # what is there is not fetched again
    assert local_copy(away, facts, shipment) == local_copy(away, facts, None) == copy
    other = images.with_name("other")  # another dataset at the same place is not taken for this one
    other.mkdir()
    (other / "dataset.json").write_text('{"digest": "2"}')
    assert local_copy(other, facts, None) == copy


def test_images_that_break_off_are_not_there(images: Path):
    def broken(number):
        raise ConnectionError("the node is lost")

    shipment = shipped(images, put=lambda piece: 0, fetch=broken)
    away, facts = images.with_name("away"), facts_of(images)
    with pytest.raises(ConnectionError):
        local_copy(away, facts, shipment)
    assert local_copy(away, facts, None) is None
    assert [path.suffix for path in (node_folder() / "data").iterdir()] == [".lock"]


def test_images_that_nobody_has_asked_for_in_a_week_go_when_others_come(images: Path):
    shipment = shipped(images, put=np.copy, fetch=np.copy)
    old = local_copy(images.with_name("away"), "old", shipment)
    assert old is not None
    os.utime(old, (0, 0))
    new = local_copy(images.with_name("away"), "new", shipment)
    assert (old.exists(), new is not None and new.exists()) == (False, True)


def test_a_folder_of_somebody_else_is_not_used(temporary: Path):
    (temporary / f"archsearch-{os.getuid()}").symlink_to(temporary)
    with pytest.raises(MachineError, match="is not this user's folder; remove it, or set TMPDIR"):
        node_folder()


def test_what_killed_processes_left_goes():
    gone = node_folder() / f"work-{2**22 + 1}-0"
    gone.mkdir()
    mine, next_one = scratch_folder("work"), scratch_folder("work")
    assert mine != next_one
    assert not gone.exists()
    assert mine.exists()


def test_checkpoints_are_kept_whole_two_of_them_and_never_after_the_job(tmp_path: Path):
    folder = tmp_path / "job"
    keep_checkpoint(folder, "epoch-000001.npz", b"1")
    assert not folder.exists()
    folder.mkdir()
    for number in range(1, 5):
        keep_checkpoint(folder, f"epoch-{number:06d}.npz", str(number).encode())
    assert [path.read_bytes() for path in checkpoints(folder)] == [b"3", b"4"]
    assert len(list(folder.iterdir())) == 2
