"""How fast the networks of a study train on its own workers: a few seconds of training thrown away."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from statistics import fmean, harmonic_mean
from typing import Final

from archsearch.engines.engine import Engine
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.planning.problem import Prepared
from archsearch.space.knobs import draw
from archsearch.space.solve import solve
from archsearch.strategy.sampler import derive_seed
from archsearch.training.job import Job, Outcome

MEASURE_S: Final = 1.5
_SECOND_FLOPS: Final = 100_000_000_000
"""A step of more FLOPs takes seconds: one network has to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast networks of the budget train on this device, all workers busy.

    Attributes:
        start_s: what a training needs before its first step.
        process_s: what a process needs before it can train anything: it imports the framework.
        failed: how many of the trainings at a time failed, and why; empty where none did.
    """

    start_s: float
    process_s: float = 0.0
    images_per_s: float
    evaluated_per_s: float
    device: str = ""
    failed: str = ""


def measure_pace(
    engine: Engine, prepared: Prepared, *, stopped: Callable[[], bool] = lambda: False
) -> Pace | str:
    """Measure the pace on the engine's own workers, all busy as they will be.

    The classic and a candidate drawn by chance: depth costs time that FLOPs do not show. They are the
    same two however many workers there are, so that ways to share a machine can be compared.

    Returns:
        The pace; or why there is none.
    """
    step_flops = 3 * prepared.request.budget.high * prepared.recipe.batch
    least = 2 if step_flops < _SECOND_FLOPS else 1  # a second network takes as long again
    jobs = [_measuring(prepared, number) for number in range(max(least, engine.workers))]
    began = time.monotonic()
    process_s = math.inf
    for job in jobs:
        engine.submit(job)
    left = {job.key for job in jobs}
    outcomes: list[Outcome] = []
    while left:
        if stopped():
            return "interrupted"
        for event in engine.events(0.25):
            if isinstance(event, Outcome) and event.key in left:
                left.discard(event.key)
                outcomes.append(event)
                process_s = min(process_s, max(0.0, time.monotonic() - began - event.total_s))
    good = [o for o in outcomes if o.status == "complete" and o.images_per_s > 0]
    bad = [o for o in outcomes if o not in good]
    why = next((o.reason for o in bad if o.reason), "no network could be trained")
    if not good:
        return why
    return Pace(
        start_s=fmean(o.start_s for o in good),
        process_s=process_s,
        images_per_s=harmonic_mean([o.images_per_s for o in good]),
        evaluated_per_s=harmonic_mean([max(o.evaluated_per_s, 1e-9) for o in good]),
        device=good[0].device,
        failed=f"{len(bad)} of {len(jobs)} trainings failed: {why}" if bad else "",
    )


def _measuring(prepared: Prepared, number: int) -> Job:
    graph: Graph = prepared.classic.graph
    if number % 2:
        rng = Random(derive_seed(prepared.settings.seed, "pace", 1))
        knobs = draw(prepared.space.knobs(prepared.request), rng)
        graph = solve(prepared.space, knobs, prepared.request).graph
    return Job(
        key=f"pace-{number}",
        graph=to_json(graph),
        dataset=str(prepared.folder),
        recipe=prepared.recipe,
        images=prepared.recipe.batch,
        seed=prepared.settings.seed,
        backend=prepared.sharing.backend,
        precision=prepared.sharing.precision,
        compiled=prepared.sharing.compiled,
        measure_s=MEASURE_S,
    )
