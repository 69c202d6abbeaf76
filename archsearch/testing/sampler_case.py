"""What every sampler keeps to, as tests: subclass `SamplerCase` to hold a sampler of your own to it."""

from itertools import islice
from typing import Any, Final

from archsearch.archive.orders import Length, Order
from archsearch.space.knobs import Knobs, check
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.sampler import Choices, Known, Sampler, SamplerFactory
from archsearch.strategy.search import Search, SearchPlan, window_of
from archsearch.testing.simulation import Simulation
from archsearch.testing.toy_space import toy_choices

_LOOKED_AT: Final = 8
"""Proposals of a decision that are looked at."""


class SamplerCase:
    """The contract of `Sampler`, as tests that pytest finds in a subclass.

    class TestMine(SamplerCase):
        def sampler(self, choices):
            return MySampler(choices)
    """

    def sampler(self, choices: Choices) -> Sampler:
        """Return the sampler."""
        raise NotImplementedError

    # --- what it says -------------------------------------------------------------------------------

    def test_every_proposal_has_a_value_of_every_knobs_range(self) -> None:
        """With nothing known, and after many trials."""
        choices = toy_choices()
        for known in (nothing_known(), after_trials(self.sampler, 10)):
            for knobs in self._proposals(choices, known):
                check(choices.knobs, knobs, space="toy")
                assert not any(hasattr(value, "item") for value in knobs.values()), (
                    f"{knobs} holds NumPy's numbers, which no storage takes"
                )

    def test_it_keeps_nothing_between_decisions(self) -> None:
        """The same is known, the same is proposed: by a new sampler, and by one asked before."""
        choices, known = toy_choices(), after_trials(self.sampler, 10)
        used = self.sampler(choices)
        list(islice(used.propose(nothing_known()), _LOOKED_AT))
        expected = self._proposals(choices, known)
        assert self._proposals(choices, known) == expected
        assert list(islice(used.propose(known), _LOOKED_AT)) == expected

    def test_what_may_not_be_known_yet_changes_nothing(self) -> None:
        """A worker that is quicker must not change what is tried."""
        for workers in (1, 2, 3):
            quick = searched(self.sampler, trials=14, workers=workers, window=4)
            slow = searched(
                self.sampler, trials=14, workers=workers, window=4,
                epoch_s=lambda order: 1.0 + hash_share(order),
            )  # fmt: skip
            assert [t.knobs for t in quick.trials] == [t.knobs for t in slow.trials]

    def test_a_search_taken_up_goes_on_as_if_nothing_had_happened(self) -> None:
        """What the storage has of the trials is all there is to know."""
        expected = searched(self.sampler, trials=14, workers=2, window=3)
        for kept in range(1, 14, 3):
            again = searched(self.sampler, trials=14, workers=2, window=3, killed_at=kept)
            assert [t.knobs for t in again.trials] == [t.knobs for t in expected.trials]

    def test_no_network_comes_twice(self) -> None:
        """Whoever asks passes over what has been tried; a sampler that never says anything new stalls."""
        found = searched(self.sampler, trials=20, workers=2, window=3)
        graphs = [trial.design.graph for trial in found.trials]
        assert len(graphs) == 20
        assert len(set(graphs)) == 20

    def _proposals(self, choices: Choices, known: Known) -> list[Knobs]:
        return list(islice(self.sampler(choices).propose(known), _LOOKED_AT))


def nothing_known() -> Known:
    """Return what is known before the first trial."""
    return Known(decision=0, trials=(), seed=0)


def after_trials(factory: SamplerFactory, count: int) -> Known:
    """Return what is known after so many trials, the last two of them still running."""
    found = searched(factory, trials=count, workers=1, window=1)
    return Known.of(found.trials, decision=count, window=3, seed=0, recent=range(count - 2, count))


def searched(
    factory: SamplerFactory,
    *,
    trials: int,
    workers: int,
    window: int | None = None,
    killed_at: int | None = None,
    **simulated: Any,
) -> Simulation:
    """Search the toy space without processes.

    Args:
        factory: makes the sampler.
        trials: how many.
        workers: trainings at the same time.
        window: of decisions; None: what goes with so many workers.
        killed_at: trials after which everything but the storage is lost, and a new search goes on.
        simulated: fields of the simulation.
    """
    choices = toy_choices(trials=trials)
    plan = SearchPlan(
        choices=choices,
        sampler=factory(choices),
        fidelity=FullLength(choices.startup),
        length=lambda flops: Length(400, 4),
        window=window or window_of(workers),
    )
    made = Simulation(learned, workers=workers, **simulated)
    if killed_at is not None:
        made.run(Search(plan, bounds=Bounds()), until=lambda s: len(s.trials) > killed_at)
        made = Simulation(learned, workers=workers, trials=list(made.trials), **simulated)
    made.run(Search(plan, bounds=Bounds(), trials=made.trials))
    return made


def learned(order: Order, epoch: int) -> float:
    """Return an accuracy that depends on the network, and rises with every epoch."""
    return (0.5 + 0.4 * hash_share(order)) * (1 - 0.5 ** (1 + epoch))


def hash_share(order: Order) -> float:
    """Return a number in [0, 1) that follows from the network."""
    return int(order.design.graph, 16) / 16**16
