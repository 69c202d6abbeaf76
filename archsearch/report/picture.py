"""Pictures of a study: accuracy against FLOPs with bubbles of parameters, and learning curves.

Drawn without a display and without matplotlib's global state.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archsearch.report.analysis import Curve, Point
from archsearch.units import format_count

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {"search": "#4c78a8", "matched": "#e45756", "published": "#b0a08e"}
_NAMES: Final = {
    "search": "candidate",
    "matched": "matched baseline",
    "published": "published baseline",
}
_LARGEST: Final = 900.0  # area of the largest bubble, in square points
_NAMED: Final = 6


def draw_complexity(found: Sequence[Point], path: Path, *, title: str) -> None:
    """Draw accuracy against FLOPs, the area of each bubble as large as its parameters are many.

    Bubbles with an edge are means over retrainings, the others single trials; the winner and the
    baselines are named.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, axes = _figure((8.0, 5.2), title)
    most = max((point.params for point in found), default=1)
    for point in sorted(found, key=lambda point: -point.params):
        again = point.seeds > 0
        axes.scatter(
            [point.flops],
            [100 * point.accuracy],
            s=_area(point.params, most),
            color=_COLOURS[point.origin],
            alpha=0.75 if again else 0.35,
            edgecolors="black" if again else "none",
            linewidths=2.0 if point.winner else 0.8,
        )
        if point.sd:
            spread = 100 * point.sd
            axes.errorbar([point.flops], [100 * point.accuracy], yerr=[spread], color="black",
                          capsize=3, linewidth=0.8)  # fmt: skip
    _name(axes, found, most)
    flops = [point.flops for point in found]
    if flops and max(flops) > 1.5 * min(flops):
        axes.set_xscale("log")
        axes.xaxis.set_minor_formatter(NullFormatter())
    elif flops:
        middle = (max(flops) + min(flops)) / 2
        half = max(0.04 * middle, 0.8 * (max(flops) - min(flops)))
        axes.set_xlim(middle - half, middle + half)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))
    axes.margins(y=0.15)
    if axes.get_ylim()[1] > 104:  # room for bubbles, none for the impossible
        axes.set_ylim(top=104)
    axes.set_xlabel("FLOPs (multiply-adds) of one image")
    axes.set_ylabel("validation accuracy, %")
    axes.grid(alpha=0.3)
    _legend(axes, found, most)
    _save(figure, path)


def draw_curves(found: Sequence[Curve], path: Path, *, title: str) -> None:
    """Draw validation accuracy over epochs; baselines are dashed."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure((8.0, 4.0), title)
    for curve in found:
        axes.plot(
            curve.epochs,
            [100 * value for value in curve.accuracy],
            marker="o",
            markersize=3,
            linestyle="-" if curve.origin == "search" else "--",
            label=_plain(_with_origin(curve.label, curve.origin)),
        )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("epoch")
    axes.set_ylabel("validation accuracy, %")
    axes.grid(alpha=0.3)
    if found:
        axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _figure(size: tuple[float, float], title: str) -> "tuple[Figure, Any]":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.set_title(_plain(title), fontsize=11)
    return figure, axes


def _name(axes: Any, found: Sequence[Point], most: int) -> None:
    """Name the winner and the baselines, below and above their bubbles."""
    named = [point for point in found if point.winner or point.origin != "search"][:_NAMED]
    # At equal budgets bubbles lie side by side: names below and above in turn do not meet.
    for index, point in enumerate(sorted(named, key=lambda point: point.flops)):
        above = index % 2 == 1
        away = math.sqrt(_area(point.params, most)) / 2 + 4
        axes.annotate(
            _plain(_with_origin(point.label, point.origin)),
            (point.flops, 100 * point.accuracy),
            xytext=(0, away if above else -away),
            textcoords="offset points",
            ha="center",
            va="bottom" if above else "top",
            fontsize=8,
            weight="bold" if point.winner else "normal",
        )


def _area(params: float, most: int) -> float:
    return max(12.0, _LARGEST * params / most)


def _legend(axes: Any, found: Sequence[Point], most: int) -> None:
    origins = [origin for origin in _NAMES if any(p.origin == origin for p in found)]
    entries = [
        axes.scatter([], [], s=60, color=_COLOURS[origin], label=_NAMES[origin])
        for origin in origins
    ]
    for share in (1.0, 0.25):
        size = _round(most * share)
        entries.append(
            axes.scatter([], [], s=_area(size, most), color="none", edgecolors="grey",
                         label=f"{format_count(size, digits=2)} parameters")
        )  # fmt: skip
    axes.legend(handles=entries, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False,
                fontsize=8, labelspacing=2.2, handletextpad=2.8)  # fmt: skip


def _round(value: float) -> float:
    """Round to one digit, so that the legend reads well."""
    unit = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return round(value / unit) * unit


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _with_origin(label: str, origin: str) -> str:
    return label if origin == "search" else f"{label} ({origin})"


def _plain(text: str) -> str:
    # A `$` would start a formula.
    return " ".join(text.split()).replace("$", r"\$")
