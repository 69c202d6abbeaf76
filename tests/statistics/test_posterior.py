"""Beliefs against sums done by hand, against draws from the model, and against what must be so."""

import math

import numpy as np
import pytest

from archsearch.statistics.posterior import (
    Evidence,
    Posterior,
    posterior,
    usual_noise,
    without_splits,
)


def evidence(*values: tuple[float, ...]) -> list[Evidence]:
    return [Evidence(name=str(n), values=found) for n, found in enumerate(values)]


def single(means, variances, noise: float = 1.0) -> Posterior:
    """Beliefs with one pair of σ and τ, and m known."""
    return Posterior(
        names=tuple(map(str, range(len(means)))), weights=np.ones(1), means=np.array([means]),
        variances=np.array([variances]), pulls=np.zeros((1, len(means))), common=np.zeros(1),
        noises=np.array([noise**2]),
    )  # fmt: skip


def test_noise_is_that_of_seeds_and_half_of_that_of_the_images():
    assert usual_noise(0.9, 0) == pytest.approx(0.008)
    assert usual_noise(0.9, 270) ** 2 == pytest.approx(0.008**2 + 0.09 / 540)


def test_probability_and_gradient_with_known_variances():
    """σ̃ = 1/√2, z = −1/σ̃ = −√2: σ̃(zΦ(z) + φ(z)), with Φ(−√2) and φ(√2) from tables."""
    belief = single([1.0, 0.0], [1.0, 1.0])
    assert belief.gain("0", "1") == 1.0
    assert belief.better("0", "1") == pytest.approx(0.7602499, abs=1e-6)  # Φ(1/√2)
    gradient = belief.knowledge_gradient({})
    expected = (-math.sqrt(2) * 0.0786496 + 0.1467627) / math.sqrt(2)
    assert gradient["0"] == pytest.approx(gradient["1"]) == pytest.approx(expected, abs=1e-6)


def test_the_gradient_is_what_draws_of_the_next_value_give():
    means, variances, noise = [0.3, 0.2, -0.4], [0.4, 0.2, 0.9], 0.7
    gradient = single(means, variances, noise).knowledge_gradient({})
    rng = np.random.default_rng(0)
    for n, (mean, variance) in enumerate(zip(means, variances, strict=True)):
        values = rng.normal(mean, math.sqrt(variance + noise**2), 400_000)
        after = (mean / variance + values / noise**2) / (1 / variance + 1 / noise**2)
        others = max(m for k, m in enumerate(means) if k != n)
        won = float(np.maximum(after, others).mean()) - max(means)
        assert gradient[str(n)] == pytest.approx(won, abs=0.003)


def test_what_runs_already_is_worth_less():
    belief = single([0.3, 0.3, 0.2], [0.5, 0.5, 0.5])
    alone, beside = belief.knowledge_gradient({}), belief.knowledge_gradient({"0": 1})
    assert beside["0"] < alone["0"]
    assert beside["1"] == alone["1"]
    assert max(beside, key=beside.get) == "1"


def test_beliefs_are_those_of_draws_from_the_prior():
    """Draw networks and trainings from the model, keep those draws that come near the values seen."""
    rng, count = np.random.default_rng(1), 2_000_000
    spread = 0.012 * np.exp(0.65 * rng.standard_normal(count))
    noise = usual_noise(0.9, 0) * np.exp(0.35 * rng.standard_normal(count))
    centre = rng.uniform(0.85, 0.95, count)
    true = centre[:, None] + spread[:, None] * rng.standard_normal((count, 2))
    first = true + noise[:, None] * rng.standard_normal((count, 2))
    near = np.all(np.abs(first - [0.91, 0.89]) < 0.005, axis=1)
    kept = true[near]
    belief = posterior(evidence((0.91,), (0.89,)), images=0)
    assert len(kept) > 2000
    tolerance = 4 * float(kept.std(axis=0).max()) / math.sqrt(len(kept)) + 0.0003
    assert list(belief.expected.values()) == pytest.approx(kept.mean(axis=0), abs=tolerance)
    right = float(np.mean(kept[:, 0] > kept[:, 1]))
    assert belief.better("0", "1") == pytest.approx(right, abs=0.03)


def test_a_lucky_value_is_believed_less_than_several():
    belief = posterior(evidence((0.95,), (0.94, 0.94, 0.94), *[(0.90,)] * 6), images=270)
    expected = belief.expected
    assert 0.90 < expected["0"] < 0.95
    assert 0.95 - expected["0"] > 0.94 - expected["1"]
    assert belief.better("1", "2") > belief.better("1", "0")
    assert belief.better("0", "1") == pytest.approx(1 - belief.better("1", "0"))


def test_networks_that_did_not_learn_do_not_make_the_others_differ():
    values = [(0.95,), (0.945,), (0.94,), (0.935,), (0.93,)]
    plain = posterior(evidence(*values), images=1000)
    with_failures = posterior(evidence(*values, (0.1,), (0.1,)), images=1000)
    assert with_failures.expected["0"] == pytest.approx(plain.expected["0"], abs=0.002)


def test_of_one_that_was_never_trained_the_mean_of_the_others_is_expected():
    belief = posterior([*evidence((0.9,), (0.92,)), Evidence(name="new", values=())], images=0)
    assert belief.expected["new"] == pytest.approx(0.91, abs=1e-3)
    none = posterior([Evidence(name="a", values=()), Evidence(name="b", values=())], images=270)
    assert none.better("a", "b") == pytest.approx(0.5)


def test_what_a_surrogate_expects_counts_where_it_proves_right():
    right = [Evidence(name=str(n), values=(0.9 + n / 100,), expected=n / 100) for n in range(8)]
    new = Evidence(name="new", values=(), expected=0.2)
    assert posterior([*right, new], images=0).expected["new"] == pytest.approx(1.1, abs=0.01)


def test_one_network_alone_is_what_it_came_to():
    belief = posterior(evidence((0.9, 0.92)), images=100)
    assert belief.expected["0"] == pytest.approx(0.91)
    assert belief.knowledge_gradient({})["0"] > 0


def test_an_easy_split_is_not_taken_for_a_good_network():
    """Two networks on another split, both 5 points better there; the third was never on it."""
    known = [
        Evidence(name=name, values=(value,))
        for name, value in (("a", 0.90), ("b", 0.89), ("c", 0.90))
    ]
    others = [Evidence(name=str(n), values=(0.88,)) for n in range(5)]
    again = [known[0].after((0.95,), (1,)), known[1].after((0.94,), (1,)), known[2], *others]
    assert again[0] == Evidence(name="a", values=(0.90, 0.95), folds=(0, 1))
    left = without_splits(again, images=100)
    assert left[0][0] == 0.90
    assert 0.90 < left[0][1] < 0.945
    assert left[0][1] - left[1][1] == pytest.approx(0.01)
    told_apart = posterior(again, images=100).gain("a", "c")
    as_one = [Evidence(name=one.name, values=one.values) for one in again]
    assert told_apart < posterior(as_one, images=100).gain("a", "c")
    # Trainings that differ by far more than splits can are noise.
    wild = [Evidence(name="a", values=(0.56, 0.73, 0.78, 0.77), folds=(0, 1, 2, 3)), *others]
    assert without_splits(wild, images=270)[0] == pytest.approx(wild[0].values, abs=0.06)
    # On one split there is nothing to take off.
    assert without_splits(as_one, images=100) == [one.values for one in as_one]


def test_what_splits_made_easier_is_the_best_linear_prediction():
    """Against the mixed model's equations, solved as a whole."""
    evidence = [
        Evidence(name=str(n), values=values, folds=folds)
        for n, (values, folds) in enumerate([
            ((0.91, 0.93, 0.90), (0, 1, 2)), ((0.90, 0.94), (0, 1)), ((0.88,), (0,)), ((0.87,), (0,)),
        ])
    ]  # fmt: skip
    values = np.concatenate([one.values for one in evidence])
    network = np.array([0, 0, 0, 1, 1, 2, 3])
    split = np.array([0, 1, 2, 0, 1, 0, 0])
    middle, images = float(np.median(values)), 200
    within = sum(float(np.var(one.values)) * len(one.values) for one in evidence)
    noise = (4 * usual_noise(middle, images) ** 2 + within) / (4 + 3)
    shared = 0.5 * middle * (1 - middle) / images
    seen = max(float(np.var(values, ddof=1)) - noise, 0.0)
    spread = (4 * 0.012**2 + 6 * seen) / 10
    cover = noise * np.eye(7)
    cover += spread * (network[:, None] == network) + shared * (split[:, None] == split)
    inverse = np.linalg.inv(cover)
    centre = float(np.ones(7) @ inverse @ values / (np.ones(7) @ inverse @ np.ones(7)))
    easier = shared * (split[None, :] == np.arange(3)[:, None]) @ inverse @ (values - centre)
    expected = values - (easier - easier[0])[split]
    found = [value for one in without_splits(evidence, images=images) for value in one]
    assert found == pytest.approx(expected, abs=2e-4)
