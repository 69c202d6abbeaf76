"""How much each knob says about accuracy: functional ANOVA over the trials of a study, by Optuna."""

from collections.abc import Mapping, Sequence
from typing import Final

from archsearch.archive.optuna_terms import distributions, hush
from archsearch.space.knobs import Knob, Knobs

LEAST_TRIALS: Final = 5
"""Trials below which nothing is said: a forest over fewer tells nothing but their noise."""
_TREES: Final = 64


def importances(
    knobs: Sequence[Knob], tried: Sequence[tuple[Knobs, float]], *, seed: int = 0
) -> Mapping[str, float]:
    """Return each knob's share of what the knobs explain of the accuracies' variance, most first.

    That of the knob alone (its marginal) by a random forest: Hutter, Hoos & Leyton-Brown 2014, "An Efficient
    Approach for Assessing Hyperparameter Importance". The shares sum to 1.

    Args:
        knobs: with their values; those without a choice are left out.
        tried: settings and the accuracies they came to.
        seed: of the forest.

    Returns:
        By name; empty where there are fewer than `LEAST_TRIALS`, or all accuracies are equal.
    """
    known = tuple(knob for knob in knobs if _varies(knob, tried))
    accuracies = {accuracy for _, accuracy in tried}
    if len(tried) < LEAST_TRIALS or len(accuracies) < 2 or not known:
        return {}
    import optuna

    hush()
    study = optuna.create_study(direction="maximize")
    spaces = distributions(known)
    study.add_trials(
        [
            optuna.create_trial(
                params={knob.name: setting[knob.name] for knob in known},
                distributions=spaces,
                value=accuracy,
            )
            for setting, accuracy in tried
        ]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=_TREES, seed=seed)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}


def _varies(knob: Knob, tried: Sequence[tuple[Knobs, float]]) -> bool:
    values = knob.values()
    found = {setting.get(knob.name) for setting, _ in tried}
    return len(values) > 1 and len(found) > 1 and found <= set(values)
