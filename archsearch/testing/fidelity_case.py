"""What every fidelity scheme keeps to, as tests: subclass `FidelityCase` to hold one of your own to it."""

from dataclasses import replace
from typing import Any

from archsearch.archive.orders import Length
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelity import Fidelity
from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.testing.sampler_case import hash_share, learned
from archsearch.testing.simulation import Simulation
from archsearch.testing.toy_space import toy_choices


class FidelityCase:
    """The contract of `Fidelity`, as tests that pytest finds in a subclass.

    class TestMine(FidelityCase):
        def fidelity(self, startup):
            return MyScheme(startup)
    """

    def fidelity(self, startup: int) -> Fidelity:
        """Return the scheme for a search that tries so many networks by chance first."""
        raise NotImplementedError

    def test_lengths_rise_to_the_full_one(self) -> None:
        """For trainings of a few epochs and of many."""
        for full in (Length(1000, 1), Length(4000, 4), Length(90_000, 90)):
            rungs = self.fidelity(4).rungs(full)
            assert rungs[-1] == full
            images = [rung.images for rung in rungs]
            assert images == sorted(set(images)), f"{images} do not rise"
            assert all(1 <= rung.epochs <= full.epochs for rung in rungs)

    def test_every_trial_ends_and_none_stands_on_a_rung_that_is_none(self) -> None:
        """A search comes to its end, whatever is cut short or promoted."""
        found = self._searched()
        assert len(found.trials) == _TRIALS
        for trial in found.trials:
            rungs = [training.order.key.rung for training in trial.trainings]
            assert rungs == sorted(set(rungs))
            assert rungs[0] == 0
            assert all(training.outcome is not None for training in trial.trainings)

    def test_what_is_cut_short_is_so_for_a_reason_and_after_an_epoch(self) -> None:
        """`judge` says why, in one line."""
        for trial in self._searched().trials:
            for training in trial.trainings:
                outcome = training.outcome
                assert outcome is not None
                if outcome.status == "pruned":
                    assert outcome.reason
                    assert "\n" not in outcome.reason
                    assert 1 <= outcome.epochs < training.order.length.epochs

    def test_which_worker_is_first_changes_nothing(self) -> None:
        """Nor does how long epochs take: promotions are decisions like all others."""
        expected = ordered(self._searched(workers=2))
        for workers in (1, 2, 3):
            uneven = self._searched(
                workers=workers, epoch_s=lambda order: 1.0 + 3 * hash_share(order)
            )
            assert ordered(uneven) == expected

    def test_a_search_taken_up_goes_on_as_if_nothing_had_happened(self) -> None:
        """What the storage has of the trainings is all there is to know."""
        expected = ordered(self._searched(workers=2))
        for killed_at in range(1, 40, 4):
            assert ordered(self._searched(workers=2, killed_at=killed_at)) == expected

    def _searched(
        self, *, workers: int = 1, killed_at: int | None = None, **simulated: Any
    ) -> Simulation:
        choices = toy_choices(trials=_TRIALS)
        plan = SearchPlan(
            choices=choices,
            sampler=RandomSampler(choices),
            fidelity=self.fidelity(choices.startup),
            length=lambda flops: Length(2400, 24),
            window=4,
        )
        made = Simulation(learned, workers=workers, **simulated)
        if killed_at is not None:
            made.run(Search(plan, bounds=Bounds()), until=lambda s: len(s.steps) > killed_at)
            made = Simulation(learned, workers=workers, trials=list(made.trials), **simulated)
        made.run(Search(plan, bounds=Bounds(), trials=made.trials))
        return made


_TRIALS = 16


def ordered(found: Simulation) -> list[object]:
    """Return what was decided and what came of it, in the order of decisions."""
    trainings = [training for trial in found.trials for training in trial.trainings]
    trainings.sort(key=lambda training: training.order.decision or 0)
    return [
        (
            str(training.order.key),
            training.order.decision,
            dict(training.order.knobs),
            training.outcome and replace(training.outcome, total_s=0.0),
        )
        for training in trainings
    ]
