import math
import random

import pytest

from archsearch.archive.store import Trial
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.strategy.sampler import TPE_ATTEMPTS, View, derive_seed

KNOBS = (
    IntKnob("depth", 1, 12),
    ChoiceKnob("kernel", (1, 3, 5)),
    ChoiceKnob("bias", (True, False)),
)


def past(count: int, *, running: int = 0, seed: int = 0) -> list[Trial]:
    """Trials whose accuracy grows with depth; the last ones are under way."""
    rng = random.Random(seed)
    trials = []
    for number in range(count):
        knobs = {"depth": rng.randint(1, 12), "kernel": rng.choice((1, 3, 5)), "bias": True}
        accuracy = knobs["depth"] / 12
        under_way = number >= count - running
        trials.append(
            Trial(
                number=number,
                state="running" if under_way else "complete",
                knobs=knobs,
                accuracy=None if under_way else accuracy,
                reports={epoch: accuracy * epoch / 4 for epoch in range(1, 5)},
            )
        )
    return trials


def view(trials: list[Trial], window: int = 1, startup: int = 4, seed: int = 0) -> View:
    return View(trials, number=len(trials), window=window, knobs=KNOBS, seed=seed, startup=startup)


def test_proposals_follow_from_the_past_alone():
    for attempt in (0, 1, TPE_ATTEMPTS):
        first, second = view(past(15)), view(past(15))
        assert [first.propose(a) for a in range(attempt + 1)] == [
            second.propose(a) for a in range(attempt + 1)
        ]
    by_seed = {tuple(view(past(15), seed=seed).propose(0).items()) for seed in range(10)}
    assert len(by_seed) > 1


def test_what_runs_may_already_have_ended_without_changing_a_thing():
    trials = past(15)
    ended = view(trials, window=3).propose(0)
    running = view(past(15, running=2), window=3).propose(0)
    assert ended == running


def test_values_are_plain_and_in_range():
    for attempt in range(TPE_ATTEMPTS + 3):
        knobs = view(past(12)).propose(attempt)
        assert list(knobs) == ["depth", "kernel", "bias"]
        assert [type(value) for value in knobs.values()] == [int, int, bool]
        assert 1 <= knobs["depth"] <= 12
        assert knobs["kernel"] in (1, 3, 5)


def test_the_model_learns_what_is_good():
    depths = [view(past(30, seed=s), seed=s).propose(0)["depth"] for s in range(20)]
    assert sum(depths) / len(depths) > 8  # chance gives 6.5


@pytest.mark.parametrize(
    ("reports", "hopeless"),
    [
        ({1: 0.01, 2: 0.01}, False),  # warming up
        ({1: 0.01, 2: 0.01, 3: 0.01}, True),
        ({1: 0.9, 2: 0.9, 3: 0.9}, False),
        ({1: 0.9, 2: 0.01, 3: 0.01}, False),  # it has been good once
    ],
)
def test_below_the_median_is_hopeless_after_the_warm_up(reports, hopeless):
    assert view(past(15)).hopeless(reports, warmup=2) is hopeless


def test_nothing_is_hopeless_while_little_is_known():
    assert not view(past(3)).hopeless({1: 0, 2: 0, 3: 0}, warmup=1)
    # Nor do trials count that were under way when this one began.
    assert not view(past(6), window=4).hopeless({1: 0, 2: 0, 3: 0}, warmup=1)


def test_seeds_differ_by_purpose_and_fit_31_bits():
    seeds = {derive_seed(s, what, n) for s in range(5) for what in "ab" for n in range(50)}
    assert len(seeds) == 500
    assert all(0 <= seed < 2**31 for seed in seeds)
    assert not math.isclose(sum(seeds) / 500, 0)
