"""Greedy forward selection, by hand and against every set of members there is."""

from itertools import combinations

import numpy as np
import pytest

from archsearch.ensembles.greedy import accuracy, chosen, merit

LABELS = np.array([0, 0, 1, 1])


def sure(*right: float) -> np.ndarray:
    """Probabilities of two classes, from that of each image's own class."""
    own = np.array(right)
    return np.where(LABELS[:, None] == np.arange(2), own[:, None], 1 - own[:, None])


def test_who_mends_the_others_mistakes_comes_before_who_is_better_alone():
    best, twin, other = sure(0.9, 0.9, 0.9, 0.2), sure(0.9, 0.9, 0.8, 0.2), sure(0.6, 0.4, 0.4, 0.9)
    assert accuracy(twin, LABELS) > accuracy(other, LABELS)
    assert chosen([twin, other, best], LABELS, most=2) == (2, 1)


def test_it_ends_where_no_other_helps_at_one_if_need_be():
    good, bad = sure(0.9, 0.9, 0.9, 0.9), sure(0.1, 0.1, 0.1, 0.1)
    assert chosen([bad, good, bad], LABELS, most=3) == (1,)
    assert chosen([good, good, good], LABELS, most=3) == (0,)  # the first of equals


def test_among_equally_many_right_the_surer_is_taken():
    assert chosen([sure(0.6, 0.6, 0.6, 0.6), sure(0.9, 0.9, 0.9, 0.9)], LABELS, most=2) == (1,)


def test_two_are_as_good_as_the_best_pair_with_the_best_one():
    draws = np.random.default_rng(0)
    labels = draws.integers(0, 4, 60)
    members = [draws.dirichlet(np.ones(4), 60) + 0.4 * np.eye(4)[labels] for _ in range(6)]
    members = [each / each.sum(1, keepdims=True) for each in members]
    # Several mend one another here, so that more than one is taken.
    first, second, *_ = chosen(members, labels, most=4)
    assert first == max(range(6), key=lambda place: merit(members[place], labels))
    pairs = [pair for pair in combinations(range(6), 2) if first in pair]
    best = max(pairs, key=lambda pair: merit(np.mean([members[p] for p in pair], axis=0), labels))
    assert {first, second} == set(best)


def test_nothing_is_no_choice():
    with pytest.raises(ValueError, match="one network or more: 0 given"):
        chosen([], LABELS, most=3)
    with pytest.raises(ValueError, match="0 wanted"):
        chosen([sure(1, 1, 1, 1)], LABELS, most=0)
