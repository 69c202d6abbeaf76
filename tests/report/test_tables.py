"""Tables in windows of any width."""

import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from archsearch.report.tables import Narrowing, comparison, new_table
from archsearch.space.registry import find_baseline


def shown(table: Narrowing, width: int) -> list[str]:
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(table)
    return [line.rstrip() for line in stream.getvalue().splitlines() if line.strip()]


@pytest.fixture
def table() -> Narrowing:
    made = new_table("network", ">FLOPs", ">fill", ">test %", spare=("fill", "n", "FLOPs"))
    made.add_row("resnext 3-4-6-3 G32", "20.0M", "99.4%", "97.6 ± 0.8", style="bold")
    made.add_row("vgg " + "1-" * 30, "19.6M", "98.2%", "")
    made.caption = "a caption"
    return made


def test_a_wide_window_shows_all(table: Narrowing):
    lines = shown(table, 120)
    assert lines[0].split()[0] == "network"
    assert all(word in lines[0] for word in ("FLOPs", "fill", "test %"))
    assert lines[-1] == "a caption"


def letters(text: str) -> list[tuple[str, str]]:
    """Return what is seen: each character with its style; a space has none."""
    style, found = "", []
    for piece in re.finditer(r"\x1b\[([\d;]*)m|(.|\n)", text):
        if piece[2] is None:
            style = piece[1].removeprefix("0")
        else:
            found.append((piece[2], "" if piece[2] == " " else style))
    return found


@pytest.mark.parametrize("width", [30, 42, 61, 62, 63, 64, 65, 66, 67, 68, 70, 120])
def test_rows_that_need_one_line_each_look_as_one_by_one(table, width, monkeypatch):
    def drawn() -> list[tuple[str, str]]:
        stream = io.StringIO()
        Console(file=stream, width=width, color_system="standard", force_terminal=True).print(table)
        return letters(stream.getvalue())

    at_once = drawn()
    monkeypatch.setattr(Narrowing, "_lines", lambda self, room: None)
    assert drawn() == at_once


def test_a_table_of_thousands_is_laid_out_as_one_of_a_few(monkeypatch):
    laid_out: list[str] = []
    wrap = Text.wrap
    monkeypatch.setattr(
        Text, "wrap", lambda self, *a, **k: laid_out.append(self.plain) or wrap(self, *a, **k)
    )
    counts, lines = {}, {}
    for many in (3, 3000):
        table = new_table("network", ">FLOPs")
        for number in range(many):
            table.add_row(f"網 {number:04d}", f"{number}.0M", style="bold" if not number else None)
        del laid_out[:]
        lines[many] = shown(table, 120)
        counts[many] = len(laid_out)
    assert counts[3000] == counts[3]
    assert len(lines[3000]) == 3000 + 2
    assert lines[3000][2].split() == ["網", "0000", "0.0M"]
    assert {cell_len(line) for line in lines[3000][2:]} == {cell_len(lines[3000][-1])}


def test_a_narrow_one_leaves_out_the_least_important_and_says_so(table: Narrowing):
    lines = shown(table, 42)
    assert "fill" not in lines[0]
    assert all(word in lines[0] for word in ("network", "FLOPs", "test %"))
    assert "97.6 ± 0.8" in lines[2]
    assert lines[-2:] == ["a caption", "no room here for: fill (--json has all)"]
    lines = shown(table, 36)
    assert "FLOPs" not in lines[0]
    assert "97.6 ± 0.8" in lines[2]
    # The network's own column folds from here on.
    assert max(map(len, shown(table, 24))) <= 24
    assert len(table.columns) == 4


def test_layers_in_training_only_are_none_of_the_network():
    names = ("googlenet_aux", "googlenet")
    table = comparison([find_baseline(name).build((96, 96, 3), 10) for name in names])
    layers = [str(cell) for cell in table.columns[-1].cells]
    assert layers[0] == layers[1] == "58"
