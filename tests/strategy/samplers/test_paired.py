from dataclasses import replace
from itertools import islice

import pytest

from archsearch.errors import UserError
from archsearch.strategy.sampler import Choices, Sampler
from archsearch.strategy.samplers.paired import PairSampler
from archsearch.testing.sampler_case import SamplerCase, nothing_known, searched
from archsearch.testing.toy_space import toy_choices

KEEPING = {"bias": (True,)}


def pairing(choices: Choices, margin: float = 0.0) -> Sampler:
    return PairSampler(replace(choices, keeping=KEEPING, margin=margin))


class TestPairs(SamplerCase):
    def sampler(self, choices: Choices) -> Sampler:
        return pairing(choices)


@pytest.mark.parametrize("workers", [1, 3])
def test_each_network_that_keeps_the_rule_is_followed_by_the_same_that_breaks_it(workers):
    trials = searched(pairing, trials=14, workers=workers).trials
    for held, freed in zip(trials[::2], trials[1::2], strict=True):
        assert held.knobs["bias"] is True
        assert freed.knobs == {**held.knobs, "bias": False}
        assert held.trainings[0].order.seed == freed.trainings[0].order.seed


def test_the_held_networks_are_those_of_a_space_that_frees_nothing():
    """Whichever rule is freed, the same networks are drawn."""
    choices = toy_choices()
    freeing_bias = next(pairing(choices).propose(nothing_known()))
    freeing_kernel = next(
        PairSampler(replace(choices, keeping={"kernel": (3,)})).propose(nothing_known())
    )
    assert freeing_bias["depth"] == freeing_kernel["depth"]


def test_without_a_rule_to_break_there_are_no_pairs():
    choices = toy_choices()
    with pytest.raises(UserError, match="free one that a single space holds, as --relax"):
        PairSampler(choices)
    with pytest.raises(UserError, match="nothing can be tried that breaks"):
        PairSampler(replace(choices, keeping={"bias": (True, False)}))


def test_it_ends_once_the_effect_is_known():
    """Networks with a bias are better by two points, give or take one."""

    def learnt(order, epoch):
        worth = 0.02 * bool(order.knobs["bias"]) + 0.001 * order.knobs["depth"]
        return 0.8 + worth + 0.005 * (int(order.design.graph, 16) % 3)

    import archsearch.testing.sampler_case as case

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(case, "learned", learnt)
        found = searched(pairing, trials=30, workers=2)
    assert 10 <= len(found.trials) < 30
    assert found.trials
    assert len(found.trials) % 2 == 0


def test_proposals_that_break_it_are_many():
    choices = toy_choices()
    found = searched(pairing, trials=1, workers=1)
    from archsearch.strategy.sampler import Known

    known = Known(decision=1, trials=tuple(found.trials), seed=0)
    assert all(knobs["bias"] is False for knobs in islice(pairing(choices).propose(known), 5))
