"""The table of docs/formats.md: nine networks in every format, loaded again, exact or within a point."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from archsearch.exchange.checking.agreement import LARGE_LOSS, TOLERANCE
from archsearch.exchange.formats.registry import load_formats

DOCS = Path(__file__).parents[1] / "docs"
CELL = re.compile(
    r"(?P<difference>\S+), (?P<same>\d+)/(?P<images>\d+), (?P<kilobytes>\d+) kB"
    r"(, (?P<trained>\S+) → (?P<kept>\S+) %)?"
)


@pytest.fixture
def script():
    """docs/formats.py as a module."""
    spec = importlib.util.spec_from_file_location("formats_page", DOCS / "formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check(text: str, networks) -> None:
    """Hold the table of a page to what the page says of formats."""
    table = text.partition("<!-- digits -->")[2].partition("<!-- /digits -->")[0].strip()
    head, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    ]
    assert head[1:] == list(load_formats())
    assert [row[0] for row in rows] == list(networks)
    for network, *cells in rows:
        for name, cell in zip(head[1:], cells, strict=True):
            found = CELL.fullmatch(cell)
            assert found, f"{network} as {name}: {cell}"
            assert int(found["kilobytes"]) > 0
            if load_formats()[name].exact:
                assert float(found["difference"]) <= TOLERANCE, f"{network} as {name}: {cell}"
                assert found["same"] == found["images"], f"{network} as {name}: {cell}"
            else:
                lost = float(found["trained"]) - float(found["kept"])
                assert lost <= 100 * LARGE_LOSS + 1e-9, f"{network} as {name}: {cell}"


def test_it_has_every_network_in_every_format(script):
    check((DOCS / "formats.md").read_text(encoding="utf-8"), script.SPACES)


@pytest.mark.slow
@pytest.mark.keras
def test_it_comes_out_so_again(script, tmp_path, monkeypatch):
    page = tmp_path / "formats.md"
    shutil.copy(DOCS / "formats.md", page)
    monkeypatch.setattr(script, "PAGE", page)
    script.main(tmp_path / "work", "digits", [])
    check(page.read_text(encoding="utf-8"), script.SPACES)
