"""What every engine does, as tests: subclass `EngineCase` to hold an engine of your own to it."""

import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import ClassVar, Final

import pytest

from archsearch.engines.engine import Engine, EngineKind, Machine, Message
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup

FAILING: Final = "trial-9999"
"""Key of every job that fails or kills its worker, and of no other."""
_LONG: Final = 1000
"""Epochs of a job that is still under way whenever it is stopped."""
_LEAST_BYTES: Final = 10_000_000
_MOST_BYTES: Final = 10**15


class EngineCase:
    """The contract of `Engine`, as tests that pytest finds in a subclass.

    class TestMine(EngineCase):
        kind = MY_ENGINE

        def job(self, key, epochs):
            return Job(key=key, …)

    Attributes:
        kind: opens the engine, and answers for its machine.
        patience_s: seconds after which what has not come is taken for lost.
    """

    kind: ClassVar[EngineKind]
    patience_s: ClassVar[float] = 120.0

    def job(self, key: str, epochs: int) -> Job:
        """Return a job of so many epochs, of 1 or of 1000, that the engine can run; no checkpoint."""
        raise NotImplementedError

    def failing(self) -> Job:
        """Return a job that fails, its network being none, say; its key is FAILING."""
        return replace(self.job(FAILING, 1), graph="{}")

    def deadly(self) -> Job | None:
        """Return a job whose worker dies of it, its key is FAILING; None where none can be made to."""
        return None

    def open(self, workers: int, folder: Path) -> Engine:
        """Return an engine of so many workers."""
        return self.kind.open(
            [WorkerSetup()] * workers, home=folder, folder=folder / "s" / "workers"
        )

    def machine(self, home: Path) -> Machine:
        """Return what the engine says of its machine."""
        return self.kind.machine(home)

    def processes(self, engine: Engine) -> Collection[int]:
        """Return the ids of its worker processes on this machine, if it has any."""
        return ()

    @contextmanager
    def opened(self, workers: int, folder: Path) -> Iterator["Watched"]:
        """Give an engine whose messages are watched, and close it."""
        engine = self.open(workers, folder)
        with closing(engine):
            yield Watched(engine, self.patience_s)

    # --- what becomes of jobs -----------------------------------------------------------------------

    def test_every_job_ends_once_after_all_its_epochs(self, tmp_path: Path) -> None:
        with self.opened(2, tmp_path) as watched:
            wanted = {f"trial-{number:04d}": 1 + number % 3 for number in range(5)}
            for key, epochs in wanted.items():
                watched.engine.submit(self.job(key, epochs))
            watched.until_ended(*wanted)
            watched.nothing_more()
            for key, epochs in wanted.items():
                outcome = watched.outcomes[key]
                assert (outcome.status, outcome.epochs) == ("complete", epochs), outcome
                assert watched.epochs(key) == list(range(1, epochs + 1))

    def test_images_are_counted(self, tmp_path: Path) -> None:
        """In every report, and in the outcome: what a training cost is known from them alone."""
        with self.opened(1, tmp_path) as watched:
            job = self.job("trial-0000", 3)
            watched.engine.submit(job)
            watched.until_ended(job.key)
            seen = [report.images for report in watched.reports(job.key)]
            assert 0 < seen[0] < seen[1] < seen[2] == job.images
            assert watched.outcomes[job.key].images == job.images

    def test_a_job_that_fails_costs_no_other(self, tmp_path: Path) -> None:
        with self.opened(1, tmp_path) as watched:
            watched.engine.submit(self.failing())
            watched.engine.submit(self.job("trial-0001", 1))
            watched.until_ended(FAILING, "trial-0001")
            self._check_failure(watched)

    def test_a_worker_that_dies_costs_one_job(self, tmp_path: Path) -> None:
        deadly = self.deadly()
        if deadly is None:
            return
        with self.opened(1, tmp_path) as watched:
            watched.engine.submit(deadly)
            watched.engine.submit(self.job("trial-0001", 1))
            watched.until_ended(FAILING, "trial-0001")
            self._check_failure(watched)

    def _check_failure(self, watched: "Watched") -> None:
        watched.nothing_more()
        outcome = watched.outcomes[FAILING]
        assert outcome.status == "failed"
        assert outcome.reason, "a failure says why"
        assert "\n" not in outcome.reason, "in one line"
        assert watched.outcomes["trial-0001"].status == "complete"

    def test_no_more_train_than_there_are_workers_and_the_others_wait_in_order(
        self, tmp_path: Path
    ) -> None:
        with self.opened(2, tmp_path) as watched:
            assert watched.engine.workers == 2
            keys = [f"trial-{number:04d}" for number in range(4)]
            for key in keys:
                watched.engine.submit(self.job(key, _LONG))
            for number in range(2):  # each that ends makes room for the one that has waited longest
                watched.until_reported(*keys[: number + 2])
                assert not any(watched.epochs(key) for key in keys[number + 2 :])
                watched.engine.stop(keys[number])
                watched.until_ended(keys[number])
                assert watched.outcomes[keys[number]].status == "pruned"
            watched.until_reported(*keys)

    # --- keys and stopping ----------------------------------------------------------------------------

    def test_a_key_that_is_under_way_is_refused(self, tmp_path: Path) -> None:
        with self.opened(1, tmp_path) as watched:
            for key in ("trial-0000", "trial-0001"):
                watched.engine.submit(self.job(key, _LONG))
            watched.until_reported("trial-0000")
            for key in ("trial-0000", "trial-0001"):  # one trains, one waits
                with pytest.raises(ValueError, match=key):
                    watched.engine.submit(self.job(key, 1))
            for key in ("trial-0001", "trial-0000"):
                watched.engine.stop(key)
            watched.until_ended("trial-0000", "trial-0001")
            watched.nothing_more()

    def test_a_job_is_stopped_after_the_epoch_it_is_in(self, tmp_path: Path) -> None:
        with self.opened(1, tmp_path) as watched:
            watched.engine.submit(self.job("trial-0000", _LONG))
            watched.until_reported("trial-0000")
            watched.engine.stop("trial-0000")
            watched.engine.stop("trial-0000")
            watched.until_ended("trial-0000")
            watched.nothing_more()
            outcome, last = watched.outcomes["trial-0000"], watched.reports("trial-0000")[-1]
            assert outcome.status == "pruned"
            assert (outcome.epochs, outcome.images) == (last.epoch, last.images)
            assert outcome.epochs < _LONG

    def test_a_job_that_waits_is_stopped_at_once(self, tmp_path: Path) -> None:
        with self.opened(1, tmp_path) as watched:
            for key in ("trial-0000", "trial-0001", "trial-0002"):
                watched.engine.submit(self.job(key, _LONG))
            watched.until_reported("trial-0000")
            watched.engine.stop("trial-0001")
            watched.until_ended("trial-0001")
            assert set(watched.outcomes) == {"trial-0001"}, "it does not wait for others"
            outcome = watched.outcomes["trial-0001"]
            assert (outcome.status, outcome.epochs, outcome.images) == ("pruned", 0, 0)
            watched.engine.stop("trial-0000")
            watched.until_reported("trial-0002")
            assert watched.epochs("trial-0001") == []

    def test_stopping_what_is_not_under_way_does_nothing(self, tmp_path: Path) -> None:
        """Neither now, nor to a later job of that key."""
        with self.opened(1, tmp_path) as watched:
            watched.engine.stop("nobody")
            watched.engine.submit(self.job("trial-0000", 2))
            watched.until_ended("trial-0000")
            watched.engine.stop("trial-0000")
            watched.nothing_more()
            watched.forget()
            for key in ("trial-0000", "nobody"):
                watched.engine.submit(self.job(key, 2))
            watched.until_ended("trial-0000", "nobody")
            assert {o.status for o in watched.outcomes.values()} == {"complete"}

    # --- waiting and ending -----------------------------------------------------------------------------

    def test_it_waits_no_longer_than_asked_for(self, tmp_path: Path) -> None:
        with self.opened(1, tmp_path) as watched:
            assert list(watched.engine.events(0.01)) == []
            watched.engine.submit(self.job("trial-0000", _LONG))
            watched.until_reported("trial-0000")
            began_s = time.monotonic()
            for _ in range(5):
                watched.hear(0.0)
            assert time.monotonic() - began_s < self.patience_s

    def test_closed_it_leaves_nothing_running(self, tmp_path: Path) -> None:
        import psutil

        engine = self.open(2, tmp_path)
        for number in range(3):
            engine.submit(self.job(f"trial-{number:04d}", _LONG))
        Watched(engine, self.patience_s).until_reported("trial-0000")
        processes = list(self.processes(engine))
        engine.close()
        engine.close()
        assert [number for number in processes if psutil.pid_exists(number)] == []

    def test_it_answers_for_its_machine(self, tmp_path: Path) -> None:
        machine = self.machine(tmp_path)
        assert machine.cores >= 1
        assert _LEAST_BYTES < machine.memory_bytes < _MOST_BYTES
        assert len(set(machine.gpus)) == len(machine.gpus)
        if machine.gpu_memory_bytes is not None:
            assert machine.gpus
            assert _LEAST_BYTES < machine.gpu_memory_bytes < _MOST_BYTES


class Watched:
    """An engine and what it has said; each message is held to the contract as it comes.

    Attributes:
        outcomes: by key.
    """

    def __init__(self, engine: Engine, patience_s: float) -> None:
        self.engine = engine
        self.outcomes: dict[str, Outcome] = {}
        self._reports: dict[str, list[EpochReport]] = {}
        self._again: set[str] = set()
        self._patience_s = patience_s

    def reports(self, key: str) -> Sequence[EpochReport]:
        """Return a job's reports so far."""
        return self._reports.get(key, [])

    def epochs(self, key: str) -> list[int]:
        """Return the epochs a job has reported so far."""
        return [report.epoch for report in self.reports(key)]

    def until_ended(self, *keys: str) -> None:
        """Listen until these jobs have ended."""
        self._until(lambda: [key for key in keys if key not in self.outcomes], "ended")

    def until_reported(self, *keys: str) -> None:
        """Listen until these jobs have reported an epoch."""
        self._until(lambda: [key for key in keys if not self.epochs(key)], "reported an epoch")

    def nothing_more(self) -> None:
        """Check that it has nothing more to say, no job being left."""
        for _ in range(3):
            assert list(self.engine.events(0.05)) == [], "no job is left, but there is a message"

    def forget(self) -> None:
        """Forget what it has said: the same keys come again."""
        self.outcomes.clear()
        self._reports.clear()
        self._again.clear()

    def hear(self, timeout_s: float) -> None:
        """Listen once."""
        for message in self.engine.events(timeout_s):
            self._take(message)

    def _take(self, message: Message) -> None:
        key = message.key
        assert key not in self.outcomes, f"a message after the outcome of {key}: {message}"
        if isinstance(message, Outcome):
            self.outcomes[key] = message
            return
        if isinstance(message, WorkerLost):
            self._again.add(key)
            return
        before = self.epochs(key)
        if key in self._again and message.epoch <= len(before):
            return  # another worker goes on from an earlier epoch
        assert message.epoch == len(before) + 1, f"epoch {message.epoch} of {key} after {before}"
        self._reports.setdefault(key, []).append(message)

    def _until(self, missing: Callable[[], list[str]], what: str) -> None:
        end_s = time.monotonic() + self._patience_s
        while missing():
            assert time.monotonic() < end_s, (
                f"{missing()} have not {what}; outcomes: {self.outcomes}"
            )
            self.hear(0.2)
