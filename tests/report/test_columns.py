"""The words of a leaderboard: who won, who was retrained, and what is dropped last."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.report.columns import columns, legend
from archsearch.report.results import leaderboard
from archsearch.settings import RunSettings
from archsearch.statistics.score import Score
from archsearch.statistics.verdict import Contender, verdict

BARE = Row(
    rank=1, name="a", label="resnext 1-2-1-2 G4 gap", role="candidate", origin="search",
    flops=19_900_000, fill=0.995, params=448_000, activation_bytes=1, epochs=4, val_accuracy=0.985,
    status="complete", latency_ms=2.34, graph="a",
)  # fmt: skip
AGAIN = {
    "final_val": Score(mean=0.981, sd=0.004, n=2), "test": Score(mean=0.97, sd=0.01, n=2), "expected": 0.98,
}  # fmt: skip
ROWS = (
    replace(BARE, winner=True, **AGAIN),
    replace(BARE, role="baseline", origin="matched", **AGAIN),
    replace(BARE, **AGAIN),
    BARE,
)


def shown(rows, width: int, **changes) -> str:
    result = StudyResult(
        study="s", status="complete", settings=RunSettings(space="resnext", flops="20M"),
        dataset=DatasetFacts(name="d"), rows=rows, **changes,
    )  # fmt: skip
    stream = io.StringIO()
    Console(file=stream, width=width, color_system=None).print(leaderboard(result))
    return stream.getvalue()


def test_a_network_is_called_what_it_is():
    assert [row.part for row in ROWS] == ["winner", "matched", "finalist", "candidate"]
    assert replace(ROWS[1], winner=True).part == "matched, winner"


@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_who_won_and_what_is_the_baseline_stand_in_any_window(width: int):
    text = shown(ROWS, width)
    assert all(len(line) <= width for line in text.splitlines())
    table = text.partition("matched: ")[0]
    assert [table.count(word) for word in ("winner", "matched", "finalist", "candidate")] == [1] * 4
    assert "val %" in table


def test_words_have_a_legend_of_what_is_there():
    every = legend(columns(ROWS), ROWS)
    for word in ("matched", "fill", "ms", "val", "val again", "n", "expected"):
        assert f"{word}: " in every
    plain = replace(BARE, latency_ms=None)
    bare = legend(columns([plain]), [plain])
    assert [part.partition(":")[0] for part in bare.split("; ")] == ["fill", "val"]


def test_the_verdict_stands_below_the_table():
    one = Contender(label="a", n=3, matched=False, val=0.9)
    other = Contender(label="b", n=2, matched=True, val=0.8)
    found = verdict(one, other, gain=0.1, probability=0.97, ties=["c"])
    text = " ".join(shown(ROWS, 140, verdict=found).split())
    assert (
        "Verdict: a is better than the matched b by 10.0 points, P = 0.97, n = 3 and 2 trainings."
        in text
    )
    assert "Not told apart from the winner: c." in text
