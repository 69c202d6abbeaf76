"""A study's report as a folder: Markdown, and pictures beside it."""

from collections.abc import Iterable
from pathlib import Path

from archsearch.archive.codec import kept_settings
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.errors import UserError
from archsearch.report.analysis import Standing, curves, points, standing_of
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
from archsearch.report.fronts import front_markdown
from archsearch.report.picture import draw_complexity, draw_curves
from archsearch.statistics.score import Score
from archsearch.units import as_markdown, format_count, format_duration, format_ms, format_size
from archsearch.whole_files import write_whole


def write_report(result: StudyResult, *, home: Path, out: Path) -> Path:
    """Write report.md, complexity.png and curves.png into `out`, and return the first's path.

    Raises:
        UserError: no network has an accuracy yet, or `out` can't be written.
    """
    check_reportable(result)
    found = points(result)
    trained = curves(result, home=home)
    try:
        out.mkdir(parents=True, exist_ok=True)
        if found:
            title = f"{result.study}: accuracy and cost"
            draw_complexity(found, out / "complexity.png", title=title)
        if trained:
            draw_curves(trained, out / "curves.png", title=f"{result.study}: finalists, first seed")
        path = out / "report.md"
        write_whole(path, markdown(result, pictured=bool(trained)))
    except OSError as error:
        raise UserError(
            f"{str(out)!r} can't be written ({error.strerror}); choose another --out"
        ) from None
    return path


def check_reportable(result: StudyResult) -> None:
    """Refuse a study of which there is nothing to report yet.

    Raises:
        UserError: no network has an accuracy.
    """
    judged = result.stalls or (result.training is not None and result.winner is not None)
    if not points(result) and not judged:
        raise UserError(f"study {result.study!r} has no network with an accuracy yet; run it first")


def markdown(result: StudyResult, *, pictured: bool) -> str:
    """Return the report's text."""
    standing = standing_of(result)
    parts = [f"# {as_markdown(result.study)}", _summary(result, standing)]
    if result.ended:
        parts.append(f"It ended early: {result.ended}.")
    parts += [f"{as_markdown(line)}." for line in result.lost]
    if stalled := stalled_text(result):
        parts.append(f"{as_markdown(stalled)}.")
    if result.slices:
        parts += ["## Front", front_markdown(result)]
    if points(result):
        parts.append("![Accuracy against FLOPs](complexity.png)")
        parts.append(
            "The area of a bubble is the number of parameters. Bubbles with an edge are means over "
            "retrainings from scratch, with their standard deviation; the others are single trials."
            + (" The line is the front." if result.slices else "")
        )
    if pictured:
        parts.append("![Learning curves](curves.png)")
    parts += ["## Networks", _table(result.rows, full=result.training is not None)]
    bound = result.settings.max_latency
    if bound is not None:
        parts.append(
            f"A call of one image may take {bound}. Networks that are latency-bound were solved for fewer "
            "FLOPs than the budget, so that they are quick enough; while others trained, what counted was "
            "the time below which a tenth of the calls stayed. `ms` is the median, measured after the "
            "finals, when nothing else ran."
        )
    if departures := _rules(result.rows):
        parts += ["## Departures from the design rules", departures]
    parts += ["## Settings", _settings(result)]
    return "\n\n".join(parts) + "\n"


def _summary(result: StudyResult, standing: Standing) -> str:
    size = format_size(result.dataset.input)
    what = f"{len(result.rows)} networks of `{result.space}` under {result.budget} FLOPs"
    if result.training is not None:
        what = "A full training"
    lines = [
        f"{what} on "
        f"{as_markdown(standing.data)} ({size}), {result.status}, {format_duration(result.wall_s)}."
    ]
    if freed := freed_text(result.settings):
        lines.append(f"{freed[0].upper()}{freed[1:]}.")
    if standing.best and standing.flops is not None:
        lines.append(
            f"Best: **{as_markdown(standing.best)}**, {format_count(standing.flops)} FLOPs, "
            f"{format_count(standing.params or 0)} parameters{_speed(standing)}, test accuracy "
            f"{score(standing.test) or 'not measured'}."
        )
    if spent := spent_text(result):
        lines.append(f"{spent[0].upper()}{spent[1:]}.")
    if (earlier := origin_text(result)) is not None:
        lines.append(f"{as_markdown(earlier)}.")
    if result.verdict is not None and not result.slices:
        lines += [as_markdown(line) for line in result.verdict.lines]
    if standing.baseline and not result.slices and not _is_baseline(result.winner):
        gain = "" if standing.gain is None else f", the best {standing.gain:+.1f} points"
        lines.append(
            f"Matched baseline: {as_markdown(standing.baseline)}, test accuracy "
            f"{score(standing.baseline_test) or 'not measured'}{gain}."
        )
    return "  \n".join(lines)


def _is_baseline(winner: Row | None) -> bool:
    """Whether there is nothing else to compare the winner with than itself."""
    return winner is not None and winner.origin == "matched"


def _table(rows: tuple[Row, ...], *, full: bool) -> str:
    shown = columns(rows, reasons=True, full=full)
    lines = [_line(column.head for column in shown)]
    lines.append(f"|{'|'.join('--:' if column.right else '---' for column in shown)}|")
    for row in rows:
        cells = [as_markdown(column.cell(without_guesses(row))) for column in shown]
        if row.winner:
            cells = [f"**{cell}**" if column.head == "network" else cell
                     for column, cell in zip(shown, cells, strict=True)]  # fmt: skip
        lines.append(_line(cells))
    if not full:
        lines += ["", f"{as_markdown(legend(shown, rows))}."]
    return "\n".join(lines)


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _rules(rows: tuple[Row, ...]) -> str:
    """List where networks depart from the design rules of their space."""
    lines = [
        f"- {as_markdown(row.label)}: {as_markdown(finding.message)} ({finding.rule})"
        for row in rows
        for finding in row.findings or ()
    ]
    return "\n".join(lines)


def _speed(standing: Standing) -> str:
    ms = standing.latency_ms
    return "" if ms is None else f", {format_ms(ms)} ms a call of one image"


def _settings(result: StudyResult) -> str:
    values = kept_settings(result.settings)
    return "\n".join(f"- {key}: {as_markdown(str(value))}" for key, value in values.items())


def score(found: Score | None) -> str:
    """Return an accuracy as `97.2 ± 0.3 %`; empty where there is none."""
    return f"{score_text(found)} %" if found else ""
