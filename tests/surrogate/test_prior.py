"""What is learnt from other searches is what a library's ridge learns, and it counts for what it is worth."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch.surrogate.prior import LinearPrior, Task, learnt, weighed, worth

NAMES = ("depth", "width", "paths")


def task(count: int, *, seed: int = 0, shift: float = 0.0, noise: float = 0.1) -> Task:
    """Accuracies that rise with depth and fall with width, at the levels of some budget."""
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, 3)) + shift
    values = 0.6 + 0.02 * (rows[:, 0] - 0.5 * rows[:, 1]) + 0.02 * noise * rng.normal(size=count)
    return Task([dict(zip(NAMES, row, strict=True)) for row in rows.tolist()], values - shift)


def tau(one, other) -> float:
    pairs = np.sign(np.subtract.outer(one, one)) * np.sign(np.subtract.outer(other, other))
    return pairs.sum() / (len(one) * (len(one) - 1))


def test_what_one_budget_teaches_orders_the_networks_of_another():
    prior = learnt([task(12)])
    other = task(60, seed=1, shift=4.0)
    assert tau(prior.expected(other.features), other.values) > 0.8


def test_levels_of_tasks_teach_nothing():
    # The deeper networks are those of the task with the lower accuracies.
    prior = learnt([task(20), task(20, seed=1, shift=5.0)])
    assert prior.weights["depth"] > 0 > prior.weights["width"]


def test_weights_solve_the_normal_equations_of_a_ridge():
    found = task(30, noise=1.0)
    prior = learnt([found])
    rows = np.array([list(one.values()) for one in found.features])
    rows = (rows - rows.mean(0)) / rows.std(0)
    values = (found.values - found.values.mean()) / found.values.std()
    weights = np.array([prior.weights[name] for name in sorted(NAMES)])
    own = rows[:, [NAMES.index(name) for name in sorted(NAMES)]]
    unit = np.array([[one[name] for name in sorted(NAMES)] for one in found.features]).std(0)
    pull = own.T @ (values - own @ (weights * unit))
    penalties = pull / (weights * unit)  # Xᵀ(y − Xw) = λw, one λ for all
    assert penalties == pytest.approx(np.full(3, penalties[0]))
    assert 0.99 < penalties[0] < 1001


def test_noise_teaches_nothing():
    rng = np.random.default_rng(3)
    quiet = 0
    for _ in range(20):
        rows = rng.normal(size=(10, 3))
        features = [dict(zip(NAMES, row, strict=True)) for row in rows.tolist()]
        quiet += learnt([Task(features, rng.normal(size=10))]) is None
    assert quiet >= 10


def test_what_says_nothing_teaches_nothing():
    same = [{"depth": 1.0}] * 9
    assert learnt([]) is None
    assert learnt([Task(same, np.linspace(0, 1, 9))]) is None
    assert learnt([Task([{"depth": float(i)} for i in range(9)], np.full(9, 0.5))]) is None


def test_a_prior_is_the_same_to_the_digit_from_json():
    prior = learnt([task(15)])
    again = LinearPrior(json.loads(json.dumps(dict(prior.weights))))
    features = task(9, seed=2).features
    assert (again.expected(features) == prior.expected(features)).all()


def test_features_that_a_network_lacks_or_a_prior_does_not_know_say_nothing():
    found = LinearPrior({"depth": 2.0}).expected([{"depth": 3.0, "new": 9.0}, {"new": 9.0}])
    assert found.tolist() == [6.0, 0.0]


# --- what it is worth -------------------------------------------------------------------------------


def left_out(x, y) -> float:
    """R² of values foretold from the others, by the words of the docstring, one after the other."""
    x = (x - x.mean()) / x.std()
    lost = whole = 0.0
    for out in range(len(x)):
        rest = np.arange(len(x)) != out
        a, b = x[rest] - x[rest].mean(), y[rest] - y[rest].mean()
        slope = max(0.0, a @ b / (a @ a + 1))
        lost += (y[out] - y[rest].mean() - slope * (x[out] - x[rest].mean())) ** 2
        whole += (y[out] - y[rest].mean()) ** 2
    return 1 - lost / whole


@given(st.integers(3, 12), st.integers(0, 1000), st.floats(-1, 1))
def test_worth_is_that_of_values_left_out_one_by_one(count, seed, slope):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=count)
    y = slope * x + rng.normal(size=count)
    assert worth(x, y) == pytest.approx(max(0, left_out(x, y)) * count / (count + 4), abs=1e-9)


def mean_worth(correlation: float, count: int) -> float:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(300):
        x = rng.normal(size=count)
        y = correlation * x + (1 - correlation**2) ** 0.5 * rng.normal(size=count)
        found.append(worth(x, y))
    return float(np.mean(found))


def test_worth_grows_with_what_is_known_towards_the_share_explained():
    found = [mean_worth(0.7, count) for count in (4, 8, 20, 200)]
    assert found == sorted(found)
    assert found[0] < 0.25
    assert found[-1] == pytest.approx(0.49, abs=0.03)


def test_a_prior_of_the_wrong_sign_or_of_chance_is_worth_nothing():
    assert mean_worth(-0.5, 8) < 0.005
    assert mean_worth(0.0, 8) < 0.03


def test_what_is_too_little_to_judge_by_is_worth_nothing():
    assert worth(np.arange(2.0), np.arange(2.0)) == 0
    assert worth(np.zeros(5), np.arange(5.0)) == 0
    assert worth(np.arange(5.0), np.zeros(5)) == 0


def test_a_weighed_prior_has_the_mean_of_what_is_known_and_leaves_the_rest_open():
    known = task(12, seed=4)
    values = (known.values - known.values.mean()) / known.values.std()
    found = weighed(learnt([task(12)]), known.features, values)
    means, variances = found.predict(known.features)
    assert means.mean() == pytest.approx(0, abs=1e-9)
    assert means.var() == pytest.approx(found.worth)
    assert variances == pytest.approx(np.full(12, 1 - found.worth))
    assert weighed(learnt([task(12)]), known.features, -values) is None
