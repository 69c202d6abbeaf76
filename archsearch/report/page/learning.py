"""Learning curves of the finalists with bands over their seeds, and how the search went on."""

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from archsearch.archive.leaderboard import Row
from archsearch.report.analysis import Curve
from archsearch.report.page.chart import (
    Cell,
    Chart,
    Numbers,
    Section,
    axis,
    brushing,
    cells,
    faded,
    percent,
    picking,
    spec_of,
    tips,
)
from archsearch.report.page.material import Material

MOST_LINES: Final = 8
"""Networks whose curves are drawn: there are as many colours."""


def learning(material: Material) -> Section | None:
    """Return the part about learning; None where nothing has been learnt yet."""
    made = (_bands(material.curves), _progress(material))
    charts = [chart for chart in made if chart is not None]
    if not charts:
        return None
    return Section(key="learning", title="Learning", blocks=tuple(charts))


def bands(curves: Iterable[Curve]) -> list[dict[str, Any]]:
    """Return mean and standard deviation over a network's seeds, epoch by epoch, in percent.

    Counted at an epoch are the seeds that were evaluated after it: `n` of them.
    """
    values: dict[tuple[str, int], list[float]] = defaultdict(list)
    labels: dict[str, Curve] = {}
    for curve in curves:
        labels.setdefault(curve.name, curve)
        for epoch, accuracy in zip(curve.epochs, curve.accuracy, strict=True):
            values[curve.name, epoch].append(100 * accuracy)
    made = []
    for (name, epoch), found in sorted(values.items(), key=lambda one: one[0][1]):
        mean = statistics.fmean(found)
        sd = statistics.stdev(found) if len(found) > 1 else 0.0
        made.append(
            {
                "name": name,
                "network": _shown(labels[name]),
                "epoch": epoch,
                "mean": round(mean, 3),
                "sd": round(sd, 3),
                "low": round(mean - sd, 3),
                "high": round(mean + sd, 3),
                "n": len(found),
            }
        )
    return made


def _shown(curve: Curve) -> str:
    usual = curve.origin in ("search", "given")
    return curve.label if usual else f"{curve.label} ({curve.origin})"


def _bands(curves: Sequence[Curve]) -> Chart | None:
    names = list(dict.fromkeys(curve.name for curve in curves))
    drawn = set(names[:MOST_LINES])
    values = bands(curve for curve in curves if curve.name in drawn)
    if not values:
        return None
    left = len(names) - len(drawn)
    more = f" The {left} retrained networks that rank lower are left out." if left else ""
    return Chart(
        key="curves",
        title="Learning curves, mean and standard deviation over seeds",
        summary=f"Validation accuracy after each epoch of {len(drawn)} retrained networks.",
        spec=_band_spec(values),
        numbers=Numbers(
            title="The learning curves in numbers",
            heads=("network", ">epoch", ">accuracy, %", ">± sd", ">seeds"),
            rows=tuple(
                cells(
                    one["network"], one["epoch"], Cell(f"{one['mean']:.2f}", one["mean"]),
                    Cell(f"{one['sd']:.2f}" if one["n"] > 1 else "", one["sd"]), one["n"],
                )
                for one in sorted(values, key=lambda one: names.index(one["name"]))
            ),
            names=tuple(
                one["name"] for one in sorted(values, key=lambda one: names.index(one["name"]))
            ),
        ),
        note=f"A band is one standard deviation wide on each side; one seed has none.{more}",
    )  # fmt: skip


def _band_spec(values: Sequence[dict[str, Any]]) -> Any:
    shown = list(dict.fromkeys(one["network"] for one in values))
    x = axis("epoch", "epoch", axis={"tickMinStep": 1, "format": "d"}, scale={"nice": False})
    y = axis("mean", "validation accuracy, %")
    colour = {
        "field": "network",
        "type": "nominal",
        "sort": shown,
        "legend": {"orient": "top", "title": None, "columns": 2},
    }
    return spec_of(
        values,
        params=picking(),
        encoding={"x": x, "color": colour},
        layer=[
            {
                "mark": {"type": "area", "aria": False},
                "encoding": {
                    "y": {**y, "field": "low"}, "y2": {"field": "high"}, "opacity": faded(0.2),
                },
            },
            {
                "mark": {"type": "line", "aria": False},
                "encoding": {"y": y, "strokeDash": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 36, "cursor": "pointer"},
                "encoding": {
                    "y": y,
                    "opacity": faded(1.0),
                    "tooltip": tips(
                        ("network", "network"), ("epoch", "epoch", "d"),
                        ("mean", "accuracy, %", ".2f"), ("sd", "± sd", ".2f"), ("n", "seeds", "d"),
                    ),
                },
            },
        ],
    )  # fmt: skip


def _progress(material: Material) -> Chart | None:
    """Return the chart of the search: every trial in its order, and the best so far."""
    numbers = material.numbers
    tried = (r for r in material.result.rows if r.name in numbers and r.val_accuracy is not None)
    rows = sorted(tried, key=lambda row: numbers[row.name])
    if not rows:
        return None
    shown = {row.name for row in material.shown.rows}
    values: list[dict[str, Any]] = [
        {
            "name": row.name,
            "label": row.label,
            "trial": numbers[row.name],
            "accuracy": round(100 * (row.val_accuracy or 0), 3),
            "status": "stalled" if row.stalled else row.status,
            "epochs": row.epochs,
        }
        for row in rows
        if row.name in shown
    ]
    line = _best_so_far(rows, numbers)
    return Chart(
        key="progress",
        title="The search, trial by trial",
        summary=(
            f"Validation accuracy of {_so_many(values, rows)} trials in their order, and the best so far."
        ),
        spec=_progress_spec(values, line),
        numbers=_trials(values),
        note="The line is the best accuracy so far. Pruned trainings were stopped before their end.",
    )  # fmt: skip


def _so_many(shown: Sequence[object], every: Sequence[object]) -> str:
    few = len(shown) < len(every)
    return f"{len(shown)} of {len(every):,}" if few else str(len(shown))


def _best_so_far(rows: Iterable[Row], numbers: Mapping[str, int]) -> list[dict[str, Any]]:
    """Return where the best accuracy of all trials so far rises, and where it ends."""
    complete = [row for row in rows if row.status == "complete" and not row.stalled]
    accuracies = [round(100 * (row.val_accuracy or 0), 3) for row in complete]
    best = list(itertools.accumulate(accuracies, max))
    return [
        {"trial": numbers[row.name], "accuracy": best[place]}
        for place, row in enumerate(complete)
        if place in (0, len(complete) - 1) or best[place] > best[place - 1]
    ]


def _trials(values: Sequence[dict[str, Any]]) -> Numbers:
    return Numbers(
        title="The trials in numbers",
        heads=(">trial", "network", ">accuracy, %", ">epochs", "status"),
        rows=tuple(
            cells(
                one["trial"], one["label"], percent(one["accuracy"] / 100, digits=2),
                one["epochs"], one["status"],
            )
            for one in values
        ),
        names=tuple(one["name"] for one in values),
    )  # fmt: skip


def _progress_spec(values: Sequence[dict[str, Any]], line: Sequence[dict[str, Any]]) -> Any:
    x = axis("trial", "trial", axis={"tickMinStep": 1, "format": "d"}, scale={"padding": 10})
    y = axis("accuracy", "validation accuracy, %")
    status = {"field": "status", "type": "nominal", "legend": {"orient": "top", "title": None}}
    return spec_of(
        values,
        height=260,
        params=picking(),
        layer=[
            {
                "data": {"values": list(line)},
                "mark": {
                    "type": "line", "interpolate": "step-after", "color": "var(--soft)",
                    "aria": False,
                },
                "encoding": {"x": x, "y": y},
            },
            {
                "params": [brushing()],
                "mark": {"type": "point", "filled": True, "size": 60, "cursor": "pointer"},
                "encoding": {
                    "x": x, "y": y, "color": status, "shape": status, "opacity": faded(0.9),
                    "tooltip": tips(
                        ("label", "network"), ("trial", "trial", "d"),
                        ("accuracy", "accuracy, %", ".2f"), ("epochs", "epochs", "d"),
                        ("status", "status"),
                    ),
                },
            },
        ],
    )  # fmt: skip
