"""The winner and the matched baseline, stage by stage: memory, parameters and FLOPs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from archsearch.archive.leaderboard import Row
from archsearch.readings.plot import Profile, format_bytes
from archsearch.report.page.chart import Cell, Chart, Numbers, Section, cells, spec_of, tips
from archsearch.report.page.material import Material
from archsearch.units import format_count

_PANEL: Final = 270
"""Width of the panel of one cost, in pixels."""
_COSTS: Final = (
    ("memory", "activation memory, KB an image"),
    ("params", "parameters"),
    ("flops", "FLOPs"),
)


def stage_by_stage(material: Material) -> Section | None:
    """Return the part about where the costs sit; None where no network could be read."""
    pair = [row for row in (material.winner, material.matched) if row is not None]
    if not pair:
        pair = [row for row in material.result.rows if row.rank == 1]
    shown = {row.name: row for row in pair if row.name in material.profiles}
    if not shown:
        return None
    chart = _chart(shown, {name: material.profiles[name] for name in shown})
    return Section(key="stages", title="Stage by stage", blocks=(chart,))


def _chart(rows: Mapping[str, Row], profiles: Mapping[str, Profile]) -> Chart:
    values = [
        {
            "network": _label(rows[name]),
            "stage": bar.label,
            "memory": round(bar.activation_bytes / 2**10, 2),
            "params": bar.params,
            "flops": bar.flops,
        }
        for name, profile in profiles.items()
        for bar in profile.bars
    ]
    stages = _in_order([[bar.label for bar in one.bars] for one in profiles.values()])
    labels = [_label(row) for row in rows.values()]
    return Chart(
        key="anatomy",
        title="Where memory, parameters and FLOPs sit",
        summary=f"Costs of {' and '.join(labels)}, one bar a stage from the image to the classes.",
        spec=_panels(values, stages, labels),
        numbers=Numbers(
            title="The stages in numbers",
            heads=("network", "stage", ">activation memory", ">parameters", ">FLOPs", ">share of FLOPs, %"),
            rows=tuple(
                row
                for name, profile in profiles.items()
                for row in _rows(_label(rows[name]), profile)
            ),
        ),
        wide=True,
    )  # fmt: skip


def _rows(label: str, profile: Profile) -> list[tuple[Cell, ...]]:
    """Return a network's stages, and all of them together."""
    made = [
        cells(
            label,
            bar.label,
            Cell(format_bytes(bar.activation_bytes), bar.activation_bytes),
            Cell(format_count(bar.params), bar.params),
            Cell(format_count(bar.flops), bar.flops),
            Cell(f"{100 * bar.flops / max(1, profile.flops):.1f}", bar.flops),
        )
        for bar in profile.bars
    ]
    total = cells(
        label,
        "all",
        Cell(format_bytes(profile.activation_bytes), profile.activation_bytes),
        Cell(format_count(profile.params), profile.params),
        Cell(format_count(profile.flops), profile.flops),
        Cell("100.0"),
    )
    return [*made, total]


def _panels(values: Sequence[dict[str, Any]], stages: Sequence[str], labels: Sequence[str]) -> Any:
    whole = spec_of(values)
    return {
        **{key: whole[key] for key in ("$schema", "config", "data")},
        "hconcat": [_panel(field, title, stages, labels) for field, title in _COSTS],
    }


def _panel(field: str, title: str, stages: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    return {
        "title": title,
        "width": _PANEL,
        "height": 220,
        "mark": {"type": "bar"},
        "encoding": {
            "x": {"field": "stage", "type": "nominal", "sort": list(stages), "title": None,
                  "axis": {"labelAngle": -35, "labelLimit": 90}},
            "xOffset": {"field": "network", "sort": list(labels)},
            "y": {"field": field, "type": "quantitative", "title": None,
                  "axis": {"format": "~s", "tickCount": 5}},
            "color": {"field": "network", "type": "nominal", "sort": list(labels),
                      "legend": {"orient": "bottom", "title": None, "columns": 1}},
            "tooltip": tips(("network", "network"), ("stage", "stage"), (field, title, ".3~s")),
        },
    }  # fmt: skip


def _label(row: Row) -> str:
    return f"{row.label} ({row.origin})" if row.role == "baseline" else row.label


def _in_order(lists: Sequence[Sequence[str]]) -> list[str]:
    """Return all stages in an order that keeps that of the network with most of them."""
    longest = max(lists, key=len)
    found = list(longest)
    for names in lists:
        for place, name in enumerate(names):
            if name not in found:
                before = names[place - 1] if place else None
                found.insert(found.index(before) + 1 if before in found else 0, name)
    return found
