"""What the trials of an Optuna study came to, the more the better, whatever the direction of the study."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from archsearch.surrogate.cut_short import carried_on


class Result(NamedTuple):
    """What a trial came to, the more the better, and the variance of a guess at it."""

    params: Mapping[str, Any]
    value: float
    variance: float = 0.0


def results_of(trials: Sequence[FrozenTrial], direction: StudyDirection) -> list[Result]:
    """Return what trials came to; those that break a constraint count as the worst, failed ones not at all.

    Those that were pruned have what others became that stood there.
    """
    sign = -1.0 if direction is StudyDirection.MINIMIZE else 1.0
    complete = [
        t for t in trials if t.state is TrialState.COMPLETE and not math.isnan(t.value or 0.0)
    ]
    finite = [sign * t.value for t in complete if t.value is not None and math.isfinite(t.value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    found = []
    for trial in complete:
        assert trial.value is not None
        value = min(high, max(low, sign * trial.value))
        breaks = any(excess > 0 for excess in trial.constraints.values())
        found.append(Result(trial.params, low if breaks else value))
    for trial in trials:
        if trial.state is TrialState.PRUNED and (cut := _cut_short(trial, complete, sign)):
            found.append(Result(trial.params, *cut))
    return found


def _cut_short(
    trial: FrozenTrial, complete: Sequence[FrozenTrial], sign: float
) -> tuple[float, float] | None:
    """Return what a pruned trial would have come to, and the variance of that guess."""
    if not trial.intermediate_values:
        return None
    step, value = max(trial.intermediate_values.items())
    there = [t for t in complete if math.isfinite(t.intermediate_values.get(step, math.nan))]
    ends = [sign * t.value for t in there if t.value is not None]
    then = [sign * t.intermediate_values[step] for t in there]
    if not (math.isfinite(value) and all(map(math.isfinite, ends))):
        return None
    return carried_on(sign * value, then, ends)
