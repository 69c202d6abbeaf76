"""How runs are named and described, so that one design is told from another at a glance."""

from collections.abc import Iterable, Mapping, Sequence

from archsearch.tracking.records import Role, Scalar
from archsearch.units import as_markdown, format_count, printable

_MAX_NAME = 120


def run_name(label: str, *, flops: int, role: Role = "candidate", seed: int | None = None) -> str:
    """Return a run's name in MLflow's list: `resnext 3-4-6-3 G8 · 19.8M`.

    Baselines and finalists say so first, because a cut-off column keeps a name's beginning.
    """
    first = {"candidate": "", "baseline": "baseline ", "finalist": "final "}[role]
    last = "" if seed is None else f" · seed {seed}"
    return one_line(f"{first}{label} · {format_count(flops)}{last}")


def one_line(text: str, *, limit: int = _MAX_NAME) -> str:
    """Return a name of any kind on one line of at most `limit` characters."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 1] + "…"


def study_note(
    *,
    facts: Mapping[str, Scalar],
    header: Sequence[str] = (),
    rows: Iterable[Sequence[str]] = (),
) -> str:
    """Return a study described in markdown, for the text above its parent run.

    Args:
        facts: the first line: space, budget, data, seed.
        header: the result table's columns; the first is the design, the others are figures.
        rows: the result table, best first.
    """
    # One line: lists of experiments show no more.
    lines = [
        " · ".join(
            f"**{as_markdown(name)}** {as_markdown(str(fact))}" for name, fact in facts.items()
        )
    ]
    table = [list(row) for row in rows]
    if table:
        lines += ["", _row(header), _row(["---", *["---:"] * (len(header) - 1)])]
        lines += [_row(row) for row in table]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(as_markdown(cell) for cell in cells) + " |"
