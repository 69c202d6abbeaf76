"""Accuracy against cost: the lecture's chart, and the Pareto fronts."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final

from archsearch.archive.leaderboard import StudyResult
from archsearch.report.analysis import Point, points
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Passage,
    Section,
    axis,
    brushing,
    cells,
    faded,
    picking,
    spec_of,
    tips,
)
from archsearch.units import format_count

ORIGINS: Final = {
    "search": "candidate",
    "matched": "matched baseline",
    "published": "published baseline",
    "given": "network of your own",
}
_SHAPES: Final = ("circle", "diamond", "square", "triangle-up")
_NAMED: Final = 6
"""Names in the chart at most."""
_LARGEST: Final = 1400.0
"""Area of the largest bubble, in square pixels."""


def accuracy_and_cost(result: StudyResult) -> Section | None:
    """Return the part about accuracy against cost; None where no network has an accuracy."""
    found = points(result)
    if not found:
        return None
    values = _values(result, found)
    return Section(
        key="cost",
        title="Accuracy and cost",
        blocks=(
            Passage(
                lines=(
                    "Draw a rectangle in a chart to pick networks: all charts and the table of "
                    "networks follow. Click a bubble, or a name in the table, for all of a network.",
                )
            ),
            _complexity(values, found),
            _front_by_params(values, found),
        ),
    )


def pareto(found: Iterable[Point], cost: str) -> list[Point]:
    """Return the networks that no cheaper or equal one beats, the cheapest first.

    Args:
        found: all networks.
        cost: the field that is to be small: `flops` or `params`.
    """
    front: list[Point] = []
    for point in sorted(found, key=lambda one: (getattr(one, cost), -one.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            front.append(point)
    return front


def _values(result: StudyResult, found: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the charts' rows: accuracies in percent."""
    rows = {row.name: row for row in result.rows}
    named = [p.name for p in found if p.winner or p.origin != "search"][:_NAMED]
    made = []
    for point in sorted(found, key=lambda one: -one.params):
        row, sd = rows[point.name], point.sd or 0.0
        made.append(
            {
                "name": point.name,
                "label": point.label,
                "kind": ORIGINS[point.origin],
                "role": row.part,
                "flops": point.flops,
                "params": point.params,
                "accuracy": round(100 * point.accuracy, 3),
                "low": round(100 * (point.accuracy - sd), 3),
                "high": round(100 * (point.accuracy + sd), 3),
                "seeds": point.seeds,
                "winner": point.winner,
                "mark": point.label if point.name in named else "",
                "knobs": ", ".join(f"{name} {value}" for name, value in row.knobs.items()),
            }
        )
    return made


def _complexity(values: Sequence[dict[str, Any]], found: Sequence[Point]) -> Chart:
    front = {point.name for point in pareto(found, "flops")}
    winner = next((point for point in found if point.winner), None)
    best = "" if winner is None else (
        f" The winner, {winner.label}, has {100 * winner.accuracy:.1f} % "
        f"at {format_count(winner.flops)} FLOPs."
    )  # fmt: skip
    return Chart(
        key="complexity",
        title="Accuracy against FLOPs",
        summary=f"Validation accuracy of {len(found)} networks against the FLOPs of one image.{best}",
        spec=_bubbles(values, found, cost="flops", title="FLOPs (multiply-adds) of one image"),
        numbers=_table("Accuracy against FLOPs in numbers", values, front),
        note=(
            "The area of a bubble is the number of parameters. Bubbles with an edge are means over "
            "trainings from scratch with their standard deviation, the others single trials. "
            "The dashed line is the Pareto front: no cheaper network has a higher accuracy."
        ),
    )


def _front_by_params(values: Sequence[dict[str, Any]], found: Sequence[Point]) -> Chart:
    front = {point.name for point in pareto(found, "params")}
    return Chart(
        key="pareto",
        title="Pareto front of accuracy and parameters",
        summary=(
            f"Of {len(found)} networks, {len(front)} are on the Pareto front: none with fewer "
            "parameters has a higher validation accuracy."
        ),
        spec=_bubbles(values, found, cost="params", title="parameters"),
        numbers=_table(
            "The Pareto front in numbers", [one for one in values if one["name"] in front], front
        ),
    )


def _bubbles(
    values: Sequence[dict[str, Any]], found: Sequence[Point], *, cost: str, title: str
) -> Any:
    """Return the chart of accuracy against a cost, with its Pareto front."""
    costs = [getattr(point, cost) for point in found]
    x = axis(cost, title, axis={"format": "~s"}, scale=_scale(costs))
    y = axis("accuracy", "validation accuracy, %", scale=_accuracies(values))
    line = [{cost: getattr(p, cost), "accuracy": 100 * p.accuracy} for p in pareto(found, cost)]
    return spec_of(
        values,
        params=picking(),
        layer=[
            {
                "data": {"values": line},
                "mark": {
                    "type": "line", "interpolate": "step-after", "strokeDash": [4, 4],
                    "color": "var(--soft)", "aria": False,
                },
                "encoding": {"x": x, "y": y},
            },
            {
                "transform": [{"filter": "datum.high > datum.low"}],
                "mark": {"type": "rule", "color": "var(--ink)", "aria": False},
                "encoding": {
                    "x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"},
                    "opacity": faded(0.7),
                },
            },
            {
                "params": [brushing()],
                "mark": {"type": "point", "filled": True, "cursor": "pointer"},
                "encoding": _of_bubble(x, y, found),
            },
            {
                "transform": [{"filter": "datum.mark !== ''"}],
                "mark": {"type": "text", "dy": -20, "fontSize": 12, "aria": False, "limit": 260},
                "encoding": {"x": x, "y": y, "text": {"field": "mark"}},
            },
        ],
    )  # fmt: skip


def _of_bubble(x: Any, y: Any, found: Sequence[Point]) -> dict[str, Any]:
    kinds = [ORIGINS[name] for name in ORIGINS if any(p.origin == name for p in found)]
    shapes = [_SHAPES[list(ORIGINS.values()).index(kind)] for kind in kinds]
    colours = [f"var(--{kind.split()[0]})" for kind in kinds]
    legend = {"orient": "top", "title": None, "symbolSize": 120}
    most = max(point.params for point in found)
    return {
        "x": x,
        "y": y,
        "size": {
            "field": "params",
            "type": "quantitative",
            "scale": {"domain": [0, most], "range": [0, _LARGEST]},
            "legend": {
                "orient": "top", "title": "parameters", "format": ".2~s", "values": [most // 4, most],
                "symbolFillColor": "transparent",
            },
        },
        "color": {"field": "kind", "scale": {"domain": kinds, "range": colours}, "legend": legend},
        "shape": {"field": "kind", "scale": {"domain": kinds, "range": shapes}, "legend": legend},
        "stroke": {
            "condition": {"test": "datum.seeds > 0", "value": "var(--ink)"},
            "value": None,
        },
        "strokeWidth": {"condition": {"test": "datum.winner", "value": 2.5}, "value": 1},
        "opacity": faded(0.75),
        "tooltip": tips(
            ("label", "network"), ("role", "role"), ("accuracy", "accuracy, %", ".2f"),
            ("seeds", "trainings from scratch", "d"), ("flops", "FLOPs", ".3~s"),
            ("params", "parameters", ".3~s"), ("knobs", "knobs"),
        ),
    }  # fmt: skip


def _scale(costs: Sequence[int]) -> dict[str, Any]:
    """Return the scale of a cost: by powers where the networks are far apart, with room at both ends."""
    least, most = max(1, min(costs)), max(1, *costs)
    if most > 5 * least:
        room = min((most / least) ** 0.1, 2)
        return {"type": "log", "domain": [least / room, most * room], "nice": False}
    half = max(0.04 * (least + most) / 2, 0.6 * (most - least))
    middle = (least + most) / 2
    return {"domain": [max(0, middle - half), middle + half], "nice": False}


def _accuracies(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    low, high = min(one["low"] for one in values), max(one["high"] for one in values)
    room = max(0.5, 0.12 * (high - low))
    return {"domain": [math.floor(max(0.0, low - room)), high + room], "nice": False}


def _table(title: str, values: Sequence[dict[str, Any]], front: set[str]) -> Numbers:
    ordered = sorted(values, key=lambda one: -one["accuracy"])
    return Numbers(
        title=title,
        heads=("network", "kind", ">FLOPs", ">parameters", ">accuracy, %", ">± sd", "Pareto front"),
        rows=tuple(
            cells(
                one["label"],
                one["kind"],
                Cell(format_count(one["flops"]), one["flops"]),
                Cell(format_count(one["params"]), one["params"]),
                Cell(f"{one['accuracy']:.2f}", one["accuracy"]),
                Cell(f"{one['high'] - one['accuracy']:.2f}" if one["high"] > one["low"] else ""),
                "yes" if one["name"] in front else "",
            )
            for one in ordered
        ),
        names=tuple(one["name"] for one in ordered),
    )
