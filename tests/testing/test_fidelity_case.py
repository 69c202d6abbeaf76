"""Our fidelity schemes keep to the contract, and so does one with rungs; one that does not is caught."""

import pytest

from archsearch.archive.orders import Length
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.fidelity import Promotion
from archsearch.testing.fidelity_case import FidelityCase, ordered
from tests.rungs import Halving


class TestNone(FidelityCase):
    def fidelity(self, startup):
        return FullLength(startup)


class TestMedian(FidelityCase):
    def fidelity(self, startup):
        return MedianPruning(startup)


class TestRungs(FidelityCase):
    def fidelity(self, startup):
        return Rungs(startup)


class TestHalving(FidelityCase):
    def fidelity(self, startup):
        return Halving(startup)

    def test_the_best_of_every_four_go_on(self):
        found = self._searched()
        promoted = [trial for trial in found.trials if len(trial.trainings) > 1]
        assert len(promoted) == 4
        for trial in promoted:
            (short, full) = trial.trainings
            assert (short.order.length, full.order.length) == (Length(600, 6), Length(2400, 24))
            assert full.outcome.images == 2400
        # Each was the best of the short ones that were known when it was promoted.
        for trial in promoted:
            at = trial.trainings[1].order.decision
            peers = [
                other.trainings[0].outcome.val_accuracy
                for other in found.trials
                if other.trainings[0].order.decision <= at - 4
                and (len(other.trainings) == 1 or other.trainings[1].order.decision >= at)
            ]
            assert trial.trainings[0].outcome.val_accuracy == max(peers) or at > 19


class Greedy(FullLength):
    """Promotes by what the process has seen, not by what may be known."""

    seen = 0

    def rungs(self, full):
        return (Length(full.images // 2, max(1, full.epochs // 2)), full)

    def promote(self, known, outlook):
        Greedy.seen += 1
        waiting = [t.number for t in known.trials if len(t.trainings) == 1]
        return Promotion(waiting[0], 1) if waiting and Greedy.seen % 3 == 0 else None


def test_a_scheme_that_counts_for_itself_is_caught():
    class Case(FidelityCase):
        def fidelity(self, startup):
            return Greedy(startup)

    with pytest.raises(AssertionError):
        Case().test_a_search_taken_up_goes_on_as_if_nothing_had_happened()


def test_what_is_compared_are_decisions_and_endings():
    (first, *_) = ordered(TestNone()._searched())
    key, decision, knobs, outcome = first
    assert (key, decision, outcome.status) == ("trial-0000", 0, "complete")
    assert set(knobs) == {"depth", "kernel", "bias"}
