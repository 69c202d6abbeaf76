"""A study's result for the terminal: the leaderboard, the winner, what to do next."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.commands import command, home_option
from archsearch.repetition import Repetition
from archsearch.report.analysis import Comparison, Standing
from archsearch.report.columns import (
    columns,
    freed_text,
    legend,
    origin_text,
    score_text,
    spent_text,
    stalled_text,
    without_guesses,
)
from archsearch.report.fronts import front_table
from archsearch.report.tables import new_table
from archsearch.study.catalogue import StudySummary
from archsearch.units import counted, format_count, format_duration, ms_text
from archsearch.uris import shown_uri

_DIFFERENCES: Final = 10
"""Figures that came out otherwise which are shown, at most."""


def leaderboard(
    result: StudyResult, *, home: Path = Path("mlruns"), most: int | None = None
) -> Table:
    """Return the table of a study in a home, best first, baselines among the candidates (see `columns`)."""
    rows = result.rows if most is None else result.rows[:most]
    shown = columns(rows, full=result.training is not None)
    spare = sorted((column for column in shown if column.spare), key=lambda column: column.spare)
    table = new_table(
        *(f"{'>' * column.right}{column.head}" for column in shown),
        spare=[column.head for column in spare],
    )
    for row in rows:
        cells = (column.cell(without_guesses(row)) for column in shown)
        table.add_row(*cells, style="bold" if row.winner else None)
    verdict = () if result.verdict is None or result.slices else result.verdict.lines
    captions = [
        *verdict,
        *filter(None, [origin_text(result), result.ended, freed_text(result.settings)]),
        *filter(None, [stalled_text(result)]),
        *result.lost,
        *filter(None, [spent_text(result)]),
    ]
    if len(rows) < len(result.rows):
        captions.append(
            f"{len(result.rows) - len(rows)} more: {command('leaderboard', result.study, home=home)}"
        )
    if result.training is None and (words := legend(shown, rows)):
        captions.append(words)
    table.caption = "\n".join(captions) or None
    return table


def tables(
    result: StudyResult, *, home: Path = Path("mlruns"), most: int | None = None
) -> tuple[Table, ...]:
    """Return the tables of a study: of several budgets the front comes first."""
    table = leaderboard(result, home=home, most=most)
    return (front_table(result), table) if result.slices else (table,)


def ending(
    result: StudyResult, *, home: Path, tracking_uri: str | None = None
) -> tuple[RenderableType, ...]:
    """Return what a person reads when a run in a home is over.

    Args:
        result: what came of it.
        home: where it lies.
        tracking_uri: where its runs are; None: in the home.
    """
    lines = [] if result.winner is None else _winner_lines(result, result.winner)
    lines += result.lost
    for form, path in result.exports.items():
        lines.append(f"Exported ({form}): {path}{_held(result)}")
    lines.append(
        f"{counted(len(result.rows), 'network')} in {format_duration(result.wall_s)}; "
        f"{result.training_share:.0%} of the workers' time in training steps"
    )
    shown: list[RenderableType] = [Text("\n".join(lines)), Text("Next:")]
    shown.append(_next(result, home, tracking_uri))
    if result.trained is not None:
        full = result.trained
        shown += [leaderboard(full, home=home), *ending(full, home=home, tracking_uri=tracking_uri)]
    if result.untold:
        again = command("track", result.study, home=home)
        shown.append(Text(f"MLflow lacks a part of this study; `{again}` writes it"))
    return tuple(shown)


def _held(result: StudyResult) -> str:
    """Say which training the export holds: its own accuracy is not the mean that the table has."""
    if result.best_key is None:
        return ""
    own = (("validation", result.best_val), ("test", result.best_test))
    shares = " and ".join(f"{name} {value:.1%}" for name, value in own if value is not None)
    return f", of {result.best_key}" + (f": its own {shares}" if shares else "")


def _winner_lines(result: StudyResult, winner: Row) -> list[str]:
    """Say what won, what it costs and how it did on the test images."""
    first = "Best" if result.training is None else "Trained"
    if any(one.best == winner.name and one.knee for one in result.slices):
        first = "Knee of the front"
    if winner.origin == "matched" and result.training is None:
        first = f"{first} is the baseline"
    test = None if winner.stalled else winner.test
    accuracy = test and f", test accuracy {score_text(test)} % (n = {test.n})"
    speed = f", {ms_text(winner.latency_ms)} ms a call" if winner.latency_ms is not None else ""
    line = (
        f"{first}: {winner.label}, {format_count(winner.flops)} FLOPs, "
        f"{format_count(winner.params)} parameters{speed}{accuracy or ''}"
    )
    if not winner.stalled:
        return [line]
    return [line, f"It has learnt nothing: {stalled_text(result)}"]


def _next(result: StudyResult, home: Path, tracking_uri: str | None) -> Table:
    """Return the commands that come next, and what each is for."""
    more: tuple[tuple[str, str], ...] = ()
    if result.training is None and result.trained is None and result.winner is not None:
        more = ((command("train", result.study, home=home), "the best network, trained in full"),)
    commands = (
        _compare(home, tracking_uri),
        *more,
        (command("leaderboard", result.study, home=home), "this table again"),
        (
            f"{command('export', result.study, home=home)} --out model/",
            "the best model, where you want it",
        ),
        *(
            (
                f"{command('export', result.study, home=home)} --flops {one.text}",
                "that of this budget",
            )
            for one in result.slices[:1]
        ),
    )
    following = Table.grid(padding=(0, 3, 0, 0))
    for line, purpose in commands:
        following.add_row(Text(f"  {line}"), Text(purpose))
    return following


def _compare(home: Path, tracking_uri: str | None) -> tuple[str, str]:
    """Return what shows the runs, and what for: a server has its own page."""
    purpose = "compare the runs in MLflow"
    if tracking_uri is None:
        return f"archsearch ui{home_option(home)}", purpose
    shown = shown_uri(tracking_uri)
    if urlsplit(tracking_uri).scheme in ("http", "https"):
        return shown, f"{purpose}, with a browser"
    return f"archsearch ui --tracking-uri {shlex.quote(shown)}", purpose


def comparison(found: Comparison) -> Table:
    """Return the table of several studies: the best of each beside its matched baseline.

    What none of them has is left out: spaces drawn by chance have neither baseline nor test accuracy.
    """
    shown = {name: cells for name, cells in _compared(found.standings).items() if any(cells)}
    table = new_table(
        *shown,
        spare=(
            "params",
            "FLOPs",
            "n",
            "space",
            "budget",
            "val %",
            "ms",
            "its ms",
            "matched baseline",
        ),
    )
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    if found.cautions:
        table.caption = "Compare with care: " + "; ".join(found.cautions)
    return table


def _compared(standings: Sequence[Standing]) -> dict[str, list[str]]:
    """Return the cells of each column, a study each."""
    return {
        "study": [s.study for s in standings],
        "space": [s.space for s in standings],
        ">budget": [s.budget for s in standings],
        "best": [s.best or "" for s in standings],
        ">FLOPs": ["" if s.flops is None else format_count(s.flops) for s in standings],
        ">params": ["" if s.params is None else format_count(s.params) for s in standings],
        ">ms": [ms_text(s.latency_ms) for s in standings],
        ">val %": [score_text(s.val) for s in standings],
        ">test %": [score_text(s.test) for s in standings],
        ">n": [str(s.test.n) if s.test else "" for s in standings],
        "matched baseline": [s.baseline or "" for s in standings],
        ">its ms": [ms_text(s.baseline_latency_ms) for s in standings],
        ">its test %": [score_text(s.baseline_test) for s in standings],
        ">gain": ["" if s.gain is None else f"{s.gain:+.1f}" for s in standings],
    }


def studies(found: Sequence[StudySummary]) -> Table:
    """Return the table of studies."""
    table = new_table("study", "status", "space", "data", ">trials", ">val %", "begun")
    for column in table.columns[1], table.columns[-1]:
        column.no_wrap = True
    for s in found:
        table.add_row(
            s.name,
            s.status if s.pid is None else f"{s.status} (process {s.pid})",
            f"{s.space} {s.budget}",
            s.data,
            f"{s.trials_done}/{s.trials}",
            "" if s.best_val is None else f"{100 * s.best_val:.1f}",
            s.created.replace("T", " ")[:16],
        )
    return table


def repeated(found: Repetition) -> tuple[RenderableType, ...]:
    """Return what came of a training that was repeated: one line, and a table of what came out otherwise."""
    what = f"{found.key} ({found.label}), {counted(found.epochs, 'epoch')}, {found.how}"
    if not found.differences:
        return (Text(f"{what}: every figure is the same to the last digit"),)
    first = found.differences[0]
    table = new_table("where", "figure", ">in the study", ">now")
    for one in found.differences[:_DIFFERENCES]:
        table.add_row(one.where, one.figure, _digits(one.before), _digits(one.again))
    left = len(found.differences) - _DIFFERENCES
    if left > 0:
        table.caption = f"{counted(left, 'more figure')}: --json has them all"
    return Text(f"{what}: other figures, from {first.where} on"), table


def _digits(value: float | None) -> str:
    return "none" if value is None else repr(value)
