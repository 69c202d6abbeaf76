"""The file: whole, small, reaching for nothing, with every name as text."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from archsearch.errors import UserError
from archsearch.report.page.assemble import assemble
from archsearch.report.page.html import LIBRARIES, as_json, html, write_page
from tests.report.page.made import NASTY, material, result, row

MOST_BYTES = 1_500_000
WRITTEN = datetime(2026, 1, 2, 3, 4)


@pytest.fixture(scope="module")
def text() -> str:
    return html(assemble([material()]), written=WRITTEN)


def own(text: str) -> str:
    """The page without the libraries."""
    return re.sub(r"<script data-library.*?</script>", "", text, flags=re.DOTALL)


def test_nothing_is_fetched(text: str) -> None:
    assert re.findall(r"(?:src|href)=\"(?!#|data:)[^\"]*", own(text)) == []
    assert "default-src 'none'" in text
    assert "unsafe-eval" not in text


def test_libraries_and_their_licences_are_in_it(text: str) -> None:
    assert re.findall(r'data-library="([^"]+)"', text) == list(LIBRARIES)
    for owner in (
        "University of Washington Interactive Data Lab",
        "Mike Bostock",
        "Isaac Z. Schlueter",
    ):
        assert owner in text


def test_data_are_json_in_which_no_tag_begins(text: str) -> None:
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert not set("<>&") & set(data[1])
    networks = json.loads(data[1])["networks"]["s1"]
    assert networks[0]["label"] == NASTY
    assert json.loads(as_json({"a": "\u2028<!--"})) == {"a": "\u2028<!--"}
    assert NASTY not in own(text)


def test_every_chart_has_its_numbers_in_a_table(text: str) -> None:
    charts = len(re.findall(r'class="chart', text))
    assert charts == 11
    assert len(re.findall(r"<details><summary>.*?<table", text, re.DOTALL)) >= charts


def test_five_hundred_networks_fit(tmp_path: Path) -> None:
    rows = (
        *result().rows,
        *(
            row(f"trial-{n:04d}", rank=n, label=f"resnext 2-3-4-1 G8 w{n}",
                val_accuracy=n * 7919 % 500 / 1000,
                knobs={"depth1": 2, "depth2": 3, "depth3": 4, "depth4": 1, "cardinality": 8},
                flops=19_000_000 + n, params=100_000 + n, graph=f"{n:064x}")
            for n in range(10, 510)
        ),
    )  # fmt: skip
    numbers = {one.name: n for n, one in enumerate(rows)}
    many = material(result=result(rows=rows), numbers=numbers)
    page = html(assemble([many]), written=WRITTEN)
    assert len(page.encode()) < MOST_BYTES


def test_a_study_without_finals_and_a_full_training_have_pages() -> None:
    waiting = row("trial-0000", rank=None, val_accuracy=None, status="running", trainings=0)
    bare = result(rows=(waiting,), verdict=None, status="running")
    page = html(assemble([material(result=bare, curves=(), profiles={})]), written=WRITTEN)
    assert "No network has an accuracy yet." in page
    assert "The study is running" in page


def test_a_file_is_written_whole_or_refused_in_one_line(tmp_path: Path) -> None:
    path = write_page("one", tmp_path / "new" / "report.html")
    assert path.read_text() == "one"
    assert [one.name for one in path.parent.iterdir()] == ["report.html"]
    with pytest.raises(UserError, match=r"can't be written .*; choose another --out"):
        write_page("one", path / "report.html")
