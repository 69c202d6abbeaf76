import itertools

import pytest

from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.strategy.importance import LEAST_TRIALS, importances

KNOBS = (IntKnob("depth", 1, 4), ChoiceKnob("groups", (1, 8)), ChoiceKnob("bias", (True, False)))
EVERY = [
    {"depth": depth, "groups": groups, "bias": bias}
    for depth, groups, bias in itertools.product(range(1, 5), (1, 8), (True, False))
]


def test_variance_is_shared_out_as_it_was_made():
    # On a full grid the variance of depth is 0.3² · 5/4 and that of bias 0.67² / 4 …
    tried = [(one, 0.3 * one["depth"] + (0.67 if one["bias"] else 0.0)) for one in EVERY]
    found = importances(KNOBS, tried)
    # … that is 0.1125 and 0.112: half each, and nothing for the third.
    assert found["depth"] == pytest.approx(0.5, abs=0.1)
    assert found["bias"] == pytest.approx(0.5, abs=0.1)
    assert found["groups"] == pytest.approx(0.0, abs=0.02)
    assert sum(found.values()) == pytest.approx(1.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_a_seed_tells_the_same_again():
    tried = [(one, 0.1 * one["depth"]) for one in EVERY]
    assert importances(KNOBS, tried, seed=3) == importances(KNOBS, tried, seed=3)


def test_nothing_is_said_of_what_tells_nothing():
    tried = [(one, 0.1 * one["depth"]) for one in EVERY]
    assert importances(KNOBS, tried[: LEAST_TRIALS - 1]) == {}
    assert importances(KNOBS, [(one, 0.5) for one in EVERY]) == {}
    assert importances((), tried) == {}
    # A knob of which all trials have one value, and one that another version chose, are left out.
    alike = [({**one, "groups": 8, "bias": 7}, value) for one, value in tried]
    assert set(importances(KNOBS, alike)) == {"depth"}
