"""An engine that trains nothing: a formula in place of learning, in an order of one's choosing."""

import hashlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from archsearch.engines.engine import Machine, Message
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.setup import WorkerSetup

Status = Literal["complete", "pruned", "failed"]
Formula = Callable[[Job], float]
"""A job's final accuracy, in [0, 1]."""
Duration = Callable[[str, int], float]
"""Seconds an epoch (1-based) of the job with that key takes."""


def hashed_accuracy(job: Job) -> float:
    """Give an accuracy in [0.5, 0.9] that depends on the network, and a little on the seed."""
    return 0.5 + 0.38 * _unit(job.graph) + 0.02 * _unit(f"{job.graph}{job.seed}")


@dataclass(slots=True)
class FakeClock:
    """A clock that stands still but for what a fake takes."""

    now_s: float = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s


class FakeEngine:
    """Reports a rising accuracy per epoch, then the formula's: tests without Keras run in moments.

    Args:
        workers: jobs in flight at the same time; the others wait.
        train_images: images an epoch has.
        validation: a job's accuracy on the validation split after its last epoch.
        test: the same on the test split, for jobs that ask for it.
        order: chooses which job goes on next; None: the one that came first, to its end.
        failures: reasons by key; these jobs fail after their first epoch.
        epoch_s: how long epochs take.
        clock: moved on by every epoch, measurement and vain wait, one after another: for one worker.
        tell: gives every outcome as it is told, those of jobs that measure the pace too.
        before: called before each answer; it may raise, press Ctrl-C or take its time.
    """

    def __init__(
        self,
        workers: int = 1,
        *,
        train_images: int = 100,
        validation: Formula = hashed_accuracy,
        test: Formula = hashed_accuracy,
        order: random.Random | None = None,
        failures: Mapping[str, str] | None = None,
        epoch_s: Duration = lambda key, epoch: 0.01,
        clock: FakeClock | None = None,
        tell: Callable[[Outcome], Outcome] = lambda outcome: outcome,
        before: Callable[["FakeEngine"], None] = lambda engine: None,
    ) -> None:
        self.workers = workers
        self.submitted: list[Job] = []
        """Every job ever taken to be trained, in order."""
        self.measured: list[Job] = []
        """The jobs among them that only measure the pace."""
        self.closed = False
        self._train_images = train_images
        self._validation = validation
        self._test = test
        self._order = order
        self._failures = dict(failures or {})
        self._epoch_s = epoch_s
        self._clock = clock
        self._tell = tell
        self._before = before
        self._walls_s: dict[str, list[float]] = {}
        self._jobs: dict[str, Job] = {}
        self._stopped: set[str] = set()
        self._ready: list[Message] = []

    @property
    def under_way(self) -> tuple[str, ...]:
        """Keys of the jobs that have not ended, those that wait too."""
        return tuple(self._jobs)

    def submit(self, job: Job) -> None:
        """Take a job."""
        if job.key in self._jobs:
            raise ValueError(f"job {job.key} is under way")
        (self.submitted if job.measure_s is None else self.measured).append(job)
        self._jobs[job.key] = job
        self._walls_s[job.key] = []

    def stop(self, key: str) -> None:
        """End a job after one more epoch, as a worker that is already in it does; a waiting one at once."""
        if key in self._running:
            self._stopped.add(key)
        elif key in self._jobs:
            del self._jobs[key]
            self._ready.append(self._tell(Outcome.not_begun(key)))

    def events(self, timeout_s: float) -> list[Message]:
        """Move one job on by an epoch, or to its end."""
        self._before(self)
        if self._ready:
            found, self._ready = self._ready, []
            return found
        running = self._running
        if not running:
            self._pass(timeout_s)
            return []
        key = running[0] if self._order is None else self._order.choice(running)
        return [self._advance(self._jobs[key])]

    def close(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()
        self._ready.clear()
        self.closed = True

    @property
    def _running(self) -> list[str]:
        return list(self._jobs)[: self.workers]

    def _pass(self, seconds: float) -> None:
        if self._clock is not None:
            self._clock.now_s += seconds

    def _advance(self, job: Job) -> Message:
        if job.measure_s is not None:
            return self._end(job, self._pace(job, job.measure_s))
        walls_s = self._walls_s[job.key]
        done, epochs = len(walls_s), job.epochs(self._train_images)
        if done == 1 and job.key in self._failures:
            reason = self._failures[job.key]
            failed = Outcome(
                key=job.key, status="failed", epochs=1, images=self._seen(job, 1), reason=reason
            )
            return self._end(job, failed)
        if done == epochs or (done and job.key in self._stopped):
            return self._end(job, self._outcome(job, done, epochs))
        epoch_s = self._epoch_s(job.key, done + 1)
        self._pass(epoch_s)
        walls_s.append(epoch_s)
        return self._report(job, done + 1)

    def _outcome(self, job: Job, done: int, epochs: int) -> Outcome:
        status: Status = "complete" if done == epochs else "pruned"
        accuracy = self._accuracy(job, done)
        tested = self._test(job) if job.test and status == "complete" else None
        total_s = sum(self._walls_s[job.key])
        return Outcome(
            key=job.key,
            status=status,
            epochs=done,
            images=self._seen(job, done),
            val_accuracy=accuracy,
            val_loss=1 - accuracy,
            test_accuracy=tested,
            test_loss=None if tested is None else 1 - tested,
            train_s=total_s,
            total_s=total_s,
            images_per_s=self._train_images * done / total_s,
            microbatches=job.microbatches,
        )

    def _report(self, job: Job, epoch: int) -> EpochReport:
        accuracy = self._accuracy(job, epoch)
        evaluated = job.evaluates(epoch, self._train_images)
        walls_s = self._walls_s[job.key]
        return EpochReport(
            key=job.key,
            epoch=epoch,
            loss=1 - accuracy,
            accuracy=accuracy,
            val_loss=1 - accuracy if evaluated else None,
            val_accuracy=accuracy if evaluated else None,
            images_per_s=self._train_images / walls_s[-1],
            images=self._seen(job, epoch),
            learning_rate=0.1,
            wall_s=sum(walls_s),
        )

    def _seen(self, job: Job, epochs: int) -> int:
        return min(job.images, epochs * self._train_images)

    def _accuracy(self, job: Job, epoch: int) -> float:
        return self._validation(job) * (1 - 0.5 ** (1 + epoch))

    def _pace(self, job: Job, measure_s: float) -> Outcome:
        self._pass(measure_s)
        return Outcome(
            key=job.key,
            status="complete",
            images=self._train_images,
            total_s=measure_s,
            images_per_s=self._train_images / self._epoch_s(job.key, 1),
            evaluated_per_s=1e9,
        )

    def _end(self, job: Job, outcome: Outcome) -> Outcome:
        del self._jobs[job.key]
        self._stopped.discard(job.key)
        return self._tell(outcome)


@dataclass(frozen=True, slots=True)
class FakeKind:
    """Opens fake engines, on a machine that is made up."""

    found: Machine = field(default=Machine(cores=4, memory_bytes=8_000_000_000))

    def machine(self, home: Path) -> Machine:
        """Return the machine."""
        return self.found

    def open(self, setups: Sequence[WorkerSetup], *, home: Path, folder: Path) -> FakeEngine:
        """Return an engine of so many workers; it writes nothing into the folder."""
        return FakeEngine(len(setups))


FAKE: Final = FakeKind()


def _unit(text: str) -> float:
    """Give a number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
