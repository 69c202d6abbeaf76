"""The front of cost and accuracy, and its knee: where more cost begins to pay little."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from archsearch.statistics.verdict import Verdict
from archsearch.units import budget_text

_LEAST_BEND: Final = 0.05
"""How far above the chord a knee is at least, as a share of the front's height: less is a straight line."""


class Point(NamedTuple):
    """A network: what a call costs, and what is expected of its accuracy."""

    flops: int
    accuracy: float


def front(points: Mapping[str, Point]) -> tuple[str, ...]:
    """Return the names of those that none of no more FLOPs is as accurate as, the cheapest first."""
    found: list[str] = []
    best = -math.inf
    for name in sorted(points, key=lambda name: (points[name].flops, -points[name].accuracy, name)):
        if points[name].accuracy > best:
            found.append(name)
            best = points[name].accuracy
    return tuple(found)


def knee(points: Mapping[str, Point]) -> str | None:
    """Return the name of the knee of a front; None: it has none.

    It is the network that is farthest above the chord from the cheapest to the most accurate one, with the
    logarithm of FLOPs and the accuracy each scaled to run from 0 to 1 (Das 1999, "On characterizing the
    'knee' of the Pareto curve", Structural Optimization 18; Satopää et al. 2011, "Finding a 'Kneedle' in a
    haystack", ICDCSW, section 3: the largest y − x). It is the logarithm since budgets grow by factors.

    Args:
        points: of a front, by name.
    """
    names = sorted(points, key=lambda name: points[name].flops)
    if len(names) < 3:
        return None
    first, last = points[names[0]], points[names[-1]]
    width = math.log(last.flops / first.flops)
    height = last.accuracy - first.accuracy

    def above(name: str) -> float:
        point = points[name]
        x = math.log(point.flops / first.flops) / width
        return (point.accuracy - first.accuracy) / height - x

    best = max(names[1:-1], key=above)
    return best if above(best) >= _LEAST_BEND else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """One of several budgets.

    Attributes:
        budget: in FLOPs.
        best: name of its best network; None before the finals.
        classic: name of its best matched baseline; None: there is none.
        verdict: on the best, beside the matched baseline.
        best_key: key of the best network's training whose weights are kept for export.
        best_val, best_test: that training's own accuracies.
        front: whether no network of a smaller budget is as accurate, by what is expected of them.
        knee: whether it is the front's knee (see `knee`).
    """

    budget: int
    best: str | None = None
    classic: str | None = None
    verdict: Verdict | None = None
    best_key: str | None = None
    best_val: float | None = None
    best_test: float | None = None
    front: bool = False
    knee: bool = False

    @property
    def text(self) -> str:
        """The budget as a person writes it."""
        return budget_text(self.budget)


def with_front(
    slices: Sequence[SliceResult], points: Mapping[str, Point]
) -> tuple[SliceResult, ...]:
    """Return the slices, those on the front marked, and its knee.

    Args:
        slices: without marks.
        points: of networks, by name, the best of each slice among them.
    """
    bests = {one.best: points[one.best] for one in slices if one.best is not None}
    names = front(bests)
    bend = knee({name: bests[name] for name in names})
    return tuple(
        replace(one, front=one.best in names, knee=one.best is not None and one.best == bend)
        for one in slices
    )


def chosen_one(slices: Sequence[SliceResult]) -> SliceResult | None:
    """Return the slice whose best is the winner of all: the knee, or the most accurate of the front."""
    on_front = [one for one in slices if one.front]
    return next((one for one in on_front if one.knee), on_front[-1] if on_front else None)
