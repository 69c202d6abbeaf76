"""How fast the networks of a study train on its own workers: a few seconds of training thrown away."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, harmonic_mean
from typing import Final

from archsearch.archive.facts import Durations, Platform
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order
from archsearch.planning.earlier_durations import ByPlatform, nothing
from archsearch.planning.problem import Problem
from archsearch.readings.workload import (
    COEFFICIENTS,
    Workload,
    coefficients_of,
    log_effort,
    workload,
)
from archsearch.strategy.phase import Begin, Phase, Rest, Step
from archsearch.training.job import Outcome
from archsearch.units import training_flops

MEASURE_S: Final = 1.5
"""Seconds a network trains for."""
_SECOND_FLOPS: Final = 100_000_000_000
"""Training FLOPs of a step that takes seconds, from which on one network has to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast networks of the budget train on this machine, all workers busy.

    Attributes:
        start_s: seconds a training needs before its first step.
        process_s: seconds a process needs before it can train anything: it imports the framework.
        images_per_s: images trained on a second, by one worker, as measured.
        evaluated_per_s: images evaluated a second.
        typical: times as long as for the networks that were measured that an image takes on average, by
            the workloads of the networks that will be trained.
        device: what was trained on; empty for the processor.
        failed: how many of the trainings at a time failed, and why; empty where none did.
        platform: what they trained on; None: it is not known, or they trained on several.
        durations: what earlier studies on it say, by which `typical` goes; None: nothing.
    """

    start_s: float
    process_s: float = 0.0
    images_per_s: float
    evaluated_per_s: float
    typical: float = 1.0
    device: str = ""
    failed: str = ""
    platform: Platform | None = None
    durations: Durations | None = None

    @property
    def trained_per_s(self) -> float:
        """Images a second of the networks that will be trained, on average."""
        return self.images_per_s / self.typical


class PaceMeasuring(Phase):
    """Trains networks for a moment on the engine's own workers, all busy as they will be.

    They are the same two networks however many workers there are, so that ways to share a machine can be
    compared.

    Args:
        problem: whose networks.
        workers: that there are.
        durations: what earlier studies say.
    """

    def __init__(self, problem: Problem, *, workers: int, durations: ByPlatform = nothing) -> None:
        step_flops = training_flops(problem.flops, problem.recipe.batch)
        least = 2 if step_flops < _SECOND_FLOPS else 1  # a second network takes as long again
        count = max(least, workers)
        self._problem = problem
        self._durations = durations
        self._waiting = deque(_measuring(problem, number) for number in range(count))
        self._loads = {step.order.key: _load(step) for step in self._waiting}
        self._measured: list[Workload] = []
        self._left = count
        self._began_s: float | None = None
        self._process_s = math.inf
        self._outcomes: list[Outcome] = []
        self.spent_flops = 0
        """Training FLOPs that went into it."""

    def next(self, now_s: float, *, room: int) -> Step:
        """Begin all of them at once."""
        if self._began_s is None:
            self._began_s = now_s
        if self._waiting:
            return self._waiting.popleft()
        return Rest.WAIT if self._left else Rest.DONE

    def ended(self, order: Order, outcome: Outcome, now_s: float) -> None:
        """Take what a worker measured."""
        assert self._began_s is not None
        self._left -= 1
        self._outcomes.append(outcome)
        if outcome.images_per_s > 0:
            self._measured.append(self._loads[order.key])
        self.spent_flops += order.design.training_flops(outcome.images)
        self._process_s = min(self._process_s, max(0.0, now_s - self._began_s - outcome.total_s))

    @property
    def found(self) -> Pace | str:
        """The pace; or why there is none."""
        if self._left:  # those that have answered say nothing of the others, which may be slower
            return "interrupted"
        good = [o for o in self._outcomes if o.status == "complete" and o.images_per_s > 0]
        bad = [o for o in self._outcomes if o not in good]
        why = next((o.reason for o in bad if o.reason), "no network could be trained")
        if not good:
            return why
        platform = self._platform({outcome.device for outcome in good})
        durations = None if platform is None else self._durations(platform)
        efforts = COEFFICIENTS if durations is None else coefficients_of(durations.coefficients)
        return Pace(
            start_s=fmean(o.start_s for o in good),
            process_s=self._process_s,
            images_per_s=harmonic_mean([o.images_per_s for o in good]),
            evaluated_per_s=harmonic_mean([max(o.evaluated_per_s, 1e-9) for o in good]),
            typical=typical(self._measured, self._problem.workloads(), efforts),
            device=good[0].device,
            failed=f"{len(bad)} of {len(self._outcomes)} trainings failed: {why}" if bad else "",
            platform=platform,
            durations=durations,
        )

    def _platform(self, devices: set[str]) -> Platform | None:
        """Return what was trained on; a worker names a GPU, and leaves the processor to the engine."""
        sharing = self._problem.sharing
        device = devices.pop() or self._problem.machine.processor if len(devices) == 1 else ""
        if not device:
            return None
        return Platform(
            device=device,
            backend=sharing.backend,
            precision=sharing.precision,
            compiled=sharing.compiled,
            threads=sharing.setups[0].threads,
        )


def typical(
    measured: Sequence[Workload], every: Sequence[Workload], efforts: Workload = COEFFICIENTS
) -> float:
    """Return how many times as long as the networks that were measured those take that will be trained.

    Args:
        measured: networks.
        every: networks that will be trained.
        efforts: coefficients of workloads.
    """
    if not measured or not every:
        return 1.0
    return _mean_effort(every, efforts) / _mean_effort(measured, efforts)


def _mean_effort(loads: Sequence[Workload], efforts: Workload) -> float:
    return fmean(math.exp(log_effort(load, efforts)) for load in loads)


def _load(step: Begin) -> Workload:
    assert step.network is not None
    return workload(step.network)


def _measuring(problem: Problem, number: int) -> Begin:
    name = f"pace-{number}"
    design, graph = problem.sampled(number, name=name)
    order = Order(
        key=JobKey("pace", name),
        design=design,
        length=Length(problem.recipe.batch, 1),
        seed=problem.settings.seed,
    )
    return Begin(order=order, network=graph)
