"""What is said after a study's table."""

import io
from pathlib import Path

from rich.console import Console

from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import Row, StudyResult
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
