"""How fast this process trains a network: a few seconds of training that is thrown away."""

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from archsearch.data.dataset import Dataset, Split, load
from archsearch.ir.codec import from_json
from archsearch.readings.cost import cost
from archsearch.training.evaluation import evaluate
from archsearch.training.fit import train_steps
from archsearch.training.job import Job, Outcome
from archsearch.training.resident import peak_rss_bytes, reset_peak_rss
from archsearch.training.teams.team import ALONE, Team

FIRST_STEP_FLOPS: Final = 24_000_000_000
"""A first step is at most so large: seconds even on a slow processor."""
_FULL_STEP_S: Final = 2.0
"""A whole batch is tried where that takes no longer, going by the first steps."""


def measure(job: Job, team: Team = ALONE) -> Outcome:
    """Train for about `job.measure_s` seconds, evaluate a little, and tell the pace.

    A batch that would take long is made smaller: images a second hardly depend on it there.
    """
    assert job.measure_s is not None
    began = time.perf_counter()
    reset_peak_rss()
    data = load(Path(job.dataset))
    flops = max(1, cost(from_json(job.graph)).training_flops(1))
    small = max(1, min(job.recipe.batch, FIRST_STEP_FLOPS // flops))
    small = max(1, small // team.size) * team.size
    outcome = _measured(job, data, small, job.measure_s, team)
    quick = job.recipe.batch / outcome.images_per_s < _FULL_STEP_S
    if small < job.recipe.batch and team.agreed(quick):
        first, outcome = outcome, _measured(job, data, job.recipe.batch, job.measure_s, team)
        outcome = replace(outcome, images=first.images + outcome.images)
    return replace(outcome, total_s=time.perf_counter() - began)


def _measured(job: Job, data: Dataset, batch: int, measure_s: float, team: Team) -> Outcome:
    sized = replace(
        job,
        recipe=replace(job.recipe, batch=batch),
        microbatches=math.ceil(batch / job.at_once),  # as large as the whole batch's
    )
    most = job.evaluated_at_once
    began = time.perf_counter()
    with train_steps(sized, data, team) as (steps, take):
        take(1)  # the first step compiles
        compiled_s = time.perf_counter() - began
        taken, count, began = 0, 1, time.perf_counter()
        while team.agreed((train_s := time.perf_counter() - began) < measure_s) or not taken:
            take(count)
            taken += count
            count = min(2 * count, 16)
        few = Split(data.val.images[:batch], data.val.labels[:batch])
        began = time.perf_counter()
        evaluate(steps, few, most=most)
        compiled_s += time.perf_counter() - began
        began = time.perf_counter()
        evaluations = 0
        while (evaluated_s := time.perf_counter() - began) < measure_s / 4 or not evaluations:
            evaluate(steps, few, most=most)  # each process its own: all of them are as fast
            evaluations += 1
    return Outcome(
        key=job.key,
        status="complete",
        images=(1 + taken) * batch,
        train_s=train_s,
        peak_rss_bytes=peak_rss_bytes(),
        images_per_s=taken * batch / train_s,
        start_s=compiled_s,
        evaluated_per_s=team.size * evaluations * len(few) / evaluated_s,
        device=steps.device,
    )
