"""How long a network's training takes beside those of other candidates, learnt as the search goes.

The logarithm of the seconds is linear in the figures of the network's workload. Its coefficients begin as
those of many trainings on a processor (`readings/workload.py`), or of earlier studies on the same platform
(`planning/earlier_durations.py`), and are drawn to what the study's own took: on a GPU, say, the number of
ops counts for more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from archsearch.archive.orders import Trial
from archsearch.readings.workload import COEFFICIENTS, Workload
from archsearch.surrogate.algebra import Floats

WORTH_COUNTING: Final = 0.25
"""Standard deviation of the logarithms that are foretold, from which on they count.

What is foretold is off by 0.15 to 0.35 itself. Networks of one family differ by 0.1 to 0.2,
of several by 0.35."""
RIDGE: Final = 1.0
"""How fast the coefficients hold to those that they begin as: noise over their own spread, as variances."""


def share_left(took_s: float, time_s: float) -> float:
    """Return the share of the time that trainings have not taken yet: the power in which time counts.

    Improvement by time alone never comes to the networks that train long, and the best may be one of them; so
    time counts for less and less (Lee et al. 2020, "Cost-aware Bayesian optimization", section 4.2, cooling).
    """
    return max(0.0, 1 - took_s / time_s)


class Timed(NamedTuple):
    """Trainings of one study, alike but for their networks: (n, figures) workloads, (n,) log seconds."""

    figures: Floats
    log_s: Floats


def log_durations(
    trials: Sequence[Trial],
    loads: Mapping[int, Workload],
    candidates: Sequence[Workload],
    before: Workload = COEFFICIENTS,
) -> Floats:
    """Return logarithms of what trainings of candidates take, but for one number that all share.

    Args:
        trials: what is known.
        loads: of their networks, by number; of others nothing is learnt.
        candidates: (n).
        before: the coefficients as of before the first of them.

    Returns:
        (n,)
    """
    coefficients = np.array(before.figures())
    took = {n: s for n, s in map(_seconds, trials) if s is not None and n in loads}
    if len(took) > 1:
        figures = np.array([loads[number].figures() for number in took])
        coefficients = drawn([Timed(figures, np.array(list(took.values())))], coefficients)
    figures = np.array([load.figures() for load in candidates]).reshape(-1, len(coefficients))
    return np.asarray(figures @ coefficients)


def drawn(studies: Iterable[Timed], before: Floats) -> Floats:
    """Return coefficients drawn to what trainings took; how fast each study was on the whole is left out.

    Args:
        studies: that the coefficients are to be of.
        before: (figures,), which they hold to (see `RIDGE`).

    Returns:
        (figures,)
    """
    inner, outer = RIDGE * np.eye(len(before)), np.zeros(len(before))
    for figures, log_s in studies:
        x, y = figures - figures.mean(0), log_s - log_s.mean()
        inner += x.T @ x
        outer += x.T @ (y - x @ before)
    return np.asarray(before + np.linalg.solve(inner, outer))


def _seconds(trial: Trial) -> tuple[int, float | None]:
    """Return a trial's number, and the logarithm of what its first training took if that came to its end."""
    outcome = trial.trainings[0].outcome
    if outcome is None or outcome.status != "complete" or outcome.total_s <= 0:
        return trial.number, None
    return trial.number, math.log(outcome.total_s)
