"""Trainings that take their time and compute nothing, and a clock that skips idle time: for scale.py.

A network's accuracy follows from its knobs by a formula, with noise that follows from the training's seed.
"""

import heapq
import math
import time
from collections.abc import Callable, Mapping, Sequence
from random import Random

from archsearch.engines.engine import Machine, Message
from archsearch.training.job import EpochReport, Job, Outcome

SPREAD = 0.1
"""The share by which trainings are shorter or longer than asked for, at most."""
NOISE = 0.004
MEMORY_BYTES = 2**50


def accuracy(knobs: Mapping[str, object], seed: int) -> float:
    """Return what a training comes to, in (0, 1): best at an inner value of each knob, and noise."""
    lost = sum(_lost(name, value) for name, value in sorted(knobs.items()))
    return 0.95 - 0.3 * lost / (1 + lost) + Random(seed).gauss(0.0, NOISE)


def _lost(name: str, value: object) -> float:
    best = Random(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0.3 * Random(f"{name} {value}").random()
    return (math.log2(1 + abs(value)) - best.uniform(1.0, 3.0)) ** 2 / 8


class RealClock:
    """Seconds as they pass."""

    def __call__(self) -> float:
        """Return the time."""
        return time.perf_counter()

    def rest(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)


class SkippingClock:
    """Processor time of this process, all threads, and the rests, which take no time.

    In a rest this process may do what it has put off: `idle` is given so many seconds of it.
    """

    def __init__(self) -> None:
        self.idle: Callable[[float], object] = lambda seconds: None
        self._skipped_s = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return time.process_time() + self._skipped_s

    def rest(self, seconds: float) -> None:
        """Have what was put off done, and skip what is left of the seconds."""
        end = self() + seconds
        self.idle(seconds)
        self._skipped_s += max(0.0, end - self())


class SleepingEngine:
    """An engine (see `archsearch.engines.engine.Engine`) whose workers sleep.

    Args:
        workers: that sleep at a time.
        clock: by which they do.
        trial_s: how long a training is, but for SPREAD.
        train_images: of an epoch.
        knobs: of each training under way, by key; whoever hears of its beginning puts them there.
    """

    def __init__(
        self, workers: int, clock: RealClock | SkippingClock, *, trial_s: float, train_images: int,
        knobs: dict[str, Mapping[str, object]],
    ) -> None:  # fmt: skip
        self.workers = workers
        self.own_s = 0.0
        """Processor time of this engine, which is no part of the driver."""
        self._clock, self._trial_s, self._train_images = clock, trial_s, train_images
        self._knobs = knobs
        self._jobs: dict[str, Job] = {}
        self._epochs: dict[str, int] = {}
        self._began_s: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._due: list[tuple[float, int, str]] = []
        self._count = 0
        self._over_s = 0.0
        self._until_s: dict[str, float] = {}

    @property
    def busy_s(self) -> float:
        """Seconds that workers have had a training by now, all together.

        Those under way count, too: trainings that began together end together, and between two such waves
        no second would count.
        """
        now = self._clock()
        running = (min(now, self._until_s[key]) - since for key, since in self._began_s.items())
        return self._over_s + sum(max(0.0, seconds) for seconds in running)

    def submit(self, job: Job) -> None:
        """Take a job."""
        begin = time.thread_time()
        self._jobs[job.key], self._epochs[job.key] = job, 0
        self._began_s[job.key] = self._clock()
        self._sleep(job, self._clock())
        self.own_s += time.thread_time() - begin

    def stop(self, key: str) -> None:
        """End a job after its epoch."""
        if key in self._jobs:
            self._stopped.add(key)

    def events(self, timeout_s: float) -> Sequence[Message]:
        """Return what has happened by now; wait for the next thing to happen."""
        left = self._due[0][0] - self._clock() if self._due else timeout_s
        if left > 0:
            self._clock.rest(
                left if isinstance(self._clock, SkippingClock) else min(left, timeout_s)
            )
        begin, found = time.thread_time(), []
        while self._due and self._due[0][0] <= self._clock():
            due_s, _, key = heapq.heappop(self._due)
            found += self._happened(self._jobs[key], due_s)
        self.own_s += time.thread_time() - begin
        return found

    def close(self) -> None:
        """Forget all jobs."""
        self._jobs.clear()
        self._due.clear()

    def _sleep(self, job: Job, since_s: float) -> None:
        self._count += 1
        self._until_s[job.key] = since_s + self._epoch_s(job)
        heapq.heappush(self._due, (self._until_s[job.key], self._count, job.key))

    def _epoch_s(self, job: Job) -> float:
        if job.measure_s is not None:
            return 0.01
        whole_s = self._trial_s * Random(job.key).uniform(1 - SPREAD, 1 + SPREAD)
        return whole_s / job.epochs(self._train_images)

    def _happened(self, job: Job, due_s: float) -> list[Message]:
        if job.measure_s is not None:
            del self._jobs[job.key], self._began_s[job.key], self._until_s[job.key]
            return [Outcome(
                key=job.key, status="complete", images=self._train_images, total_s=self._trial_s,
                train_s=self._trial_s, images_per_s=self._train_images / self._trial_s,
                start_s=0.01, evaluated_per_s=1e6,
            )]  # fmt: skip
        self._epochs[job.key] += 1
        epoch, epochs = self._epochs[job.key], job.epochs(self._train_images)
        reached = accuracy(self._knobs.get(job.key, {}), job.seed) * (1 - 0.5 ** (1 + epoch))
        wall_s = due_s - self._began_s[job.key]
        seen = min(job.images, epoch * self._train_images)
        report = EpochReport(
            key=job.key, epoch=epoch, loss=1 - reached, accuracy=reached, val_loss=1 - reached,
            val_accuracy=reached, images_per_s=seen / wall_s, learning_rate=0.1, wall_s=wall_s,
            images=seen,
        )  # fmt: skip
        if epoch < epochs and job.key not in self._stopped:
            self._sleep(job, due_s)
            return [report]
        del self._jobs[job.key], self._epochs[job.key], self._until_s[job.key]
        self._stopped.discard(job.key)
        self._over_s += due_s - self._began_s.pop(job.key)
        tested = reached if job.test else None
        return [report, Outcome(
            key=job.key, status="complete" if epoch == epochs else "pruned", epochs=epoch,
            images=seen, val_accuracy=reached, val_loss=1 - reached, test_accuracy=tested,
            test_loss=None if tested is None else 1 - tested, train_s=wall_s, total_s=wall_s,
            images_per_s=seen / wall_s,
        )]  # fmt: skip


class NoTracker:
    """A tracker that keeps nothing (see `archsearch.tracking.records.Tracker`)."""

    def __getattr__(self, name: str) -> Callable[..., None]:
        """Return what takes anything down as nothing."""
        return lambda *values, **named: None


def machine(workers: int) -> Machine:
    """Return a machine with a core for each worker."""
    return Machine(cores=workers, memory_bytes=MEMORY_BYTES)
