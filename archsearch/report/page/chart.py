"""What a page is made of: charts with their numbers, tables, passages; all frozen values.

A chart is a Vega-Lite specification. Its colours are variables of the page's style sheet, so that one
specification serves light, dark and paper.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, TypeAlias

Spec: TypeAlias = Mapping[str, Any]

SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
"""Names the grammar; nothing is fetched from there."""
PICKED: Final = "picked"
"""The variable of a chart that holds the names of the networks picked; the page's script sets it."""
BRUSH: Final = "brush"
"""The selection of a chart whose networks are picked by drawing a rectangle."""
_SERIES: Final = 8
"""Colours of lines that the style sheet has."""

CONFIG: Final[Spec] = MappingProxyType(
    {
        "background": "transparent",
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "domainColor": "var(--line)",
            "gridColor": "var(--grid)",
            "tickColor": "var(--line)",
            "labelColor": "var(--soft)",
            "titleColor": "var(--ink)",
            "titleFontWeight": "normal",
            "labelFontSize": 12,
            "titleFontSize": 13,
            "labelLimit": 260,
            "tickCount": 6,
        },
        "legend": {
            "labelColor": "var(--ink)",
            "titleColor": "var(--ink)",
            "labelFontSize": 12,
            "titleFontSize": 12,
            "labelLimit": 320,
            "symbolOpacity": 1,
            "symbolStrokeColor": "var(--soft)",
        },
        "header": {"labelColor": "var(--ink)", "titleColor": "var(--ink)", "labelFontSize": 13},
        "title": {"color": "var(--ink)", "fontSize": 13, "anchor": "start"},
        "mark": {"color": "var(--series-1)"},
        "text": {"color": "var(--ink)"},
        "range": {"category": [f"var(--series-{n})" for n in range(1, _SERIES + 1)]},
    }
)


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table.

    Attributes:
        text: what is shown.
        value: what a sorted table goes by; None: the text.
    """

    text: str
    value: float | None = None

    @property
    def differs(self) -> bool:
        """Whether the value is another than what is shown."""
        return self.value is not None and self.text != f"{self.value:.12g}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbers:
    """A table.

    Attributes:
        title: its caption.
        heads: of its columns, each once; one that begins with `>` is set to the right, as figures are.
        rows: as many cells each.
        names: of the networks that the rows are about; empty: they are about something else.
        sortable: whether a reader may sort it and look for words in it.
    """

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    names: tuple[str, ...] = ()
    sortable: bool = False

    kind = "numbers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """A chart and the same in numbers.

    Attributes:
        key: its place on the page, unique in a study.
        title: what it shows.
        summary: the same in a sentence, for those who do not see it.
        spec: of Vega-Lite, with its data.
        numbers: what is drawn.
        note: how to read it.
        wide: whether its width is fixed, and more than a narrow window has.
    """

    key: str
    title: str
    summary: str
    spec: Spec
    numbers: Numbers
    note: str = ""
    wide: bool = False

    kind = "chart"


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """Lines of text; as a list where there are several."""

    lines: tuple[str, ...]

    kind = "passage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A command or a file, as it would be typed."""

    text: str

    kind = "listing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image with what is said of it.

    Attributes:
        url: `data:` address with the image in it.
        alt: what it shows.
        lines: below it.
    """

    url: str
    alt: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """Images side by side."""

    title: str
    pictures: tuple[Picture, ...]

    kind = "gallery"


Block: TypeAlias = Chart | Numbers | Passage | Listing | Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page under a heading."""

    key: str
    title: str
    blocks: tuple[Block, ...]


def cells(*values: str | int | float | Cell | None) -> tuple[Cell, ...]:
    """Return the cells of a row; a number is written as it is, and nothing for None."""
    return tuple(_cell(value) for value in values)


def _cell(value: str | int | float | Cell | None) -> Cell:
    if isinstance(value, Cell):
        return value
    if value is None:
        return Cell("")
    if isinstance(value, str):
        return Cell(value)
    return Cell(f"{value:,}" if isinstance(value, int) else f"{value:g}", value)


def percent(value: float | None, *, digits: int = 1) -> Cell:
    """Return a share as a cell in percent."""
    return Cell("") if value is None else Cell(f"{100 * value:.{digits}f}", value)


def spec_of(values: Sequence[Mapping[str, Any]], **parts: Any) -> Spec:
    """Return a specification over rows of data; `width` is that of the page unless it is given."""
    return {
        "$schema": SCHEMA,
        "config": dict(CONFIG),
        "width": "container",
        "height": 320,
        "autosize": {"type": "fit-x", "contains": "padding"},
        "data": {"values": list(values)},
        **parts,
    }


def axis(field: str, title: str, **parts: Any) -> dict[str, Any]:
    """Return a quantitative channel whose axis need not begin at zero."""
    asked = parts.pop("scale", {})
    scale = {"nice": True, **({} if asked.get("type") == "log" else {"zero": False}), **asked}
    return {"field": field, "type": "quantitative", "title": title, "scale": scale, **parts}


def tips(*fields: tuple[str, str] | tuple[str, str, str]) -> list[dict[str, str]]:
    """Return what is shown where a reader points: field, title and, for figures, their format."""
    return [
        {"field": one[0], "title": one[1], "type": "nominal"}
        if len(one) == 2
        else {"field": one[0], "title": one[1], "type": "quantitative", "format": one[2]}
        for one in fields
    ]


def faded(full: float) -> dict[str, Any]:
    """Return the opacity of a network's mark: pale where others are picked."""
    test = f"!length({PICKED}) || indexof({PICKED}, datum.name) >= 0"
    return {"condition": {"test": test, "value": full}, "value": 0.08}


def picking() -> list[dict[str, Any]]:
    """Return the variable of a chart that follows what is picked elsewhere."""
    return [{"name": PICKED, "value": []}]


def brushing() -> dict[str, Any]:
    """Return the selection of a layer in which a reader picks networks."""
    return {
        "name": BRUSH,
        "select": {
            "type": "interval",
            "mark": {"fill": "var(--soft)", "fillOpacity": 0.12, "stroke": "var(--soft)"},
        },
    }
