"""What hits every network alike: it stops a study, is no network's result, and `resume` goes on."""

import errno
import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import ArchsearchError, MachineError
from archsearch.report.results import ending, leaderboard
from archsearch.report.tables import show
from archsearch.study import catalogue
from archsearch.testing.fake_engine import FakeEngine
from archsearch.training.job import Job, Outcome, WorkerLost
from tests.bench import table
from tests.small_study import NAME, TRAIN, Small

pytestmark = pytest.mark.usefixtures("studies_in_memory")


class Failing(FakeEngine):
    """Some jobs fail after their first epoch, of a cause."""

    def __init__(self, workers: int, keys: tuple[str, ...], cause: str = "machine") -> None:
        reason = "OSError: [Errno 28] No space left on device"
        super().__init__(workers, train_images=TRAIN, failures=dict.fromkeys(keys, reason))
        self.cause = cause

    def _end(self, job: Job, outcome: Outcome) -> Outcome:
        failed = outcome.status == "failed"
        return super()._end(job, replace(outcome, cause=self.cause) if failed else outcome)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory):
    return Small(tmp_path_factory.mktemp("calm")).run()


@pytest.mark.parametrize("key", ["trial-0001", "final"])
def test_a_full_disk_stops_the_study_and_stays_open(tmp_path: Path, calm, key: str):
    keys = (key,) if key.startswith("trial") else tuple(_finals(calm))
    world = Small(tmp_path / "home", engine=lambda n, folder: Failing(n, keys))
    with pytest.raises(MachineError, match="No space left on device") as error:
        world.run()
    home = world.home
    assert f"`archsearch resume {NAME} --home {home}` goes on from here" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.status == 1
    [summary] = catalogue.list_studies(home=home)
    assert summary.status == "interrupted"
    stopped = catalogue.load_result(NAME, home=home)
    assert all(row.status != "failed" and not row.lost for row in stopped.rows)
    again = Small(home)
    assert table(again.resume()) == table(calm)


def _finals(result) -> list[str]:
    numbers = [row.name.removeprefix("trial-") for row in result.rows if row.final_val]
    return [f"final-{number}-seed{seed}" for number in numbers for seed in (1, 2)]


def test_a_finalist_that_failed_by_itself_is_named(tmp_path: Path, calm, capsys):
    best = calm.winner.name.removeprefix("trial-")
    keys = tuple(f"final-{best}-seed{seed}" for seed in range(1, 9))
    world = Small(tmp_path / "home", engine=lambda n, folder: Failing(n, keys, "network"))
    result = world.run()
    assert result.winner is not None
    assert result.winner.name != calm.winner.name
    label = calm.winner.label
    (line,) = result.lost
    told = re.match(rf"{re.escape(label)}: (\d retrainings?) of \d failed \(OSError", line)
    assert told
    show(leaderboard(result))
    above = " ".join(capsys.readouterr().out.split())
    assert told[1] in above
    show(*ending(result, home=world.home))
    below = " ".join(capsys.readouterr().out.split())
    assert below.index("Best: ") < below.index(told[1])


def test_one_seed_of_the_winner_that_failed_is_named(tmp_path: Path, calm):
    best = calm.winner.name.removeprefix("trial-")
    keys = (f"final-{best}-seed2",)
    result = Small(tmp_path / "home", engine=lambda n, folder: Failing(n, keys, "network")).run()
    assert any("1 retraining of 2 failed" in line for line in result.lost)


def test_no_finalist_at_all_gives_the_finalists_reason(tmp_path: Path, calm):
    keys = tuple(f"final-{n:04d}-seed{seed}" for n in range(4) for seed in (1, 2))
    world = Small(tmp_path / "home", engine=lambda n, folder: Failing(n, keys, "network"))
    with pytest.raises(ArchsearchError, match=r"no finalist trained .* the last said: OSError"):
        world.run()


class Dying(FakeEngine):
    """Says once, after the first report, that a worker was lost on the way."""

    told = False

    def events(self, timeout_s):
        found = super().events(timeout_s)
        if self.submitted and not self.told:
            self.told = True
            return [*found, WorkerLost(why="worker died: signal 9", key="trial-0000")]
        return found


def test_a_worker_that_died_is_told(tmp_path: Path, calm):
    world = Small(tmp_path / "home", engine=lambda n, folder: Dying(n, train_images=TRAIN))
    assert table(world.run()) == table(calm)
    assert world.said == ["trial-0000: worker died: signal 9; another worker goes on with it"]


class Marked(FakeEngine):
    def _end(self, job: Job, outcome: Outcome) -> Outcome:
        return super()._end(job, replace(outcome, worker_lost="worker died: signal 9"))


def test_a_run_has_the_tag_of_the_worker_that_died(tmp_path: Path):
    world = Small(tmp_path, engine=lambda n, folder: Marked(n, train_images=TRAIN))
    world.run()
    (tracker,) = world.trackers
    assert {run.tags["worker_lost"] for run in tracker.trials.values()} == {"worker died: signal 9"}


def test_workers_that_start_no_more_leave_the_study_open(tmp_path: Path, calm, toys):
    class Lost(FakeEngine):
        def events(self, timeout_s):
            if len(self.submitted) > 3:
                raise MachineError("worker processes do not start: no CUDA-capable device")
            return super().events(timeout_s)

    world = Small(tmp_path / "home", engine=lambda n, folder: Lost(n, train_images=TRAIN))
    with pytest.raises(MachineError, match=r"no CUDA-capable device; .*archsearch resume"):
        world.run()
    assert table(Small(world.home).resume()) == table(calm)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_driver_that_cannot_write_its_folder_says_so(
    tmp_path: Path, calm, monkeypatch, number: int
):
    real = StudyFolder.add_epoch

    def add_epoch(self, report):
        if report.key == "trial-0002":
            raise OSError(number, os.strerror(number), "epochs/trial-0002.jsonl")
        real(self, report)

    monkeypatch.setattr(StudyFolder, "add_epoch", add_epoch)
    world = Small(tmp_path / "home")
    with pytest.raises(MachineError) as error:
        world.run()
    text = str(error.value)
    assert text.startswith(f"epochs/trial-0002.jsonl: {os.strerror(number)}; when that is mended")
    monkeypatch.undo()
    assert table(Small(world.home).resume()) == table(calm)


def test_an_export_that_failed_costs_neither_table_nor_winner(tmp_path: Path, calm):
    def export(store, folder, gauge):
        raise ArchsearchError("the process that measures and exports died: signal 9 (SIGKILL)")

    world = Small(tmp_path / "home", export=export)
    result = world.run()
    assert (result.status, result.winner.name) == ("complete", calm.winner.name)
    (said,) = world.said
    assert "signal 9 (SIGKILL)" in said
    assert said.endswith(f"`archsearch export {NAME} --home {world.home}` tries again")
