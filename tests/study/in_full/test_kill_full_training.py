"""A real full training whose driver is killed: taken up, it comes to the same figures, to the last bit."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.images import write_three
from tests.real_runs import BACKEND, CLI, UNMEASURED

pytestmark = [pytest.mark.faults, pytest.mark.keras]

NAME = "killed"
TWICE = ["seed1: epoch 2/4", "seed2: epoch 3/4"]
TIMES = {"wall_s", "images_per_s"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_three(tmp_path_factory.mktemp("data") / "three.npz", side=32)


@contextlib.contextmanager
def started(*arguments: str):
    driver = subprocess.Popen(
        [*UNMEASURED, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        process_group=0,
    )  # fmt: skip
    try:
        yield driver
    finally:
        with contextlib.suppress(ProcessLookupError):
            driver.kill()
        driver.wait()
        driver.stdout.close()


def train(home: Path, data: Path, *more: str):
    flags = (
        "--data", data, "--epochs", 4, "--workers", 1, "--batch-size", 16, "--name", NAME,
        "--on", "train+val", "--home", home, *more,
    )  # fmt: skip
    return started("train", "lenet5", "--no-export", *map(str, flags))


def figures(home: Path) -> tuple[object, ...]:
    study = home / "studies" / NAME
    told = subprocess.run(
        [*CLI, "leaderboard", NAME, "--json", "--home", str(home)], capture_output=True, check=True
    )
    table = json.loads(told.stdout)
    rows = [{k: v for k, v in row.items() if "latency" not in k} for row in table["rows"]]
    epochs = [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for path in sorted((study / "epochs").glob("*.jsonl"))
        for line in path.read_text().splitlines()
    ]
    weights = {
        path.name: [array.tobytes() for array in np.load(path).values()]
        for path in (study / "weights").iterdir()
    }
    return rows, table["status"], table["best_key"], epochs, weights


# The others are four whole runs each: killed twice, by the default backend and as a team of processes.
# In the quick run tests/training/test_team.py kills a team, and
# tests/study/in_full/test_full_training.py goes on within the second seed.
@pytest.mark.parametrize(
    ("more", "kills"),
    [
        # A kill of the search's trainings is in the quick run (tests/study/test_kill_training.py).
        pytest.param(
            ("--backend", BACKEND, "--seeds", "1"), ["seed1: epoch 2/4"], marks=pytest.mark.slow
        ),
        pytest.param(("--seeds", "2"), TWICE, marks=pytest.mark.slow),
        pytest.param(
            ("--seeds", "2", "--devices", "2", "--backend", "torch"), TWICE, marks=pytest.mark.slow
        ),
    ],
    ids=["once", "twice", "a team, twice"],
)
def test_killed_in_the_middle_and_taken_up(more, kills, data, tmp_path, empty_store):
    if "--devices" in more:
        pytest.importorskip("torch")
        if (os.cpu_count() or 1) < 2:
            pytest.skip("two processes need two cores")
    home = tmp_path / "killed"
    for place in (tmp_path / "calm", home):
        place.mkdir()
        shutil.copy(empty_store, place / "mlflow.db")
    with train(tmp_path / "calm", data, *more) as driver:
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
    # The validation images were trained on: nobody looked at how it does on them.
    assert " val " not in re.sub(r"\d+ train, \d+ val, \d+ test", "", said)
    for line_of in kills:
        begun = (home / "studies" / NAME / "run.toml").exists()
        again = started("resume", NAME, "--home", str(home)) if begun else train(home, data, *more)
        with again as driver:
            lines = []
            for line in driver.stdout:
                lines.append(line)
                if line_of in line:
                    break
            else:
                raise AssertionError(f"{line_of} was never said: {lines}")
            workers = psutil.Process(driver.pid).children(recursive=True)
            driver.send_signal(signal.SIGKILL)
            _, alive = psutil.wait_procs(workers, timeout=120)
            assert not alive
    with started("resume", NAME, "--home", str(home)) as driver:
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
    assert figures(home) == figures(tmp_path / "calm")
    assert figures(home)[2] == "final-lenet5-seed1"
