"""A disk that is really full: studies that fill a small one, and what they come to with more room."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import MachineError
from archsearch.study import driver
from archsearch.study.events import EpochDone
from tests.bench import table
from tests.small_study import NAME, Small, settings_of

pytestmark = pytest.mark.faults


@contextmanager
def disk(place: Path, size: str) -> Iterator[Path]:
    """Mount a file system of a size, in memory."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    place.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(place)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def enlarge(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=500m", str(place)], check=True)


def fill(place: Path) -> Path:
    """Fill a disk to its last block; return the file that does."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    return ballast


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The table of the study on a disk that never is full."""
    return table(Small(tmp_path_factory.mktemp("calm")).run())


@pytest.mark.parametrize(("storage", "after"), [("on it", 1), ("on it", 14), ("elsewhere", 5)])
def test_it_is_full_in_the_middle_and_emptied_again(
    tmp_path: Path, storage: str, after: int, calm: list[Any]
):
    with disk(tmp_path / "disk", "4m") as place:
        world = Small(place / "home")
        url = None if storage == "on it" else f"sqlite:///{tmp_path}/elsewhere.db"
        epochs, ballast = 0, None

        def on_event(told) -> None:
            nonlocal epochs, ballast
            epochs += isinstance(told, EpochDone)
            if epochs == after and ballast is None:
                ballast = fill(place)

        asked = settings_of(world.home, storage=url)
        with pytest.raises(MachineError) as error:
            driver.run(asked, on_event=on_event, services=world.services())
        said = str(error.value)
        assert "No space left on device" in said or "database or disk is full" in said
        assert f"`archsearch resume {NAME} --home {world.home}` goes on from here" in said
        assert "\n" not in said
        ballast.unlink()
        assert table(Small(world.home).resume()) == calm


ASKED = "--space vgg --flops 4M --trials 3 --epochs 2 --finalists 1 --seeds 1 --no-export --name s"


def archsearch(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "archsearch", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def board(home: Path) -> list[tuple]:
    found = json.loads(archsearch("leaderboard", "s", "--json", "--home", str(home)).stdout)
    names = ("rank", "label", "status", "epochs", "val_accuracy", "final_val", "test", "winner")
    assert found["status"] == "complete"
    return [tuple(str(row[name]) for name in names) for row in found["rows"]]


@pytest.mark.slow
@pytest.mark.parametrize("what", ["all", "the study's folder"])
def test_real_trainings_fill_it(tmp_path: Path, what: str):
    calm, home = tmp_path / "calm", tmp_path / "home"
    assert archsearch("run", *ASKED.split(), "--home", str(calm)).returncode == 0
    more = [] if what == "all" else ["--storage", f"sqlite:///{tmp_path}/elsewhere.db"]
    # Room for the images and the storage, not for MLflow's runs; or for a training's checkpoint or two.
    place, size = (home, "2500k") if what == "all" else (home / "studies", "3m")
    with disk(place, size):
        run = archsearch("run", *ASKED.split(), *more, "--home", str(home))
        assert run.returncode == 1, run.stderr
        last = run.stderr.splitlines()[-1]
        assert last.startswith("archsearch: ")
        assert "full" in last or "No space left on device" in last
        assert "fault of archsearch" not in run.stderr
        assert "Traceback" not in run.stderr
        enlarge(place)
        again = archsearch("resume", "s", "--home", str(home))
        assert again.returncode == 0, again.stderr
        assert board(home) == board(calm)
