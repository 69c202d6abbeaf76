"""The sampler keeps to Optuna's own test cases, and finds what it is for."""

import warnings

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.testing.pytest_samplers import (
    BasicSamplerTestCase,
    RelativeSamplerTestCase,
    SingleOnlySamplerTestCase,
)
from optuna.trial import TrialState

from archsearch.optuna import Sampler, Task, learnt
from archsearch.optuna.axes import Axes, Axis
from archsearch.surrogate.prior import LinearPrior

optuna.logging.set_verbosity(optuna.logging.ERROR)


class TestOptunasCases(BasicSamplerTestCase, RelativeSamplerTestCase, SingleOnlySamplerTestCase):
    """Those of several objectives do not apply: there is one."""

    @pytest.fixture
    def sampler(self):
        return lambda: Sampler(seed=0, n_startup=0)


def searched(objective, sampler, trials: int, direction: str = "minimize") -> optuna.Study:
    study = optuna.create_study(direction=direction, sampler=sampler)
    study.optimize(objective, n_trials=trials)
    return study


def mixed(trial: optuna.Trial) -> float:
    """Least at x = 0.3, n = 7, kind = b, where it is 0."""
    x = trial.suggest_float("x", 0, 1)
    n = trial.suggest_int("n", 1, 10)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    return (x - 0.3) ** 2 * 4 + abs(n - 7) / 10 + 0.3 * (kind != "b")


def test_it_finds_what_chance_does_not():
    ours = [searched(mixed, Sampler(seed=s), 30).best_value for s in range(3)]
    with_chance = (optuna.samplers.RandomSampler(seed=s) for s in range(3))
    chance = [searched(mixed, sampler, 90).best_value for sampler in with_chance]
    assert np.mean(ours) < 0.5 * np.mean(chance)


def test_the_same_seed_proposes_the_same():
    found = [searched(mixed, Sampler(seed=s), 9).trials for s in (0, 0, 1)]
    params = [[trial.params for trial in trials] for trials in found]
    assert params[0] == params[1] != params[2]


def conditional(trial: optuna.Trial) -> float:
    """Least at kind = b, y = 0.8; the other branch has another parameter."""
    if trial.suggest_categorical("kind", ["a", "b"]) == "a":
        return 1 + abs(trial.suggest_float("x", 0, 1) - 0.5)
    return abs(trial.suggest_float("y", 0, 1) - 0.8)


def test_parameters_that_come_and_go_are_proposed_by_the_model():
    values = [searched(conditional, Sampler(seed=s), 20).best_value for s in range(3)]
    assert np.mean(values) < 0.02  # chance alone: a mean of about 0.03 after as many of one branch
    sampler = Sampler(seed=0)
    space = {
        "kind": CategoricalDistribution(["a", "b"]),
        "x": FloatDistribution(0, 1),
        "y": FloatDistribution(0, 1),
    }
    study = searched(conditional, sampler, 10)
    assert sampler.infer_relative_search_space(study, study.trials[0]) == space


def test_features_carry_over_where_parameters_say_nothing():
    """The value follows from a feature that the parameter's categories hide."""
    hidden = dict(enumerate(np.random.default_rng(0).permutation(60)))
    choices = CategoricalDistribution(list(hidden))

    def tried_until_best(features) -> int:
        study = optuna.create_study(
            direction="maximize", sampler=Sampler(seed=1, features=features)
        )
        for number in range(60):
            trial = study.ask({"which": choices})
            study.tell(trial, -abs(float(hidden[trial.params["which"]]) - 47))
            if study.best_value == 0:
                return number
        return 60

    assert tried_until_best(lambda params: {"hidden": float(hidden[params["which"]])}) < 15


def test_what_has_no_features_is_not_proposed():
    def even(params):
        return {} if params["n"] % 2 == 0 else None

    study = optuna.create_study(sampler=Sampler(seed=0, features=even))
    space = {"n": IntDistribution(0, 40)}
    for number in range(4):
        study.add_trial(optuna.create_trial(params={"n": 2 * number}, distributions=space, value=1))
    for _ in range(6):
        trial = study.ask(space)
        assert trial.params["n"] % 2 == 0
        study.tell(trial, -trial.params["n"])


def test_what_runs_is_not_proposed_again():
    space = {"n": IntDistribution(0, 30), "kind": CategoricalDistribution(["a", "b"])}
    study = optuna.create_study(sampler=Sampler(seed=0))
    for _ in range(5):
        trial = study.ask(space)
        study.tell(trial, trial.params["n"])
    asked = [tuple(study.ask(space).params.values()) for _ in range(6)]
    assert len(set(asked)) == 6


def test_pruned_and_infeasible_trials_say_something():
    space = {"x": FloatDistribution(0, 1)}

    def told(study, x, **kept):
        study.add_trial(optuna.create_trial(params={"x": x}, distributions=space, **kept))

    study = optuna.create_study(direction="maximize", sampler=Sampler(seed=0))
    for x in (0.0, 0.1, 0.2, 0.3):
        told(study, x, value=x, intermediate_values={0: x / 2})
    for x in (0.7, 0.8, 0.9):
        told(study, x, state=TrialState.PRUNED, intermediate_values={0: -1.0})
    told(study, 1.0, value=5.0, constraints={"size": 1.0})
    assert study.ask(space).params["x"] < 0.65


def test_a_failed_trial_and_infinite_values_do_no_harm():
    space = {"x": FloatDistribution(0, 1)}
    study = optuna.create_study(sampler=Sampler(seed=0, n_startup=0))
    for x, value in ((0.1, float("inf")), (0.5, 1.0), (0.9, float("-inf"))):
        study.add_trial(optuna.create_trial(params={"x": x}, distributions=space, value=value))
    study.add_trial(
        optuna.create_trial(params={"x": 0.3}, distributions=space, state=TrialState.FAIL)
    )
    assert 0 <= study.ask(space).params["x"] <= 1


def led_study(sign, *, known):
    """A study whose prior prefers small or large x, and what has been tried."""
    space = {"x": FloatDistribution(0, 1)}
    sampler = Sampler(
        seed=0, features=lambda params: {"size": params["x"]}, prior=LinearPrior({"size": sign})
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for x, value in known:
        study.add_trial(optuna.create_trial(params={"x": x}, distributions=space, value=value))
    return study, space


def test_a_prior_chooses_half_of_the_start():
    for sign in (-1.0, 1.0):
        study, space = led_study(sign, known=[(0.4, 1.0), (0.5, 1.0)])
        x = study.ask(space).params["x"]
        assert x < 0.05 if sign < 0 else x > 0.95


def test_a_prior_is_learnt_from_other_studies():
    # Another study, of other values at another level: the smaller, the better.
    sizes = np.linspace(2, 5, 10)
    prior = learnt([Task([{"size": size} for size in sizes], 7 - sizes)])
    study = optuna.create_study(
        direction="maximize",
        sampler=Sampler(seed=0, features=lambda params: {"size": params["x"]}, prior=prior),
    )
    space = {"x": FloatDistribution(0, 1)}
    for x in (0.4, 0.5):
        study.add_trial(optuna.create_trial(params={"x": x}, distributions=space, value=1.0))
    assert study.ask(space).params["x"] < 0.05


def test_a_prior_counts_as_far_as_trials_bear_it_out():
    # Six trials of which the smaller are the better; then the other end is as far from all of them.
    known = [(0.4 + 0.04 * i, 1.0 - 0.1 * i) for i in range(6)]
    asked = {}
    for sign in (-1.0, 1.0):
        study, space = led_study(sign, known=known)
        asked[sign] = study.ask(space).params["x"]
    assert asked[-1.0] < 0.4
    assert asked[1.0] < 0.4  # it is wrong, and does not lead away


@pytest.mark.parametrize(
    ("distribution", "values"),
    [
        (FloatDistribution(-1, 1), (-1.0, 0.25, 1.0)),
        (FloatDistribution(1e-5, 1, log=True), (1e-5, 1e-3, 1.0)),
        (FloatDistribution(0, 1, step=0.25), (0.0, 0.25, 1.0)),
        (IntDistribution(2, 9), (2, 5, 9)),
        (IntDistribution(1, 64, log=True), (1, 8, 64)),
        (IntDistribution(0, 12, step=3), (0, 3, 12)),
        (CategoricalDistribution(["a", None, 3]), ("a", None, 3)),
    ],
)
def test_values_come_back_from_their_numbers(distribution, values):
    axis = Axis(distribution)
    assert [axis.value(axis.number(value)) for value in values] == pytest.approx(list(values))
    numbers = [axis.number(value) for value in values]
    assert numbers == sorted(numbers)


def test_all_values_of_a_grid_are_equally_likely():
    axis, rng = Axis(IntDistribution(0, 3)), np.random.default_rng(0)
    drawn = [axis.value(axis.drawn(rng)) for _ in range(2000)]
    assert all(400 < drawn.count(value) < 600 for value in range(4))


def test_what_decides_that_a_parameter_is_there_is_learnt():
    space = {"kind": CategoricalDistribution(["a", "b"]), "x": FloatDistribution(0, 1)}
    axes = Axes(space, [{"kind": "a", "x": 0.2}, {"kind": "b"}])
    assert axes.params(np.array([0, 0.4])) == {"kind": "a", "x": 0.4}
    assert axes.params(np.array([1, 0.4])) == {"kind": "b"}
    assert axes.row({"kind": "b"}).tolist() == [1, 0.5]


def test_several_objectives_are_refused():
    study = optuna.create_study(directions=["minimize", "maximize"], sampler=Sampler())
    with warnings.catch_warnings(), pytest.raises(ValueError, match="multi-objective"):
        study.optimize(lambda trial: (trial.suggest_float("x", 0, 1), 0.0), n_trials=1)
