"""Our samplers keep to the contract; one that does not is caught."""

import random

import pytest

from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.samplers.evolution import EvolutionSampler
from archsearch.strategy.samplers.gp import GpSampler
from archsearch.strategy.samplers.local_search import LocalSampler
from archsearch.strategy.samplers.tpe import TpeSampler
from archsearch.testing.sampler_case import SamplerCase


class TestTpe(SamplerCase):
    def sampler(self, choices):
        return TpeSampler(choices)


class TestRandom(SamplerCase):
    def sampler(self, choices):
        return RandomSampler(choices)


class TestGp(SamplerCase):
    def sampler(self, choices):
        return GpSampler(choices)


class TestEvolution(SamplerCase):
    def sampler(self, choices):
        return EvolutionSampler(choices)


class TestLocalSearch(SamplerCase):
    def sampler(self, choices):
        return LocalSampler(choices)


class Dice:
    """Chance that does not follow from the decision."""

    def __init__(self, choices):
        self.choices = choices

    def propose(self, known):
        while True:
            yield {knob.name: random.choice(knob.values()) for knob in self.choices.knobs}


class OutOfRange:
    def __init__(self, choices):
        pass

    def propose(self, known):
        yield {"depth": 99, "kernel": 3, "bias": True}


def held(factory) -> SamplerCase:
    class Case(SamplerCase):
        def sampler(self, choices):
            return factory(choices)

    return Case()


def test_chance_of_its_own_is_caught():
    with pytest.raises(AssertionError):
        held(Dice).test_it_keeps_nothing_between_decisions()


def test_values_out_of_range_are_caught():
    with pytest.raises(Exception, match="out of range"):
        held(OutOfRange).test_every_proposal_has_a_value_of_every_knobs_range()
