"""An engine that trains nothing: a formula in place of learning, in an order of one's choosing."""

import hashlib
import random
from collections.abc import Callable, Mapping
from typing import Literal

from archsearch.engines.engine import Message
from archsearch.training.job import EpochReport, Job, Outcome

Status = Literal["complete", "pruned", "failed"]
Formula = Callable[[Job], float]
"""A job's final accuracy, in [0, 1]."""


def hashed_accuracy(job: Job) -> float:
    """Give an accuracy in [0.5, 0.9] that depends on the network, and a little on the seed."""
    return 0.5 + 0.38 * _unit(job.graph) + 0.02 * _unit(f"{job.graph}{job.seed}")


class FakeEngine:
    """Reports a rising accuracy per epoch, then the formula's: tests without Keras run in moments.

    Args:
        workers: jobs in flight at the same time; the others wait.
        train_images: images an epoch has.
        validation: a job's accuracy on the validation split after its last epoch.
        test: the same on the test split, for jobs that ask for it.
        order: chooses which job goes on next; None: each in turn.
        failures: reasons by key; these jobs fail after their first epoch.
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
    ) -> None:
        self.workers = workers
        self.submitted: list[Job] = []
        """Every job ever taken to be trained, in order."""
        self.measured: list[Job] = []
        """The jobs among them that only measure the pace."""
        self._train_images = train_images
        self._validation = validation
        self._test = test
        self._order = order
        self._failures = dict(failures or {})
        self._epochs: dict[str, int] = {}
        self._jobs: dict[str, Job] = {}
        self._stopped: set[str] = set()

    def submit(self, job: Job) -> None:
        """Take a job."""
        if job.key in self._jobs:
            raise ValueError(f"job {job.key} is under way")
        (self.submitted if job.measure_s is None else self.measured).append(job)
        self._jobs[job.key] = job
        self._epochs[job.key] = 0

    def stop(self, key: str) -> None:
        """End a job after one more epoch, as a worker that is already in it does."""
        if key in self._jobs:
            self._stopped.add(key)

    def events(self, timeout_s: float) -> list[Message]:
        """Move one job on by an epoch, or to its end."""
        del timeout_s
        running = list(self._jobs)[: self.workers]
        if not running:
            return []
        key = running[0] if self._order is None else self._order.choice(running)
        return [self._advance(self._jobs[key])]

    def close(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()

    def _advance(self, job: Job) -> Message:
        if job.measure_s is not None:
            return self._end(job, self._pace(job))
        done = self._epochs[job.key]
        epochs = job.epochs(self._train_images)
        if done == 1 and job.key in self._failures:
            reason = self._failures[job.key]
            return self._end(job, Outcome(key=job.key, status="failed", epochs=1, reason=reason))
        if done == epochs or (done and job.key in self._stopped):
            return self._end(job, self._outcome(job, done, epochs))
        self._epochs[job.key] = done + 1
        return self._report(job, done + 1)

    def _outcome(self, job: Job, done: int, epochs: int) -> Outcome:
        status: Status = "complete" if done == epochs else "pruned"
        accuracy = self._accuracy(job, done)
        tested = self._test(job) if job.test and status == "complete" else None
        return Outcome(
            key=job.key,
            status=status,
            epochs=done,
            images=min(job.images, done * self._train_images),
            val_accuracy=accuracy,
            val_loss=1 - accuracy,
            test_accuracy=tested,
            test_loss=None if tested is None else 1 - tested,
            train_s=0.01 * done,
            total_s=0.01 * done,
            images_per_s=100.0 * self._train_images,
        )

    def _report(self, job: Job, epoch: int) -> EpochReport:
        accuracy = self._accuracy(job, epoch)
        evaluated = job.evaluates(epoch, self._train_images)
        return EpochReport(
            key=job.key,
            epoch=epoch,
            loss=1 - accuracy,
            accuracy=accuracy,
            val_loss=1 - accuracy if evaluated else None,
            val_accuracy=accuracy if evaluated else None,
            images_per_s=100.0 * self._train_images,
            images=min(job.images, epoch * self._train_images),
            learning_rate=0.1,
            wall_s=0.01 * epoch,
        )

    def _accuracy(self, job: Job, epoch: int) -> float:
        return self._validation(job) * (1 - 0.5 ** (1 + epoch))

    def _pace(self, job: Job) -> Outcome:
        # An epoch takes a hundredth of a second here.
        return Outcome(
            key=job.key,
            status="complete",
            total_s=job.measure_s or 0.0,
            images_per_s=100 * self._train_images,
            evaluated_per_s=1e9,
        )

    def _end(self, job: Job, outcome: Outcome) -> Outcome:
        del self._jobs[job.key]
        self._stopped.discard(job.key)
        return outcome


def _unit(text: str) -> float:
    """Give a number in [0, 1) that follows from the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
