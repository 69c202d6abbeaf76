"""Our engines keep to the contract; those that do not are caught."""

import os
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from archsearch.engines.engine import Machine
from archsearch.engines.local import LOCAL, LocalEngine
from archsearch.engines.pool import Pool
from archsearch.engines.shared import SHARED
from archsearch.recipes.recipe import Recipe
from archsearch.testing.engine_case import FAILING, EngineCase
from archsearch.testing.fake_engine import FAKE, FakeEngine, FakeKind
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.setup import WorkerSetup
from tests.engines.test_shared import worker


def job(key: str, epochs: int, graph: str = "") -> Job:
    return Job(key=key, graph=graph, dataset="", recipe=Recipe(), images=epochs, seed=0)


class TestFake(EngineCase):
    kind = FAKE
    engine = FakeEngine

    def job(self, key, epochs):
        return job(key, epochs)

    def failing(self):
        return job(FAILING, 2)

    def open(self, workers, folder):
        failures = {FAILING: "loss became NaN"}
        return self.engine(workers, train_images=1, failures=failures, order=random.Random(0))


class TestLocal(EngineCase):
    kind = LOCAL

    @pytest.fixture(autouse=True)
    def _workers(self, toys: ModuleType) -> None:
        self.toys = toys

    def job(self, key, epochs):
        return job(key, epochs, "ok")

    def failing(self):
        return job(FAILING, 1, "fail")

    def deadly(self):
        return job(FAILING, 1, "kill")

    def open(self, workers, folder):
        return LocalEngine([WorkerSetup()] * workers, logs=folder, main=self.toys.worker)

    def processes(self, engine):
        return [worker.child.process.pid for worker in engine._workers]


class TestShared(EngineCase):
    """With one worker of its pool, which serves all tests and trains nothing."""

    kind = SHARED

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _worker(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        cls.home = tmp_path_factory.mktemp("home")
        with worker(cls.home, "one") as process:
            assert process.poll() is None
            yield

    def job(self, key, epochs):
        return job(key, epochs, "ok")

    def failing(self):
        return job(FAILING, 1, "fail")

    def deadly(self):
        return job(FAILING, 1, "kill")

    def open(self, workers, folder):
        return self.kind.open(
            [WorkerSetup()] * workers, home=self.home, folder=folder / "s" / "workers"
        )

    def machine(self, home):
        end = time.monotonic() + self.patience_s
        while not Pool(self.home).beats() and time.monotonic() < end:
            time.sleep(0.1)
        return self.kind.machine(self.home)


# --- engines that do not keep to it -------------------------------------------------------------------


class Losing(FakeEngine):
    def events(self, timeout_s):
        found = super().events(timeout_s)
        return [e for e in found if not (isinstance(e, Outcome) and e.key == "trial-0002")]


class Chattering(FakeEngine):
    """Says something of a job after its end."""

    last = None

    def events(self, timeout_s):
        found, late = super().events(timeout_s), self.last
        self.last = None
        for event in found:
            if isinstance(event, Outcome) and event.key == "trial-0000":
                self.last = self._report(job("trial-0000", 9), 1)
        return [*found, late] if late else found


class Twice(FakeEngine):
    def events(self, timeout_s):
        found = super().events(timeout_s)
        return [e for event in found for e in [event] * (1 + isinstance(event, Outcome))]


class Skipping(FakeEngine):
    def events(self, timeout_s):
        return [
            e for e in super().events(timeout_s) if not isinstance(e, EpochReport) or e.epoch != 2
        ]


class Uncounted(FakeEngine):
    def events(self, timeout_s):
        return [replace(event, images=0) for event in super().events(timeout_s)]


class Silent(FakeEngine):
    """Says of no failure why."""

    def _end(self, job, outcome):
        return super()._end(job, replace(outcome, reason=""))


class Crowded(FakeEngine):
    @property
    def _running(self):
        return list(self._jobs)


class LastFirst(FakeEngine):
    @property
    def _running(self):
        keys = list(self._jobs)
        return keys[:1] + keys[1:][::-1][: self.workers - 1]


class Forgiving(FakeEngine):
    def submit(self, job):
        if job.key not in self._jobs:
            super().submit(job)


class Deaf(FakeEngine):
    def stop(self, key):
        pass


class Late(FakeEngine):
    """Stops a waiting job once it has begun."""

    def stop(self, key):
        if key in self._jobs:
            self._stopped.add(key)


class Resentful(FakeEngine):
    """Remembers that a job was to stop beyond its end."""

    def stop(self, key):
        super().stop(key)
        self._stopped.add(key)


class Touchy(FakeEngine):
    def events(self, timeout_s):
        if not self._jobs:
            raise ValueError("no job is under way")
        return super().events(timeout_s)


class Once(FakeEngine):
    def close(self):
        assert not self.closed
        super().close()


@pytest.mark.parametrize(
    ("engine", "test"),
    [
        (Losing, "test_every_job_ends_once_after_all_its_epochs"),
        (Chattering, "test_every_job_ends_once_after_all_its_epochs"),
        (Twice, "test_every_job_ends_once_after_all_its_epochs"),
        (Skipping, "test_every_job_ends_once_after_all_its_epochs"),
        (Uncounted, "test_images_are_counted"),
        (Silent, "test_a_job_that_fails_costs_no_other"),
        (Crowded, "test_no_more_train_than_there_are_workers_and_the_others_wait_in_order"),
        (LastFirst, "test_no_more_train_than_there_are_workers_and_the_others_wait_in_order"),
        (Forgiving, "test_a_key_that_is_under_way_is_refused"),
        (Deaf, "test_a_job_is_stopped_after_the_epoch_it_is_in"),
        (Late, "test_a_job_that_waits_is_stopped_at_once"),
        (Resentful, "test_stopping_what_is_not_under_way_does_nothing"),
        (Touchy, "test_it_waits_no_longer_than_asked_for"),
        (Once, "test_closed_it_leaves_nothing_running"),
    ],
)
def test_what_is_wrong_is_caught(engine: type[FakeEngine], test: str, tmp_path: Path):
    case = TestFake()
    getattr(case, test)(tmp_path)
    case.engine, case.patience_s = engine, 0.3  # what a broken engine loses never comes
    # Whichever way a test fails: an AssertionError, pytest's own "did not raise", the engine's error.
    with pytest.raises((AssertionError, ValueError, pytest.fail.Exception)):
        getattr(case, test)(tmp_path)


def test_a_worker_that_outlives_its_engine_is_caught(tmp_path: Path):
    case = TestFake()
    case.processes = lambda engine: [os.getpid()]
    with pytest.raises(AssertionError):
        case.test_closed_it_leaves_nothing_running(tmp_path)


@pytest.mark.parametrize(
    "machine",
    [Machine(cores=0, memory_bytes=10**9), Machine(cores=2), Machine(2, ("0", "0"), 10**9)],
)
def test_a_machine_that_cannot_be_is_caught(machine: Machine, tmp_path: Path):
    case = TestFake()
    case.kind = FakeKind(machine)
    with pytest.raises(AssertionError):
        case.test_it_answers_for_its_machine(tmp_path)
