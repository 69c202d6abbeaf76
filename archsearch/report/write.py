"""A study's report as a folder: Markdown, and pictures beside it."""

import os
from pathlib import Path

from archsearch.archive.leaderboard import Row, Score, StudyResult
from archsearch.archive.records import kept_settings
from archsearch.errors import UserError
from archsearch.report.analysis import Standing, compare, curves, points
from archsearch.report.picture import draw_complexity, draw_curves
from archsearch.units import format_count, format_duration, format_ms, format_size, ms_text


def write_report(result: StudyResult, *, home: Path, out: Path) -> Path:
    """Write report.md, complexity.png and curves.png into `out`, and return the first's path.

    Raises:
        UserError: no network has an accuracy yet, or `out` can't be written.
    """
    found = points(result)
    if not found:
        raise UserError(f"study {result.study!r} has no network with an accuracy yet; run it first")
    trained = curves(result, home=home)
    try:
        out.mkdir(parents=True, exist_ok=True)
        draw_complexity(found, out / "complexity.png", title=f"{result.study}: accuracy and cost")
        if trained:
            draw_curves(trained, out / "curves.png", title=f"{result.study}: finalists, first seed")
        path = out / "report.md"
        partial = out / ".report.md.partial"
        partial.write_text(markdown(result, pictured=bool(trained)), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise UserError(
            f"{str(out)!r} can't be written ({error.strerror}); choose another --out"
        ) from None
    return path


def markdown(result: StudyResult, *, pictured: bool) -> str:
    """Return the report's text."""
    (standing,) = compare([result]).standings
    parts = [f"# {_safe(result.study)}", _summary(result, standing)]
    if result.ended:
        parts.append(f"It ended early: {result.ended}.")
    parts.append("![Accuracy against FLOPs](complexity.png)")
    parts.append(
        "The area of a bubble is the number of parameters. Bubbles with an edge are means over "
        "retrainings from scratch, with their standard deviation; the others are single trials."
    )
    if pictured:
        parts.append("![Learning curves](curves.png)")
    parts += ["## Networks", _table(result.rows)]
    bound = result.settings.max_latency
    if bound is not None:
        parts.append(
            f"A call of one image may take {bound}. Networks that are latency-bound were solved for fewer "
            "FLOPs than the budget, so that they are quick enough; while others trained, what counted was "
            "the time below which a tenth of the calls stayed. `ms` is the median, measured after the "
            "finals, when nothing else ran."
        )
    parts += ["## Settings", _settings(result)]
    return "\n\n".join(parts) + "\n"


def _summary(result: StudyResult, standing: Standing) -> str:
    size = format_size(result.dataset.input)
    lines = [
        f"{len(result.rows)} networks of `{result.space}` under {result.budget} FLOPs on "
        f"{_safe(standing.data)} ({size}), {result.status}, {format_duration(result.wall_s)}."
    ]
    if standing.best and standing.flops is not None:
        lines.append(
            f"Best: **{_safe(standing.best)}**, {format_count(standing.flops)} FLOPs, "
            f"{format_count(standing.params or 0)} parameters{_speed(standing)}, test accuracy "
            f"{score(standing.test) or 'not measured'}."
        )
    if standing.baseline:
        gain = "" if standing.gain is None else f", the best gains {standing.gain:+.1f} points"
        lines.append(
            f"Matched baseline: {_safe(standing.baseline)}, test accuracy "
            f"{score(standing.baseline_test) or 'not measured'}{gain}."
        )
    return "  \n".join(lines)


def _table(rows: tuple[Row, ...]) -> str:
    timed = any(row.latency_ms is not None for row in rows)
    ms, line = (" ms |", "--:|") if timed else ("", "")
    lines = [
        f"| | network | role | FLOPs | fill | params |{ms} val | val again | test | n | status |",
        f"|--:|---|---|--:|--:|--:|{line}--:|--:|--:|--:|---|",
    ]
    for row in rows:
        cells = (
            "" if row.rank is None else str(row.rank),
            f"**{_safe(row.label)}**" if row.winner else _safe(row.label),
            row.origin if row.role == "baseline" else "candidate",
            format_count(row.flops),
            f"{row.fill:.1%}",
            format_count(row.params),
            *([ms_text(row.latency_ms)] if timed else []),
            "" if row.val_accuracy is None else f"{row.val_accuracy:.1%}",
            score(row.final_val),
            score(row.test),
            str(row.test.n) if row.test else "",
            _safe(f"{row.status}: {row.reason}" if row.reason else row.status),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _speed(standing: Standing) -> str:
    ms = standing.latency_ms
    return "" if ms is None else f", {format_ms(ms)} ms a call of one image"


def _settings(result: StudyResult) -> str:
    return "\n".join(f"- {key}: `{value}`" for key, value in kept_settings(result.settings).items())


def score(found: Score | None) -> str:
    """Write an accuracy as `97.2 ± 0.3 %`."""
    if found is None:
        return ""
    spread = "" if found.sd is None else f" ± {100 * found.sd:.1f}"
    return f"{100 * found.mean:.1f}{spread} %"


def _safe(text: str) -> str:
    """Return text that means nothing in a Markdown table."""
    for mark in "\\`*_|<[":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
