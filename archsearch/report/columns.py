"""The columns of a leaderboard, once for every table that shows one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.settings import RunSettings
from archsearch.statistics.score import Score
from archsearch.units import counted, format_count, ms_text


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table of networks.

    Attributes:
        head: its name; empty for the place.
        cell: a network's cell.
        right: whether it is set to the right, as figures are.
        spare: the order in which columns are left out of a narrow window, the lowest first; 0: never.
    """

    head: str
    cell: Callable[[Row], str]
    right: bool = True
    spare: int = 0


def columns(
    rows: Sequence[Row], *, reasons: bool = False, full: bool = False
) -> tuple[Column, ...]:
    """Return the columns these networks fill; with `reasons`, why each training ended as it did.

    `rules` says where a network departs from the design rules of its space; `spent` is the training FLOPs
    that went into it; the others are in `legend`. Of a `full` training, which has no trial and no budget,
    there is no more than it fills.
    """
    optional = {
        "expected %": not full and any(row.retrained and row.expected is not None for row in rows),
        "ms": any(row.latency_ms is not None for row in rows),
        "rules": any(row.findings or row.obeys for row in rows),
        "rung": any(row.rung for row in rows),
        "fill": not full,
        "spent": any(row.train_flops for row in rows),
        "val %": not full,
        "val again %": not full or any(row.final_val for row in rows),
    }
    shown = [column for column in _ALL if optional.get(column.head, True)]
    if full:
        shown = [_of_full_training(column) for column in shown]
    if reasons:
        shown[-1] = replace(shown[-1], cell=_reason_text)
    return tuple(shown)


def _of_full_training(column: Column) -> Column:
    """Return a column where nothing was searched: there is one validation accuracy, and no one to beat."""
    if column.head == "val again %":
        return replace(column, head="val %")
    if column.head == "role":
        return replace(column, cell=lambda row: row.origin if row.role == "baseline" else row.role)
    return column


def legend(shown: Sequence[Column], rows: Sequence[Row]) -> str:
    """Return what the words of a table mean, as far as it has them, in one sentence."""
    heads = {column.head for column in shown}
    meanings = [
        ("matched", any(row.origin == "matched" for row in rows)),
        ("fill", "fill" in heads),
        ("ms", "ms" in heads),
        ("val", "val again %" in heads),
        ("val again", "val again %" in heads and any(row.final_val for row in rows)),
        ("n", any(row.test for row in rows)),
        ("expected", "expected %" in heads),
    ]
    told = [f"{word}: {_MEANINGS[word]}" for word, there in meanings if there]
    return "; ".join(told)


def score_text(score: Score | None) -> str:
    """Return an accuracy in percent, with its standard deviation where there is one."""
    if score is None:
        return ""
    spread = "" if score.sd is None else f" ± {100 * score.sd:.1f}"
    return f"{100 * score.mean:.1f}{spread}"


def status_text(row: Row) -> str:
    """Return how a network's training ended: a failure with its reason."""
    if row.status == "failed" and not row.stalled:
        return f"failed: {row.reason}"
    return f"{_ended(row)}, too slow" if row.too_slow and not row.stalled else _ended(row)


def _reason_text(row: Row) -> str:
    return f"{_ended(row)}: {row.reason}" if row.reason else _ended(row)


def _ended(row: Row) -> str:
    if row.stalled:
        return "stalled"
    slower = f", {share_text(row.rate_share)} rate" if row.rate_share < 1 else ""
    parts = f", {row.microbatches} microbatches" if row.microbatches > 1 else ""
    return f"{row.status}{slower}{parts}"


def share_text(share: float) -> str:
    """Write a share of the learning rate: `⅓`, `0.5`."""
    return "⅓" if abs(share - 1 / 3) < 1e-3 else f"{share:.2g}"


def stalled_text(result: StudyResult) -> str:
    """Say how many trainings stalled, and how many learnt in a second try; empty: all learnt at once."""
    every = counted(sum(row.trainings for row in result.rows), "training")
    rate = None if result.recipe is None else result.recipe.retry_rate
    lower = "a part" if rate is None else share_text(rate)
    found = []
    if result.stalls:
        also = "" if rate is None else f", also at {lower} of the rate"
        found.append(f"{result.stalls} of {every} stalled: no better than guessing{also}")
    if result.retried:
        of = "" if result.stalls else f" of {every}"
        found.append(
            f"{result.retried}{of} learnt at {lower} of the rate, and stalled at the whole"
        )
    return "; ".join(found)


def without_guesses(row: Row) -> Row:
    """Return a row as tables show it: what a network that stalled has guessed right is no result."""
    if not row.stalled:
        return row
    return replace(row, val_accuracy=None, final_val=None, test=None)


def rules_text(row: Row) -> str:
    """Return which rules of its space a network departs from, or which freed ones it follows all the same."""
    broken = tuple(dict.fromkeys(finding.rule for finding in row.findings or ()))
    if not broken:
        return f"obeys {', '.join(row.obeys)}" if row.obeys else ""
    return f"breaks {broken[0] if len(broken) == 1 else counted(len(broken), 'rule')}"


def freed_text(settings: RunSettings) -> str:
    """Return which design rules a study has freed; empty: none."""
    freed = sorted(settings.relaxed())
    return f"design rules freed: {', '.join(freed)}" if freed else ""


def spent_text(result: StudyResult) -> str:
    """Return the training FLOPs that went into a study, and what for; empty: none that is known."""
    spent = result.spending
    if not spent.total:
        return ""
    bound = result.settings.search_flops
    within = f" (of {bound}, measuring apart)" if bound is not None else ""
    text = f"spent: {format_count(spent.total)} training FLOPs{within}"
    if result.training is not None:
        return text
    rungs = [f"{_share(flops, spent.total)} on rung {n}" for n, flops in enumerate(spent.search)]
    search = f"search {_share(sum(spent.search), spent.total)}"
    parts = [
        search if len(rungs) < 2 else f"{search} ({', '.join(rungs)})",
        f"finals {_share(spent.finals, spent.total)}",
        f"baselines {_share(spent.baselines, spent.total)}",
    ]
    if spent.measuring:
        parts.append(f"measuring the pace {_share(spent.measuring, spent.total)}")
    return f"{text}: {', '.join(parts)}"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"


def origin_text(result: StudyResult) -> str | None:
    """Return what the network of a full training came to in the study it is from; None: it is from none."""
    training = result.training
    if training is None or not training.study:
        return None
    score = training.test or training.val
    if score is None:
        return f"from study {training.study}"
    what = "test" if training.test else "validation"
    return (
        f"in study {training.study}, after {counted(training.epochs, 'epoch')}: {what} accuracy "
        f"{score_text(score)} % (n = {score.n})"
    )


def _accuracy(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f}"


_MEANINGS = {
    "matched": "the space's classic under the same budget",
    "fill": "share of the FLOP budget",
    "ms": "a call of one image, exported",
    "val": "validation accuracy in the search",
    "val again": "the same, trained anew from scratch, mean ± standard deviation",
    "n": "these trainings, each tested once",
    "expected": "of further trainings, by all of its own and the others'; it decides who wins",
}

_ALL = (
    Column("", lambda row: "" if row.rank is None else str(row.rank)),
    Column("network", lambda row: row.label, right=False),
    Column("role", lambda row: row.part, right=False, spare=12),
    Column("FLOPs", lambda row: format_count(row.flops), spare=7),
    Column("fill", lambda row: f"{row.fill:.1%}", spare=1),
    Column("params", lambda row: format_count(row.params), spare=5),
    Column("ms", lambda row: ms_text(row.latency_ms), spare=6),
    Column("rung", lambda row: "" if row.origin == "published" else str(row.rung), spare=2),
    Column("epochs", lambda row: str(row.epochs or ""), spare=2),
    Column("spent", lambda row: format_count(row.train_flops) if row.train_flops else "", spare=1),
    Column("val %", lambda row: _accuracy(row.val_accuracy)),
    Column("val again %", lambda row: score_text(row.final_val), spare=9),
    Column("expected %", lambda row: _accuracy(row.expected) if row.retrained else "", spare=4),
    Column("test %", lambda row: score_text(row.test)),
    Column("n", lambda row: str(row.test.n) if row.test else "", spare=8),
    Column("rules", rules_text, right=False, spare=2),
    Column("status", status_text, right=False, spare=3),
)  # fmt: skip
