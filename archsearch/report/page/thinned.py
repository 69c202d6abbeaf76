"""Which networks of a study are on its page one by one, where it has thousands: a picture shows no more."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.analysis import Point, points
from archsearch.report.page.complexity import pareto

_T = TypeVar("_T")
MOST: Final = 400
"""Networks of all studies of a page that are shown one by one: with more its file has over 1.5 MB."""
_LEAST: Final = 40
"""Of one of many studies."""
_STEPS: Final = 400
"""Points of a line, at most: it is not as wide in pixels."""


def most_of(studies: int) -> int:
    """Return how many networks of each of so many studies are shown."""
    return max(_LEAST, MOST // studies)


def thinned(result: StudyResult, most: int = MOST) -> StudyResult:
    """Return a result whose rows are those that a page shows: all where there are no more than `most`.

    Else all that were retrained, the baselines and the Pareto fronts; the best of the others, as many as make
    half of `most`; and of the rest evenly many from the best to the last.
    """
    if len(result.rows) <= most:
        return result
    kept = {
        row.name for row in result.rows if row.retrained or row.winner or row.role == "baseline"
    }
    kept |= _on_fronts(points(result))
    others = [row for row in result.rows if row.name not in kept]
    best = max(0, most // 2 - len(kept))
    kept |= {row.name for row in others[:best]}
    kept |= {row.name for row in evenly(others[best:], most - len(kept))}
    return replace(result, rows=tuple(row for row in result.rows if row.name in kept))


def thinned_text(shown: Sequence[Row], every: Sequence[Row]) -> str:
    """Say which networks are shown; empty: all are."""
    if len(shown) == len(every):
        return ""
    return (
        f"Shown one by one are {len(shown):,} of {len(every):,} networks: all that were trained anew, "
        "baselines, those on the Pareto fronts, the best of the others, and of the rest evenly many from "
        "the best to the last. Sums, shares and the verdict are of all; `archsearch leaderboard` lists all."
    )


def evenly(values: Sequence[_T], most: int = _STEPS) -> list[_T]:
    """Return at most so many of some values, the first and the last among them, at equal distances."""
    if len(values) <= most:
        return list(values)
    if most < 2:
        return list(values[: max(0, most)])
    last = len(values) - 1
    return [values[round(place * last / (most - 1))] for place in range(most)]


def _on_fronts(found: Iterable[Point]) -> set[str]:
    found = list(found)
    return {point.name for cost in ("flops", "params") for point in pareto(found, cost)}
