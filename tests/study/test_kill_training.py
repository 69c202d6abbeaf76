"""Real training in real workers, killed at any moment: what resumes ends like what was left alone."""

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.images import write_three
from tests.real_runs import BACKEND, CLI, UNMEASURED

pytestmark = [pytest.mark.faults, pytest.mark.keras]

STUDY = "killed"
EPOCHS = 3
TIMES = {"wall_s", "images_per_s"}


@dataclass
class Home:
    """Where a study is run, killed and taken up."""

    path: Path
    data: Path
    cli: list[str] = field(default_factory=CLI.copy)

    @property
    def study(self) -> Path:
        return self.path / "studies" / STUDY

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        command = [*self.cli, *arguments, "--home", str(self.path)]
        # A group of its own, as a terminal gives it one.
        driver = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, process_group=0
        )
        try:
            yield driver
        finally:
            with contextlib.suppress(ProcessLookupError):
                driver.kill()
            driver.wait()
            driver.stdout.close()

    def run(
        self, trials: int = 3, backend: str = "tensorflow", **more: str
    ) -> "contextlib.AbstractContextManager[subprocess.Popen[str]]":
        settings = {
            "space": "vgg", "flops": "3.5M", "data": self.data, "trials": trials, "name": STUDY,
            "epochs": EPOCHS, "seeds": 1, "batch-size": 16, "workers": 1, "finalists": 1,
            "backend": backend, **more,
        }  # fmt: skip
        flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
        return self.started("run", *flags, "--no-export")

    def resume(self) -> None:
        with self.started("resume", STUDY) as driver:
            said, _ = driver.communicate()
            assert driver.returncode == 0, said

    def checkpoints(self) -> list[str]:
        found = (self.study / "checkpoints").glob("*/*.npz")
        return sorted(f"{path.parent.name}/{path.name}" for path in found)

    def epochs(self) -> dict[str, list[dict[str, float]]]:
        return {
            path.stem: [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((self.study / "epochs").glob("*.jsonl"))
        }

    def result(self) -> tuple[object, ...]:
        """The table, and every epoch's figures to the last bit."""
        command = [*CLI, "leaderboard", STUDY, "--json", "--home", str(self.path)]
        table = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        figures = [
            {name: value for name, value in epoch.items() if name not in TIMES}
            for epochs in self.epochs().values()
            for epoch in epochs
        ]
        weights = {
            path.name: [array.tobytes() for array in np.load(path).values()]
            for path in (self.study / "weights").iterdir()
        }
        # Times are measured, and differ.
        rows = [
            {name: value for name, value in row.items() if "latency" not in name}
            for row in table["rows"]
        ]
        return rows, table["best_key"], table["status"], figures, weights

    def check_books(self) -> None:
        """Nothing is open in Optuna or MLflow, nothing is there twice."""
        optuna = _query(self.path / "optuna.db", "SELECT state FROM trials")
        assert {state for (state,) in optuna} == {"COMPLETE"}
        book = self.path / "mlflow.db"
        runs = _query(book, "SELECT status FROM runs")
        assert {status for (status,) in runs} == {"FINISHED"}
        level = "LEFT JOIN tags t ON t.run_uuid = r.run_uuid AND t.key = 'level'"
        names = _query(book, f"SELECT r.name, t.value FROM runs r {level}")
        assert len(names) == len(set(names))  # a network is called as the one training of it
        twice = "SELECT key FROM metrics GROUP BY run_uuid, key, step HAVING COUNT(*) > 1"
        again = {key for (key,) in _query(book, twice)}
        assert not again & {"loss", "val_loss", "accuracy", "learning_rate"}
        assert self.checkpoints() == []
        assert list((self.study / "checkpoints").iterdir()) == []


def _query(database: Path, query: str) -> list[tuple[object, ...]]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        return connection.execute(query).fetchall()


def wait_for(driver: "subprocess.Popen[str]", text: str) -> None:
    said = []
    for line in driver.stdout:
        said.append(line)
        if re.search(text, line):
            return
    raise AssertionError(f"{text!r} was never said: {said}")


def kill_at(driver: "subprocess.Popen[str]", text: str, delay_s: float = 0.0) -> None:
    """Kill the driver alone; its workers notice."""
    wait_for(driver, text)
    time.sleep(delay_s)
    workers = psutil.Process(driver.pid).children(recursive=True)
    assert workers
    driver.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=120)
    assert not alive


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_three(tmp_path_factory.mktemp("data") / "three.npz", side=12)


@pytest.fixture
def home(tmp_path: Path, data: Path) -> Home:
    return Home(tmp_path / "home", data)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, data: Path) -> tuple[object, ...]:
    home = Home(tmp_path_factory.mktemp("calm") / "home", data)
    with home.run() as driver:
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
    home.check_books()
    return home.result()


def test_a_killed_training_goes_on_from_its_last_epoch(home: Home, empty_store: Path):
    home.cli = UNMEASURED
    home.path.mkdir()
    shutil.copy(empty_store, home.path / "mlflow.db")
    with home.run(trials=1, backend=BACKEND) as driver:
        kill_at(driver, "trial-0000: epoch 2/3")
    before = home.epochs()["trial-0000"]
    assert home.checkpoints()[-1] == "trial-0000/epoch-000002.npz"
    home.resume()
    after = home.epochs()
    # Not trained again: the times, too, are those of the first time.
    assert after["trial-0000"][:2] == before[:2]
    assert [epoch["epoch"] for epoch in after["trial-0000"]] == [1, 2, 3]
    assert len(after) == 2
    home.check_books()


STALLING = {"trials": 1, "backend": "torch", "set": "recipe.base_lr=150"}


# In the quick run, tests/training/test_stalling.py stops at every epoch and tests/study/test_stalled.py
# kills drivers.
@pytest.mark.slow
def test_killed_in_a_second_try_it_goes_on_there(home: Home):
    with home.run(**STALLING) as driver:
        kill_at(driver, "trial-0000: epoch 1/3 of a second try")
    before = home.epochs()["trial-0000"]
    assert [(line["before"], line["epoch"]) for line in before] == [(0, 1), (0, 2), (0, 3), (3, 1)]
    assert home.checkpoints()[-1] == "trial-0000/epoch-000004.npz"
    home.resume()
    after = home.epochs()["trial-0000"]
    assert after[:4] == before
    assert [(line["before"], line["epoch"]) for line in after[4:]] == [(3, 2), (3, 3)]
    home.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("text", ["epoch 3/3  loss", "epoch 1/3 of a second", "stalled|complete"])
def test_killed_around_a_second_try_the_table_is_the_same(home: Home, data: Path, text: str):
    calm = Home(home.path.parent / "calm", data)
    with calm.run(**STALLING) as driver:
        driver.communicate()
    with home.run(**STALLING) as driver:
        kill_at(driver, f"trial-0000: ({text})", 0.05)
    home.resume()
    assert home.result() == calm.result()
    home.check_books()


@pytest.mark.slow
@pytest.mark.parametrize(
    "moments",
    [
        [("measuring how fast", 3.0)],
        [("trial-0000: .* starts", 0.0)],
        [("trial-0000: epoch 1/3", 0.0)],
        [("trial-0000: epoch 2/3", 0.15)],
        [("trial-0000: complete", 0.0)],
        [("trial-0001: epoch 1/3", 0.3)],
        [("trial-0002: epoch 2/3", 0.05)],
        [("trial-0002: (complete|pruned)", 0.02)],
        [("final-.*: epoch 1/3", 0.1)],
        [("final-0000-seed1: epoch 2/3", 0.0)],
        [("trial-0000: epoch 1/3", 0.1), ("trial-0001: epoch 2/3", 0.2), ("final-.* starts", 1.0)],
    ],
    ids=lambda moments: "+".join(f"{text} {delay_s}" for text, delay_s in moments),
)
def test_killed_anywhere_the_table_is_the_same(
    home: Home, moments: list[tuple[str, float]], undisturbed: tuple[object, ...]
):
    starts = [home.run(), *(home.started("resume", STUDY) for _ in moments[1:])]
    for start, moment in zip(starts, moments, strict=True):
        with start as driver:
            kill_at(driver, *moment)
    home.resume()
    assert home.result() == undisturbed
    home.check_books()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("times", [1, 2])
def test_asked_to_stop_it_ends_with_130_and_goes_on(
    home: Home, number: int, times: int, undisturbed: tuple[object, ...]
):
    with home.run() as driver:
        # Once: while it compiles, so that the epoch to be finished is the first of three.
        wait_for(driver, "trial-0001: .* starts" if times == 1 else "trial-0001: epoch 1/3")
        for _ in range(times):
            os.killpg(driver.pid, number)  # also the workers
            time.sleep(0.02)
        driver.communicate()
        assert driver.returncode == 130
    assert home.checkpoints()[-1].startswith("trial-0001/")
    states = _query(home.path / "optuna.db", "SELECT state FROM trials")
    assert {state for (state,) in states} == {"COMPLETE", "WAITING"}
    runs = _query(home.path / "mlflow.db", "SELECT status FROM runs")
    assert {status for (status,) in runs} == {"FINISHED", "KILLED"}
    home.resume()
    assert home.result() == undisturbed
    home.check_books()
