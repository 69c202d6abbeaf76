"""What studies say, as data: their best against their baselines, accuracy against cost, learning curves."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, StudyResult, best_of
from archsearch.archive.study_folder import StudyFolder
from archsearch.comparison.spaces import Distributions, distributions
from archsearch.errors import UserError
from archsearch.recipes.kept import own_parts
from archsearch.recipes.named import find_recipe, written
from archsearch.recipes.recipe import with_parts
from archsearch.report.columns import without_guesses
from archsearch.statistics.score import Score
from archsearch.units import parse_flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A study in one line: its winner beside the matched baseline, the classic at equal FLOPs.

    Attributes:
        val, test: of the winner's retrainings; those of `baseline_` of the baseline's.
        freed: design rules that the study has freed.
        latency_ms: of a call of one image, exported, measured after the finals.
        gain: the winner's mean test accuracy over the baseline's, in points of a hundred; None where it is
            the baseline itself.
        verdict: what the study shows, in a sentence; empty: nothing yet.
    """

    study: str
    space: str
    budget: str
    data: str
    digest: str
    status: str
    freed: tuple[str, ...] = ()
    networks: int
    best: str | None = None
    flops: int | None = None
    params: int | None = None
    val: Score | None = None
    test: Score | None = None
    latency_ms: float | None = None
    baseline: str | None = None
    baseline_flops: int | None = None
    baseline_params: int | None = None
    baseline_val: Score | None = None
    baseline_test: Score | None = None
    baseline_latency_ms: float | None = None
    gain: float | None = None
    verdict: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Studies side by side, best first, and what keeps them from being compared fairly.

    Attributes:
        distributions: what they say of their spaces; None: none has networks enough.
    """

    standings: tuple[Standing, ...]
    cautions: tuple[str, ...]
    distributions: Distributions | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A network in the picture of accuracy against FLOPs; `seeds` is 0 where only its trial counts.

    Those on the front of a study of several budgets say so.
    """

    name: str
    label: str
    origin: str
    flops: int
    params: int
    accuracy: float
    sd: float | None
    seeds: int
    winner: bool
    front: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Validation accuracy after each epoch of one training of a final."""

    name: str
    label: str
    origin: str
    seed: int
    epochs: tuple[int, ...]
    accuracy: tuple[float, ...]


def compare(results: Sequence[StudyResult]) -> Comparison:
    """Put studies side by side: as samples of their spaces, and by the accuracy of their winners."""
    standings = sorted((standing_of(result) for result in results), key=_place)
    return Comparison(
        standings=tuple(standings),
        cautions=tuple(_cautions(results)),
        distributions=distributions([result for result in results if result.training is None]),
    )


def points(result: StudyResult) -> list[Point]:
    """Return every network with an accuracy: over its retrainings where it had any."""
    found = []
    for row in result.rows:
        again = row.final_val
        accuracy = again.mean if again else row.val_accuracy
        if accuracy is not None and row.status != "failed" and not row.stalled:
            found.append(
                Point(
                    name=row.name,
                    label=row.label,
                    origin=row.origin,
                    flops=row.flops,
                    params=row.params,
                    accuracy=accuracy,
                    sd=again.sd if again else None,
                    seeds=again.n if again else 0,
                    winner=row.winner,
                    front=row.front,
                )
            )
    return found


def curves(result: StudyResult, *, home: Path) -> list[Curve]:
    """Return the learning curves of the networks that were retrained: of their first seed."""
    return [curve for curve in all_curves(result, home=home) if curve.seed == 1]


def all_curves(result: StudyResult, *, home: Path) -> list[Curve]:
    """Return the learning curves of the networks that were retrained, of every seed."""
    folder = StudyFolder(home, result.study)
    found = []
    for row in result.rows:
        seeds = 0 if row.final_val is None else max(row.final_val.n, row.trainings)
        for seed in range(1, seeds + 1):
            accuracies = _by_epoch(folder, str(JobKey("final", row.name, seed=seed)))
            if accuracies:
                found.append(
                    Curve(
                        name=row.name,
                        label=row.label,
                        origin=row.origin,
                        seed=seed,
                        epochs=tuple(accuracies),
                        accuracy=tuple(accuracies.values()),
                    )
                )
    return found


def _by_epoch(folder: StudyFolder, key: str) -> dict[int, float]:
    kept = folder.read_epochs(key)
    # Of two tries the one that counted.
    last = max((r.before for r in kept), default=0)
    own = [r for r in kept if r.before == last]
    return {r.epoch: r.val_accuracy for r in own if r.val_accuracy is not None}


def standing_of(result: StudyResult) -> Standing:
    """Return a study in one line."""
    best = result.winner or best_of(result.rows)
    searched = result.rows if result.training is None else ()
    matched = next((row for row in searched if row.origin == "matched"), None)
    gain = None
    learnt = best and matched and not best.stalled and not matched.stalled
    if learnt and best and matched and best is not matched and best.test and matched.test:
        gain = 100 * (best.test.mean - matched.test.mean)
    return Standing(
        study=result.study,
        space=result.space,
        budget=result.budget,
        data=result.dataset.name,
        digest=result.dataset.digest,
        status=result.status,
        freed=tuple(sorted(result.settings.relaxed())),
        networks=len(result.rows),
        gain=gain,
        verdict="" if result.verdict is None else result.verdict.words,
        **({} if best is None else _facts(best, "")),
        **({} if matched is None else _facts(matched, "baseline_")),
    )


def _facts(row: Row, prefix: str) -> dict[str, Any]:
    label = f"{row.label} (stalled)" if row.stalled else row.label
    row = without_guesses(row)
    trial = None if row.val_accuracy is None else Score.of([row.val_accuracy])
    return {
        prefix.removesuffix("_") or "best": label,
        f"{prefix}flops": row.flops,
        f"{prefix}params": row.params,
        f"{prefix}val": row.final_val or trial,
        f"{prefix}test": row.test,
        f"{prefix}latency_ms": row.latency_ms,
    }


def _place(standing: Standing) -> tuple[float, str]:
    return (-(standing.val.mean if standing.val else -1.0), standing.study)


def _cautions(results: Sequence[StudyResult]) -> list[str]:
    """Say what differs that should not, where accuracies are compared."""
    # One budget may be written in several ways, `20M` and `20.0M`: the first stands for all.
    budgets = {
        result.settings.budgets()
        or tuple(map(parse_flops, result.budget.split(":"))): result.budget
        for result in reversed(results)
        if result.budget
    }
    found = []
    for what, values in (
        ("budgets", set(budgets.values())),
        ("data", {f"{r.dataset.name} ({r.dataset.digest})" for r in results}),
        ("bounds on latency", {r.settings.max_latency or "none" for r in results}),
        ("recipes", {_recipe(result) for result in results}),
        (
            "design rules freed",
            {", ".join(sorted(r.settings.relaxed())) or "none" for r in results},
        ),
        ("lengths of training", {_length(result) for result in results}),
    ):
        if len(values) > 1:
            found.append(f"their {what} differ: {', '.join(sorted(values))}")
    unfinished = [result.study for result in results if result.status != "complete"]
    if unfinished:
        found.append(f"not finished: {', '.join(unfinished)}")
    return found


def _recipe(result: StudyResult) -> str:
    """Name a study's recipe, with the parts that are not that recipe's own."""
    name, parts = result.settings.recipe, dict(result.settings.parts())
    with suppress(UserError):  # another version's recipe is not known
        parts = own_parts(result.recipe or with_parts(find_recipe(name), parts))
    told = " and ".join(f"{part} {written(value)}" for part, value in sorted(parts.items()))
    return f"{name} with {told}" if told else name


def _length(result: StudyResult) -> str:
    flops = result.settings.train_flops
    return f"{flops} FLOPs" if flops else f"{result.settings.usual_epochs} epochs"
