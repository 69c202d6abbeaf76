"""The lecture's picture of a network: where memory, parameters and FLOPs sit, stage by stage."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from archsearch.drawing import own_style
from archsearch.errors import UserError
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.readings.table import layers, stages
from archsearch.units import format_count, printable

FORMATS: Final = (".png", ".svg", ".pdf")
MOST_BARS: Final = 16
"""More stages than this (a network without stage names, say) are summed by resolution instead."""

_INK, _SOFT = "#222222", "#777777"
# Inches: the page, a panel, what is left of the panels and between them, above and below a plot.
_WIDTH, _PANEL, _LEFT, _GAP = 11.0, 3.08, 0.62, 0.52
_ABOVE, _PLOT, _LABELS = 0.66, 1.55, 0.42
_LETTER = 0.068  # of a stage's name, about
_MOST_LETTERS = 16
_PANELS: Final = (
    ("activation_bytes", "activation memory", "#3b6fb6"),
    ("params", "parameters", "#d9822b"),
    ("flops", "FLOPs", "#3a9d6e"),
)


@dataclass(frozen=True, slots=True)
class Bar:
    """What one stage costs."""

    label: str
    activation_bytes: int
    params: int
    flops: int


@dataclass(frozen=True, slots=True)
class Profile:
    """A network's stages, and its totals."""

    name: str
    bars: tuple[Bar, ...]
    activation_bytes: int
    params: int
    flops: int


def profile_bars(graph: Graph) -> Profile:
    """Return what a plot shows of a network: its stages, or its resolutions where stages are many."""
    named = stages(graph)
    if len(named) <= MOST_BARS:
        bars = tuple(Bar(s.stage, s.activation_bytes, s.params, s.flops) for s in named)
    else:
        bars = _by_resolution(graph)
    total = cost(graph)
    return Profile(graph.name, bars, total.activation_bytes, total.params, total.flops)


def plot_profile(graphs: Sequence[Graph], path: Path) -> Path:
    """Draw memory, parameters and FLOPs of each stage, a row for each network.

    Args:
        graphs: the networks, from top to bottom.
        path: where to, a `.png`, `.svg` or `.pdf` file.

    Returns:
        `path`.

    Raises:
        UserError: the file's name says no format, or it cannot be written.
    """
    if path.suffix.lower() not in FORMATS:
        raise UserError(f"{path}: a plot is written as {', '.join(FORMATS)}; name the file so")
    if not graphs:
        raise UserError("there is no network to plot; name at least one")
    # Not pyplot, which keeps figures in global state.
    profiles = [profile_bars(graph) for graph in graphs]
    below = [_space_for_labels(p) for p in profiles]
    height = sum(_ABOVE + _PLOT + labels for labels in below)
    # Text stays text in an SVG, and the same networks give the same file.
    with own_style(svg__fonttype="none", svg__hashsalt="archsearch"):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(_WIDTH, height), dpi=150, facecolor="white")
        top = height
        for profile, labels in zip(profiles, below, strict=True):
            _draw_row(figure, profile, top, height)
            top -= _ABOVE + _PLOT + labels
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            figure.savefig(path, metadata=metadata)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror or error}") from None
    return path


def format_bytes(count: float) -> str:
    """Write bytes as the lecture does, in steps of 1024: `784 KB`, `3.4 MB`."""
    size, unit = _byte_unit(count)
    value = count / size
    return f"{value:.3g} {unit}" if value < 1000 else f"{value:.0f} {unit}"


def _byte_unit(count: float) -> tuple[int, str]:
    units = ((2**30, "GB"), (2**20, "MB"), (2**10, "KB"))
    return next((u for u in units if count >= u[0]), (1, "B"))


def _turned(profile: Profile) -> bool:
    """Say whether the stages' names must be turned to fit side by side."""
    longest = max((len(_short(bar.label)) for bar in profile.bars), default=0)
    return _LETTER * longest > 0.92 * _PANEL / max(4, len(profile.bars))


def _space_for_labels(profile: Profile) -> float:
    """Return the inches that the stages' names need below a plot."""
    if not _turned(profile):
        return _LABELS
    longest = max(len(_short(bar.label)) for bar in profile.bars)
    return _LABELS + 0.7 * _LETTER * longest


def _short(label: str) -> str:
    label = printable(label)
    return label if len(label) <= _MOST_LETTERS else f"{label[: _MOST_LETTERS - 1]}…"


def _draw_row(figure: Any, profile: Profile, top: float, height: float) -> None:
    figure.text(
        _LEFT / _WIDTH,
        (top - 0.22) / height,
        printable(profile.name),
        color=_INK,
        weight="bold",
        size=11.5,
        va="center",
    )
    totals = (
        format_bytes(profile.activation_bytes),
        format_count(profile.params),
        format_count(profile.flops),
    )
    for place, ((field, title, colour), total) in enumerate(zip(_PANELS, totals, strict=True)):
        left = _LEFT + place * (_PANEL + _GAP)
        axes = figure.add_axes(
            (left / _WIDTH, (top - _ABOVE - _PLOT) / height, _PANEL / _WIDTH, _PLOT / height)
        )
        figure.text(
            left / _WIDTH,
            (top - 0.47) / height,
            f"{total}  {title}",
            color=colour,
            weight="bold",
            size=9.5,
            va="center",
        )
        _draw_bars(axes, profile, field, colour)


def _draw_bars(axes: Any, profile: Profile, field: str, colour: str) -> None:
    values = [getattr(bar, field) for bar in profile.bars]
    total, tallest = max(1, sum(values)), max([1, *values])
    # In the unit of the tallest bar, so that the axis has round numbers.
    size, unit = _byte_unit(tallest) if field == "activation_bytes" else _count_unit(tallest)
    axes.bar(range(len(values)), [v / size for v in values], width=0.72, color=colour, zorder=2)
    for place, value in enumerate(values):
        if value >= 0.005 * total:
            text = f"{100 * value / total:.0f}{' %' if len(values) < 10 else '%'}"
            at = (value + 0.02 * tallest) / size
            axes.text(place, at, text, ha="center", va="bottom", size=6.8, color=_SOFT)
    gap = " " if field == "activation_bytes" else ""
    turned = _turned(profile)
    axes.set_xticks(
        range(len(values)),
        [_short(bar.label) for bar in profile.bars],
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
        rotation_mode="anchor" if turned else "default",
        size=7.5,
        color=_INK,
    )
    axes.set_xlim(-0.6, max(len(values), 4) - 0.4)
    axes.set_ylim(0, 1.12 * tallest / size)
    axes.tick_params(length=0, pad=3)
    axes.tick_params(axis="y", labelsize=7.5, labelcolor=_SOFT)
    axes.locator_params(axis="y", nbins=4)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}{gap}{unit}" if value else "0")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7, zorder=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#999999")


def _count_unit(count: float) -> tuple[int, str]:
    units = ((10**9, "G"), (10**6, "M"), (10**3, "k"))
    return next((u for u in units if count >= u[0]), (1, ""))


def _by_resolution(graph: Graph) -> tuple[Bar, ...]:
    """Sum layers by the map they work on; vectors and 1×1 maps join the resolution before them."""
    sums: dict[str, list[int]] = {}
    label = ""
    for layer in layers(graph):
        shape = [known(n) for n in layer.output]
        if layer.kind == "dense" or (layer.kind in {"flatten", "global_pool"} and len(shape) == 1):
            label = "head"
        elif len(shape) == 3 and shape[:2] != [1, 1]:
            label = f"{shape[0]}×{shape[1]}"
        total = sums.setdefault(label or "input", [0, 0, 0])
        total[0] += layer.activation_bytes
        total[1] += layer.params
        total[2] += layer.flops if layer.counted else 0
    head = sums.pop("head", None)
    if head:
        sums["head"] = head
    return tuple(Bar(name, *total) for name, total in sums.items())
