"""Tables for the terminal."""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from archsearch.exchange.latency import Latency
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.readings.receptive_field import receptive_field
from archsearch.readings.table import ELEMENTWISE, layers, stages
from archsearch.space.solve import Candidate
from archsearch.units import format_count, format_ms, format_size, printable_lines

_UNLIMITED = 200
"""Columns where stdout is no terminal: a file or a pipe has no width to respect."""


class PlainConsole(Console):
    """A console on which names are what they are: no markup, no emoji, no escape sequences.

    Also where a name comes in as a Text: whatever goes to the terminal passes here.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Write out what would move the cursor or set colours."""
        for segment in super().render(renderable, options):
            text = segment.text
            if not segment.control and not text.isprintable():
                segment = segment._replace(text=printable_lines(text))  # noqa: PLW2901
            yield segment

    def on_broken_pipe(self) -> None:
        """Leave it to the command line, as for any output; rich would end the process with 1."""
        raise  # noqa: PLE0704  the BrokenPipeError that rich is handling


def show(*parts: RenderableType) -> None:
    """Print to stdout: as wide as the terminal; in full, without colours, where it is none."""
    width = None if sys.stdout.isatty() else _UNLIMITED
    console = PlainConsole(width=width)
    for part in parts:
        console.print(part, crop=False)  # what is shown here fits; to see to it takes as long again


def network(
    graph: Graph, *, every: bool, latency: Latency | None = None
) -> tuple[RenderableType, ...]:
    """Return the lecture's table of a network, where its costs sit, and its totals."""
    total = cost(graph)
    timed = "" if latency is None else f"\n{latency_text(latency)}"
    summary = Text.assemble(
        (graph.name, "bold"),
        f" on {format_size(graph.input)}: ",
        (f"{format_count(total.flops)} FLOPs", "bold"),
        f" ({total.flops:,}), ",
        (f"{format_count(total.params)} parameters", "bold"),
        f" ({total.params:,}), activations {_megabytes(total.activation_bytes)}, "
        f"receptive field {receptive_field(graph)} pixels",
        timed,
    )
    return _layers(graph, every=every), _stages(graph), summary


def _layers(graph: Graph, *, every: bool) -> Table:
    table = new_table("layer", "kind", ">output", ">memory KB", ">params", ">FLOPs", ">sees px")
    hidden = 0
    for layer in layers(graph):
        if layer.kind in ELEMENTWISE and not every:
            hidden += 1
            continue
        table.add_row(
            layer.name,
            layer.kind,
            "×".join(map(str, layer.output)),
            f"{layer.activation_bytes / 1024:,.2f}".removesuffix(".00"),
            f"{layer.params:,}",
            f"{layer.flops:,}",
            f"{layer.receptive_field:,}",
        )
    if hidden:
        table.caption = (
            f"{hidden} activations, normalisations and dropouts not shown (--all shows them)"
        )
    return table


def _stages(graph: Graph) -> Table:
    table = new_table("where it sits", ">memory", ">%", ">params", ">%", ">FLOPs", ">%")
    for s in stages(graph):
        table.add_row(
            s.stage,
            _megabytes(s.activation_bytes),
            f"{s.activation_share:.1%}",
            format_count(s.params),
            f"{s.params_share:.1%}",
            format_count(s.flops),
            f"{s.flops_share:.1%}",
        )
    return table


def latency_text(latency: Latency) -> str:
    """Say how long a call takes, and of what."""
    images = "1 image" if latency.batch == 1 else f"{latency.batch} images"
    return (
        f"latency {format_ms(latency.median_ms)} ms for {images} on {latency.device} "
        f"(a tenth of {latency.calls} calls below {format_ms(latency.p10_ms)}, "
        f"a tenth above {format_ms(latency.p90_ms)}; {latency.threads} CPU threads)"
    )


def comparison(graphs: Sequence[Graph], latencies: Sequence[Latency] = ()) -> Table:
    """Return networks side by side, as the lecture compares them; with latencies, one for each."""
    table = new_table(
        "network", ">input", ">FLOPs", ">params", ">activations", ">sees px", ">layers",
        *([">latency ms", ">10 to 90 %"] if latencies else []),
    )  # fmt: skip
    for latency in latencies[:1]:
        images = "1 image" if latency.batch == 1 else f"{latency.batch} images"
        table.caption = (
            f"latency: median of a call of {images} on {latency.device}, "
            f"{latency.threads} CPU threads"
        )
    for graph, latency in zip_longest(graphs, latencies):
        total = cost(graph)
        weighted = sum(layer.counted for layer in layers(graph))
        table.add_row(
            graph.name,
            format_size(graph.input),
            format_count(total.flops),
            format_count(total.params),
            _megabytes(total.activation_bytes),
            f"{receptive_field(graph):,}",
            str(weighted),
            *(_latency_cells(latency) if latency else ()),
        )
    return table


def _latency_cells(latency: Latency) -> tuple[str, str]:
    spread = f"{format_ms(latency.p10_ms)} to {format_ms(latency.p90_ms)}"
    return format_ms(latency.median_ms), spread


def candidates(
    found: Sequence[Candidate], *, words: Mapping[str, str], freed: bool, notes: Sequence[str] = ()
) -> Table:
    """Return candidates, one a row, and below them what the words of their labels mean.

    Args:
        found: the candidates.
        words: the space's words with their meanings.
        freed: show which of the freed rules each obeys.
        notes: more to be said below.
    """
    columns = ("candidate", ">FLOPs", ">fill", ">params", ">activations", ">multiple")
    table = new_table(*columns, *(["obeys"] if freed else []))
    for c in found:
        table.add_row(
            c.label,
            format_count(c.cost.flops),
            f"{c.fill:.2%}",
            format_count(c.cost.params),
            _megabytes(c.cost.activation_bytes),
            str(c.multiple),
            *([" ".join(c.obeyed)] if freed else []),
        )
    lines = [f"{word}: {meaning}" for word, meaning in legend([c.label for c in found], words)]
    table.caption = "\n".join([*notes, *lines])
    return table


def legend(labels: Iterable[str], words: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the words that the labels have, with their meanings; a word's numbers stand for any."""
    text = "\n".join(labels)

    def is_there(word: str) -> bool:
        pattern = re.sub(r"\d+(\\?\.\d+)?", r"\\d+(\\.\\d+)?", re.escape(word))
        return re.search(rf"(?<!\w){pattern}(?!\w)", text) is not None

    return [(word, meaning) for word, meaning in words.items() if is_there(word)]


def spaces(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of spaces."""
    table = new_table("space", "what it is", "knobs", "rules held", "FLOPs at 32×32", "at 224×224")
    table.caption = "* --relax frees it. archsearch spaces NAME shows one space in detail"
    for row in found:
        table.add_row(
            row["name"],
            row["title"],
            " ".join(row["knobs"]),
            " ".join(f"{rule}*" if rule in row["relaxable"] else rule for rule in row["rules"]),
            *(
                f"{format_count(low)} to {format_count(high)}"
                for low, high in row["reach"].values()
            ),
        )
    return table


def baselines(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of baselines."""
    table = new_table("baseline", ">input", ">classes", ">FLOPs", ">params", "source")
    for row in found:
        table.add_row(
            row["name"],
            format_size(tuple(row["input"])),
            str(row["classes"]),
            format_count(row["flops"]),
            format_count(row["params"]),
            row["source"],
        )
    return table


def rules(found: Sequence[Mapping[str, Any]]) -> Table:
    """Return the table of rules."""
    table = new_table("rule", "what it says", "equation", "tolerance", "source", "held by")
    table.caption = (
        "* --relax frees it there. archsearch spaces NAME says why not where it does not"
    )
    for row in found:
        held = " ".join(f"{s}*" if s in row["freed_in"] else s for s in row["held_by"])
        cells = (row[key] for key in ("name", "statement", "formula", "tolerance", "source"))
        table.add_row(*cells, held)
    return table


def pairs(found: Iterable[tuple[str, str]]) -> Table:
    """Return a table of what and how much, without a head."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for what, much in found:
        table.add_row(_as_written(what), _as_written(much))
    return table


class Narrowing(Table):
    """A table that leaves columns out where the window has no room for all of them.

    Attributes:
        spare: the columns that can be done without, the least important first.
    """

    spare: tuple[str, ...] = ()

    def add_row(self, *cells: RenderableType | None, **settings: Any) -> None:
        """Add a row; texts are shown as they are, on any console."""
        super().add_row(*(_as_written(cell) for cell in cells), **settings)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Leave out as few columns as will do, and say so."""
        left_out: list[str] = []
        there = {column.header for column in self.columns}
        for name in self.spare:
            if name not in there:
                continue
            if self._natural(left_out) <= options.max_width:
                break
            left_out.append(name)
        table = self._without(left_out)
        lines = table._lines(options.max_width)
        if lines is None:
            yield from super(Narrowing, table).__rich_console__(console, options)
            return
        drawn = console.render_lines(table._first(), options, pad=False)
        for number, line in enumerate(drawn):
            yield from (*line, Segment.line())
            if number == _FIRST_ROW:
                for text, row in zip(lines[1:], table.rows[1:], strict=True):
                    style = None if row.style is None else console.get_style(row.style)
                    yield from (Segment(text, style), Segment.line())

    def _natural(self, left_out: Sequence[str]) -> int:
        widths = [
            max(cell_len(str(cell)) for cell in (column.header, *column._cells))
            for column in self.columns
            if column.header not in left_out
        ]
        kept = [column for column in self.columns if column.header not in left_out]
        widths = [
            width if column.no_wrap else min(width, _FOLDED)
            for width, column in zip(widths, kept, strict=True)
        ]
        return sum(widths) + _GAP * (len(widths) - 1)

    def _lines(self, room: int) -> list[str] | None:
        """Return the rows as they look where none takes a second line; None: one does, or has styles.

        It takes a fraction of the time: what takes it is every single cell, and there may be 100,000.
        """
        cells = [[_text(cell) for cell in column._cells] for column in self.columns]
        widths = [
            max(cell_len(text.plain) for text in (_text(column.header), *texts))
            for column, texts in zip(self.columns, cells, strict=True)
        ]
        plain = all(
            not text.spans and not text.style and "\n" not in text.plain
            for texts in cells
            for text in texts
        )
        if not self.rows or not plain or sum(widths) + _GAP * (len(widths) - 1) >= room:
            return None
        padded = [
            [_padded(text.plain, width, right=column.justify == "right") for text in texts]
            for column, texts, width in zip(self.columns, cells, widths, strict=True)
        ]
        return [f" {(' ' * _GAP).join(row)} " for row in zip(*padded, strict=True)]

    def _first(self) -> Table:
        """Return the table with its first row alone, as wide as with all of them."""
        table = Table(box=SIMPLE_HEAD, pad_edge=False, caption=self.caption, caption_justify="left")
        for column in self.columns:
            width = max(cell_len(_text(cell).plain) for cell in (column.header, *column._cells))
            table.add_column(column.header, justify=column.justify, no_wrap=True, min_width=width)
        table.add_row(*(column._cells[0] for column in self.columns), style=self.rows[0].style)
        return table

    def _without(self, left_out: Sequence[str]) -> "Narrowing":
        if not left_out:
            return self
        table = _empty()
        kept = [column for column in self.columns if column.header not in left_out]
        for column in kept:
            table.add_column(
                column.header, justify=column.justify, no_wrap=column.no_wrap, overflow="fold"
            )
        for number, row in enumerate(self.rows):
            table.add_row(*(column._cells[number] for column in kept), style=row.style)
        note = f"no room here for: {', '.join(left_out)} (--json has all)"
        table.caption = "\n".join(filter(None, (str(self.caption or ""), note)))
        return table


_FOLDED = 20
"""A column whose text may go over several lines needs this much room at most."""
_GAP = 3
_FIRST_ROW = 3
"""Lines of a table before its first row: the edge, the heads, the line below them."""


def _text(cell: RenderableType) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _padded(text: str, width: int, *, right: bool) -> str:
    """Return a text with spaces up to a width in columns of the terminal."""
    space = " " * (width - cell_len(text))
    return space + text if right else text + space


def _as_written(cell: RenderableType | None) -> RenderableType | None:
    return Text(printable_lines(cell)) if isinstance(cell, str) else cell


def _empty() -> Narrowing:
    return Narrowing(box=SIMPLE_HEAD, pad_edge=False, title_justify="left", caption_justify="left")


def new_table(*columns: str, spare: Sequence[str] = ()) -> Narrowing:
    """Return an empty table; a column whose name starts with `>` is set to the right.

    Args:
        columns: their names.
        spare: those that can be done without in a narrow window, the least important first.
    """
    table = _empty()
    table.spare = tuple(spare)
    for column in columns:
        right = column.startswith(">")
        table.add_column(
            column.removeprefix(">"),
            justify="right" if right else "left",
            no_wrap=right,
            overflow="fold",
        )
    return table


def _megabytes(count: int) -> str:
    return f"{count / 2**20:,.2f} MB" if count >= 2**20 else f"{count / 2**10:,.1f} KB"
