"""A study's tables as DataFrames: one row a network, a trial, an epoch. Accuracies are from 0 to 1."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Trial
from archsearch.archive.study_folder import StudyFolder
from archsearch.report.analysis import Comparison
from archsearch.report.columns import without_guesses
from archsearch.statistics.score import Score

if TYPE_CHECKING:
    from pandas import DataFrame

NETWORK: Final = (
    "rank", "network", "label", "role", "winner", "flops", "fill", "params", "activation_bytes",
    "latency_ms", "rung", "epochs", "train_flops", "val_accuracy", "val_again", "val_again_sd",
    "expected", "test", "test_sd", "n", "breaks", "status", "reason",
)  # fmt: skip
TRIAL: Final = (
    "number", "network", "label", "state", "flops", "fill", "params", "activation_bytes", "rung",
    "epochs", "val_accuracy", "val_loss", "stalled", "train_s", "train_flops", "reason",
)  # fmt: skip
EPOCH: Final = (
    "network", "label", "purpose", "seed", "rung", "epoch", "before", "loss", "accuracy", "val_loss",
    "val_accuracy", "val_balanced_accuracy", "learning_rate", "images", "images_per_s", "wall_s",
)  # fmt: skip
"""The columns of each, also where there is no row; a trial has one more for each knob, `knob_NAME`."""


def leaderboard_frame(result: StudyResult) -> "DataFrame":
    """Return the leaderboard, best first: `val_again` and `test` are means over `n` retrainings."""
    return _frame((_network(row) for row in map(without_guesses, result.rows)), NETWORK)


def _network(row: Row) -> dict[str, Any]:
    broken = dict.fromkeys(finding.rule for finding in row.findings or ())
    return {
        **{name: getattr(row, name) for name in NETWORK if hasattr(row, name)},
        "network": row.name,
        "role": row.part,
        **_score("val_again", row.final_val),
        **_score("test", row.test),
        "n": row.test.n if row.test else 0,
        "breaks": ", ".join(broken),
    }


def _score(name: str, score: Score | None) -> dict[str, float | None]:
    if score is None:
        return {name: None, f"{name}_sd": None}
    return {name: score.mean, f"{name}_sd": score.sd}


def trials_frame(trials: Iterable[Trial]) -> "DataFrame":
    """Return the search's trials in order, each with its knobs and its longest training that has ended."""
    return _frame(map(_trial, trials), TRIAL)


def _trial(trial: Trial) -> dict[str, Any]:
    design, training = trial.design, trial.best_known
    outcome = None if training is None else training.outcome
    return {
        "number": trial.number,
        "network": design.name,
        "label": design.label,
        "state": trial.state,
        "flops": design.flops,
        "fill": design.fill,
        "params": design.params,
        "activation_bytes": design.activation_bytes,
        "rung": None if training is None else training.order.key.rung,
        "epochs": None if outcome is None else outcome.epochs,
        "val_accuracy": None if outcome is None else outcome.val_accuracy,
        "val_loss": None if outcome is None else outcome.val_loss,
        "stalled": None if outcome is None else outcome.stalled,
        "train_s": None if outcome is None else outcome.train_s,
        "train_flops": sum(each.spent_flops for each in trial.trainings),
        "reason": "" if outcome is None else outcome.reason,
        **{f"knob_{name}": value for name, value in trial.knobs.items()},
    }


def curves_frame(
    keys: Iterable[JobKey], labels: Mapping[str, str], folder: StudyFolder
) -> "DataFrame":
    """Return the trainings epoch by epoch, as far as this machine keeps their reports.

    Args:
        keys: of the trainings.
        labels: of the networks, by name.
        folder: the study's.
    """
    rows = (
        {
            **asdict(report),
            "network": key.name,
            "label": labels.get(key.name, ""),
            "purpose": key.purpose,
            "seed": key.seed,
            "rung": key.rung,
        }
        for key in keys
        for report in folder.read_epochs(str(key))
    )
    return _frame(({name: row[name] for name in EPOCH} for row in rows), EPOCH)


def comparison_frame(comparison: Comparison) -> "DataFrame":
    """Return studies side by side, best first; what makes it unfair is in `attrs["cautions"]`."""
    rows = []
    for standing in comparison.standings:
        row = asdict(standing)
        for name in ("val", "test", "baseline_val", "baseline_test"):
            row |= _score(name, getattr(standing, name))
        rows.append(row)
    found = _frame(rows, ("study",))
    found.attrs["cautions"] = comparison.cautions
    return found


def _frame(rows: Iterable[Mapping[str, Any]], columns: tuple[str, ...]) -> "DataFrame":
    import pandas as pd

    made = list(rows)
    more = [name for row in made for name in row if name not in columns]
    return pd.DataFrame(made, columns=[*columns, *dict.fromkeys(more)])
