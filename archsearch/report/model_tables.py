"""What came of evaluating a model, or of averaging several, as tables."""

from rich.console import RenderableType

from archsearch.ensembles.makeup import Ensemble
from archsearch.inference.evaluate import Evaluation
from archsearch.report.columns import score_text
from archsearch.report.tables import new_table
from archsearch.statistics.classification import Classification
from archsearch.statistics.score import Score
from archsearch.units import counted, format_count, format_ms, printable

_MISTAKES = 10


def evaluation(found: Evaluation, *, most_classes: int) -> tuple[RenderableType, ...]:
    """Return the totals, a row a class, and the confusion: as a matrix, or the commonest mistakes.

    Args:
        found: what came of it.
        most_classes: that a matrix is drawn of.
    """
    few = len(found.scores.classes) <= most_classes
    return (
        _totals(found),
        _classes(found.scores),
        _matrix(found.scores) if few else _mistakes(found.scores),
    )


def ensemble(found: Ensemble) -> RenderableType:
    """Return a row for the ensemble, for each member as it was chosen, and for one network of that cost."""
    table = new_table("network", ">FLOPs", ">params", ">val", ">test")

    def add(name: str, flops: int, params: int, *accuracies: Score | None) -> None:
        cells = (score_text(accuracy) or "–" for accuracy in accuracies)
        table.add_row(printable(name), format_count(flops), format_count(params), *cells)

    add(found.name, found.flops, found.params, _one(found.val), _one(found.test))
    for number, one in enumerate(found.members, start=1):
        name = f"member {number}: {one.label}, {one.key}"
        add(name, one.flops, one.params, _one(one.val), _one(one.test))
    if (single := found.single) is not None:
        # Its validation images are others where finalists have splits of their own.
        add(f"one network: study {single.study}", single.flops, single.params, None, single.test)
    return table


def _one(accuracy: float | None) -> Score | None:
    return None if accuracy is None else Score.of([accuracy])


def _totals(found: Evaluation) -> RenderableType:
    scores, calibration = found.scores, found.scores.calibration
    table = new_table("what", "found")
    rows = [
        ("images", f"{scores.images} of {printable(found.data)}, {found.split}: {found.why}"),
        ("accuracy", f"{scores.accuracy:.1%} ({scores.low:.1%} to {scores.high:.1%} at 95 %)"),
        ("balanced accuracy", f"{scores.balanced_accuracy:.1%}"),
        (
            "calibration",
            f"ECE {calibration.ece:.3f}, negative log-likelihood {calibration.nll:.3f}, Brier "
            f"{calibration.brier:.3f}",
        ),
        ("latency", _latency(found)),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _latency(found: Evaluation) -> str:
    latency = found.latency
    if latency is None:
        return "not measured: the format loads the model with every call"
    return (
        f"{format_ms(latency.median_ms)} ms a call of one image ({format_ms(latency.p10_ms)} to "
        f"{format_ms(latency.p90_ms)} in 8 of 10), {latency.device}, "
        f"{counted(latency.threads, 'thread')}"
    )


def _classes(scores: Classification) -> RenderableType:
    table = new_table("class", ">images", ">recall", ">precision", ">F1")
    for score in scores.classes:
        shares = (score.recall, score.precision, score.f1)
        shown = ("–" if share is None else f"{share:.1%}" for share in shares)
        table.add_row(printable(score.name), str(score.images), *shown)
    return table


def _matrix(scores: Classification) -> RenderableType:
    names = [printable(score.name) for score in scores.classes]
    table = new_table("class, as answered →", *(f">{name}" for name in names))
    for name, row in zip(names, scores.confusion, strict=True):
        table.add_row(name, *(str(count) if count else "·" for count in row))
    return table


def _mistakes(scores: Classification) -> RenderableType:
    table = new_table("class", "answered", ">images")
    for name, answer, count in scores.confused(_MISTAKES):
        table.add_row(printable(name), printable(answer), str(count))
    return table
