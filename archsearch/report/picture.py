"""Pictures of a study: accuracy against FLOPs with bubbles of parameters, and learning curves.

Drawn without a display and without matplotlib's global state.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archsearch.drawing import own_style
from archsearch.report.analysis import Curve, Point
from archsearch.units import format_count, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS: Final = {
    "search": "#4c78a8",
    "matched": "#e45756",
    "published": "#b0a08e",
    "given": "#54a24b",
}
_NAMES: Final = {
    "search": "candidate",
    "matched": "matched baseline",
    "published": "published baseline",
    "given": "network of your own",
}
_LARGEST: Final = 900.0  # area of the largest bubble, in square points
_NAMED: Final = 6


@own_style()
def draw_complexity(found: Sequence[Point], path: Path, *, title: str) -> None:
    """Draw accuracy against FLOPs, the area of each bubble as large as its parameters are many.

    Bubbles with an edge are means over retrainings, the others single trials; the winner and the
    baselines are named.
    """
    figure, axes = _figure((8.0, 5.2), title)
    most = max((point.params for point in found), default=1)
    _draw_front(axes, [point for point in found if point.front])
    _draw_bubbles(axes, sorted(found, key=lambda point: -point.params), most)
    if found:
        _scale_flops(axes, [point.flops for point in found])
        _scale_percent(axes)
    axes.set_xlabel("FLOPs (multiply-adds) of one image")
    axes.set_ylabel("validation accuracy, %")
    axes.grid(alpha=0.3)
    _legend(axes, found, most)
    _name(axes, found, most)
    _save(figure, path)


def _draw_front(axes: Any, found: Sequence[Point]) -> None:
    """Draw the front of several budgets as a line from its cheapest network to its most accurate one."""
    ordered = sorted(found, key=lambda point: point.flops)
    flops, percent = [point.flops for point in ordered], [100 * p.accuracy for p in ordered]
    axes.plot(flops, percent, color="black", linewidth=1.0, alpha=0.6, zorder=0.5)


def _draw_bubbles(axes: Any, found: Sequence[Point], most: int) -> None:
    """Draw the bubbles in their order, the later ones over the earlier, all in one go."""
    from matplotlib.colors import to_rgba

    axes.scatter(
        [point.flops for point in found],
        [100 * point.accuracy for point in found],
        s=[_area(point.params, most) for point in found],
        c=[to_rgba(_COLOURS[point.origin], 0.75 if point.seeds else 0.35) for point in found],
        edgecolors=[to_rgba("black", 0.75 if point.seeds else 0.0) for point in found],
        linewidths=[2.0 if point.winner else 0.8 for point in found],
    )
    for point in found:
        if point.sd:
            axes.errorbar([point.flops], [100 * point.accuracy], yerr=[100 * point.sd],
                          color="black", capsize=3, linewidth=0.8)  # fmt: skip


@own_style()
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


def _scale_flops(axes: Any, flops: Sequence[int]) -> None:
    """Set the axis of FLOPs so that it has room for bubbles and at least two numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    least, most = min(flops), max(flops)
    if most > 5 * least:
        axes.set_xscale("log")
        room = min((most / least) ** 0.15, 2)
        axes.set_xlim(least / room, most * room)
        # Two powers of ten are not in every span of less than a hundred.
        steps = (1.0, 2.0, 5.0) if most < 100 * least else (1.0,)
        axes.xaxis.set_major_locator(LogLocator(subs=steps))
        axes.xaxis.set_minor_formatter(NullFormatter())
    else:
        middle = (most + least) / 2
        half = max(0.04 * middle, 0.65 * (most - least))
        axes.set_xlim(middle - half, middle + half)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_count(value)))


def _scale_percent(axes: Any) -> None:
    """Leave room for bubbles, but number no accuracy that cannot be."""
    axes.margins(y=0.15)
    low, high = axes.get_ylim()
    high = min(high, 104)
    axes.set_yticks([tick for tick in axes.get_yticks() if max(low, 0) <= tick <= min(high, 100)])
    axes.set_ylim(low, high)


def _name(axes: Any, found: Sequence[Point], most: int) -> None:
    """Name the winner and the baselines, each where it meets no other name and no edge."""
    named = [p for p in found if p.winner or p.front or p.origin != "search"][:_NAMED]
    axes.figure.draw_without_rendering()  # only then is known what lies where
    plot, taken = axes.get_window_extent(), [_bubble(axes, point, most) for point in named]
    for point in sorted(named, key=lambda point: not point.winner):
        name = axes.annotate(
            _plain(_with_origin(point.label, point.origin)),
            (point.flops, 100 * point.accuracy),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=8,
            weight="bold" if point.winner else "normal",
            in_layout=False,
        )
        box = name.get_window_extent()
        shift = _shift(box, plot, taken, _bubble(axes, point, most).height / 2 + 4)
        taken.append(box.translated(*shift))
        name.set_position(tuple(72 / axes.figure.dpi * pixels for pixels in shift))


def _bubble(axes: Any, point: Point, most: int) -> Any:
    from matplotlib.transforms import Bbox

    x, y = axes.transData.transform((point.flops, 100 * point.accuracy))
    radius = math.sqrt(_area(point.params, most)) / 2 * axes.figure.dpi / 72
    return Bbox.from_extents(x - radius, y - radius, x + radius, y + radius)


def _shift(box: Any, plot: Any, taken: Sequence[Any], away: float) -> tuple[float, float]:
    """Return by how many pixels a name moves off its bubble's centre: as few as will do."""
    # Never over the left or the right edge, if the plot is as wide as the name.
    sideways = max(plot.x0 + 4 - box.x0, 0) + min(plot.x1 - 4 - box.x1, 0)
    down = away + box.height / 2
    places = [
        (sideways, sign * (down + line * box.height)) for line in range(4) for sign in (-1, 1)
    ]

    def in_the_way(place: tuple[float, float]) -> int:
        there = box.translated(*place)
        outside = there.y0 < plot.y0 or there.y1 > plot.y1
        return int(outside + sum(there.overlaps(other) for other in taken))

    return min(places, key=in_the_way)


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
                fontsize=8, labelspacing=2.2, handlelength=5)  # fmt: skip


def _round(value: float) -> float:
    """Round to one digit, so that the legend reads well."""
    unit = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return round(value / unit) * unit


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def _with_origin(label: str, origin: str) -> str:
    return label if origin in ("search", "given") else f"{label} ({origin})"


def _plain(text: str) -> str:
    return printable(" ".join(text.split()))
