"""What is said after a study's table."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Spending
from archsearch.report.columns import spent_text
from archsearch.report.results import ending, leaderboard
from archsearch.settings import RunSettings


def result(study: str) -> StudyResult:
    rows = [
        Row(name=name, label=name, role="candidate", origin="search", flops=1, fill=1.0, params=1,
            activation_bytes=1, status="complete", graph=name)
        for name in ("a", "b", "c")
    ]  # fmt: skip
    return StudyResult(
        study=study, status="complete", settings=RunSettings(space="vgg", flops="1M"),
        dataset=DatasetFacts(name="d"), rows=tuple(rows),
    )  # fmt: skip


def test_commands_name_the_home_and_can_be_copied():
    stream = io.StringIO()
    console = Console(file=stream, width=200, color_system=None)
    console.print(leaderboard(result("my study"), home=Path("my home"), most=1))
    console.print(*ending(result("my study"), home=Path("my home")), sep="\n")
    shown = stream.getvalue()
    assert "2 more: archsearch leaderboard 'my study' --home 'my home'" in shown
    assert "archsearch ui --home 'my home' " in shown
    assert "archsearch export 'my study' --home 'my home' --out model/" in shown


T = 10**12


@pytest.mark.parametrize(
    ("spending", "bound", "text"),
    [
        (Spending(), None, ""),
        (
            Spending(search=(71 * T,), finals=20 * T, baselines=9 * T),
            None,
            "spent: 100T training FLOPs: search 71 %, finals 20 %, baselines 9 %",
        ),
        (
            Spending(search=(30 * T, 10 * T), finals=5 * T, baselines=4 * T, measuring=T),
            "60T",
            "spent: 50.0T training FLOPs (of 60T, measuring apart): search 80 % (60 % on rung 0, "
            "20 % on rung 1), finals 10 %, baselines 8 %, measuring the pace 2 %",
        ),
    ],
)
def test_what_was_spent_on_what(spending: Spending, bound: str | None, text: str):
    settings = RunSettings(space="vgg", flops="1M", search_flops=bound)
    assert spent_text(replace(result("s"), spending=spending, settings=settings)) == text
