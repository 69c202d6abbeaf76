"""The error distribution (EDF) of the networks that a search has tried.

That of Radosavovic et al. 2019, "On Network Design Spaces for Visual Recognition", equation 1: the share of
networks whose error is below e.
"""

from collections.abc import Sequence
from typing import Any

from archsearch.archive.leaderboard import StudyResult
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Spec,
    axis,
    cells,
    percent,
    spec_of,
    tips,
)
from archsearch.report.page.thinned import evenly


def error_distribution(results: Sequence[StudyResult]) -> Chart | None:
    """Return the EDF of each study's own networks; None where none has an accuracy.

    Counted are trials of the full length that came to their ends. Of thousands of steps evenly many are drawn
    between the first and the last.
    """
    values: list[dict[str, Any]] = []
    for result in results:
        errors = sorted(100 * (1 - accuracy) for accuracy in _searched(result))
        for place, error in evenly(list(enumerate(errors, start=1))):
            share = round(place / len(errors), 4)
            values.append({"study": result.study, "error": round(error, 3), "share": share})
    if not values:
        return None
    studies = list(dict.fromkeys(one["study"] for one in values))
    return Chart(
        key="edf",
        title="Error distribution (EDF)",
        summary=(
            "The share of the networks tried whose validation error is at most as large as the axis "
            f"says, of {', '.join(studies)}."
        ),
        spec=_lines(values, several=len(studies) > 1),
        numbers=_table(values, several=len(studies) > 1),
        note="The more a line lies to the left, the better the space: more networks have a small error.",
    )


def _lines(values: Sequence[dict[str, Any]], *, several: bool) -> Spec:
    colour = {"field": "study", "type": "nominal", "title": None, "legend": {"orient": "top"}}
    return spec_of(
        values,
        height=260,
        mark={"type": "line", "interpolate": "step-after", "point": True},
        encoding={
            "x": axis("error", "validation error, %"),
            "y": axis("share", "share of networks", axis={"format": "%"}, scale={"zero": True}),
            "tooltip": tips(
                ("study", "study"), ("error", "error, %", ".2f"), ("share", "share", ".0%")
            ),
            **({"color": colour} if several else {}),
        },
    )


def _table(values: Sequence[dict[str, Any]], *, several: bool) -> Numbers:
    return Numbers(
        title="The error distribution in numbers",
        heads=(*(["study"] if several else []), ">error, %", ">share of networks, %"),
        rows=tuple(
            cells(
                *([one["study"]] if several else []),
                Cell(f"{one['error']:.2f}", one["error"]),
                percent(one["share"]),
            )
            for one in values
        ),
    )


def _searched(result: StudyResult) -> list[float]:
    top = max((row.rung for row in result.rows), default=0)
    return [
        row.val_accuracy
        for row in result.rows
        if row.role == "candidate" and row.status == "complete" and row.rung == top
        and row.val_accuracy is not None and not row.stalled
    ]  # fmt: skip
