"""What the search's own sampler is compared with: all choose among a table's networks, none twice.

TPE's draws outside the table count as promising nothing, and it draws as many more as it takes to have 24
within, as it has by default. Optuna's Gaussian process and SMAC3 are asked what each network that is left
promises. Ours goes by some hundred candidates, as in a search. The first networks by chance are the same
for all.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
from tables import MembersDescriber, MembersGrid, Table

from archsearch.archive.optuna_terms import distributions, hush
from archsearch.space.knobs import ChoiceKnob, Knob, Knobs
from archsearch.strategy.sampler import Choices, Known, Sampler
from archsearch.strategy.samplers.evidence import results
from archsearch.strategy.samplers.evolution import EvolutionSampler
from archsearch.strategy.samplers.gp import GpSampler
from archsearch.strategy.samplers.grid import Place
from archsearch.strategy.samplers.known_tpe import KnownTpe
from archsearch.strategy.samplers.local_search import LocalSampler
from archsearch.strategy.samplers.tpe import TpeSampler
from archsearch.surrogate.prior import LinearPrior, Task, learnt

STARTS = {
    "tpe": 10,
    "evolution": 10,
    "local": 4,
    "gp": 4,
    "gp-time": 4,
    "gp-rungs": 4,
    "gp-knobs": 4,
    "gp-prior": 2,
    "gp-wrong": 2,
    "optuna-gp": 10,
    "smac": 10,
}
"""Networks by chance that each begins with, by its defaults; SMAC3 has a design of about as many."""
WITHIN = 24
"""Draws of TPE's model among which it chooses: Optuna's default."""


class MembersTpe(TpeSampler):
    """Today's sampler, kept to the networks of a table."""

    def __init__(self, choices: Choices, table: Table, grid: MembersGrid) -> None:
        super().__init__(choices)
        self._table, self._grid = table, grid

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield what the model proposes."""
        tried = {self._grid.place(trial.knobs) for trial in known.trials}
        self._left = {place for place in self._table.places if place not in tried}
        yield from super().propose(known)

    def _ask(self, study: Any, rows: Any, seed: int) -> Knobs:
        left, knobs = self._left, self._choices.knobs

        class Masked(KnownTpe):
            def _compute_acquisition_func(self, samples: Any, *models: Any) -> Any:
                found = super()._compute_acquisition_func(samples, *models)
                places = zip(*(_numbers(knob, samples, len(found)) for knob in knobs), strict=True)
                return np.where([place in left for place in places], found, -np.inf)

        combinations = np.prod([len(knob.values()) for knob in self._choices.knobs])
        share = len(self._table.places) / combinations
        study.sampler = Masked(
            self._space, rows, seed=seed, multivariate=True, constant_liar=True,
            n_startup_trials=0, n_ei_candidates=round(WITHIN / share),
        )  # fmt: skip
        return study.ask(self._space).params


def _numbers(knob: Knob, samples: Any, count: int) -> list[int]:
    """Return where each of so many samples is among a knob's values; Optuna leaves out who has no choice."""
    if knob.name not in samples:
        return [0] * count
    found = np.asarray(samples[knob.name])
    if not isinstance(knob, ChoiceKnob):
        found = np.searchsorted(np.array(knob.values()), found)
    return [int(number) for number in found]


class OptunaGp:
    """Optuna's Gaussian process, its own defaults; asked what every network left promises."""

    def __init__(self, table: Table, grid: MembersGrid, seed: int) -> None:
        import optuna

        members = np.array(table.places, dtype=float)
        self._grid, self._space, self._tried = grid, distributions(table.knobs), set[Place]()

        class Within(optuna.samplers.GPSampler):
            def _optimize_acqf(this, acqf: Any, best_params: Any) -> Any:  # noqa: N805
                left = [tuple(row) not in self._tried for row in table.places]
                return members[left][np.argmax(acqf.eval_acqf_no_grad(members[left]))]

        hush()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sampler = Within(seed=seed, n_startup_trials=STARTS["optuna-gp"])
        self._study = optuna.create_study(direction="maximize", sampler=sampler)

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield what promises most."""
        import optuna

        for result in results(known.trials)[len(self._tried) :]:
            knobs = dict(known.trials[result.trial].knobs)
            self._tried.add(self._grid.place(knobs))
            self._study.add_trial(
                optuna.create_trial(
                    params=knobs, distributions=self._space, value=100 * result.accuracy
                )
            )
        trial = self._study.ask(self._space)
        self._study.tell(trial, state=optuna.trial.TrialState.FAIL)  # what came of it is added
        yield trial.params


class Smac:
    """SMAC3's facade for a few expensive trials, its own defaults, asked of every network that is left."""

    def __init__(
        self, table: Table, grid: MembersGrid, seed: int, trials: int, folder: str
    ) -> None:
        from ConfigSpace import Categorical, Configuration, ConfigurationSpace
        from smac import BlackBoxFacade, Scenario
        from smac.acquisition.maximizer import AbstractAcquisitionMaximizer

        self._grid, self._told = grid, 0
        space = ConfigurationSpace(seed=seed)
        space.add([Categorical(knob.name, list(knob.values())) for knob in table.knobs])
        self._members = {
            place: Configuration(space, values=grid.knobs(place)) for place in table.places
        }

        class Within(AbstractAcquisitionMaximizer):
            def _maximize(self, previous_configs: Any, n_points: int) -> Any:
                tried = set(previous_configs)
                left = [config for config in members if config not in tried]
                return self._sort_by_acquisition_value(left)

        members = list(self._members.values())
        scenario = Scenario(
            space, n_trials=2 * trials, seed=seed, deterministic=True, output_directory=folder
        )
        self._smac = BlackBoxFacade(
            scenario,
            lambda config, seed=0: 0.0,
            initial_design=BlackBoxFacade.get_initial_design(scenario, n_configs=0),
            acquisition_maximizer=Within(space, seed=seed),
            overwrite=True,
            logging_level=False,
        )

    def propose(self, known: Known) -> Iterator[Knobs]:
        """Yield what promises most."""
        from smac.runhistory import TrialInfo, TrialValue

        for result in results(known.trials)[self._told :]:
            place = self._grid.place(known.trials[result.trial].knobs)
            info = TrialInfo(self._members[place], seed=0)
            self._smac.tell(info, TrialValue(cost=-100 * result.accuracy))
            self._told += 1
        yield dict(self._smac.ask().config)


METHODS = (
    "random", "tpe", "evolution", "local", "gp", "gp-rungs", "gp-time", "gp-knobs", "gp-prior", "gp-wrong",
    "optuna-gp", "smac",
)  # fmt: skip
"""`gp-rungs` is our sampler with short trainings first, the default of searches that are long enough,
`gp-time` our sampler as it is under `--max-time`, `gp-knobs` without features, `gp-prior` with what
the other tables teach, `gp-wrong` with the opposite of it."""

RUNGS = ("gp-rungs",)
"""Those whose networks train for a short while first, and the best of them in full."""
LED = ("gp-prior", "gp-wrong")
"""Those that a prior leads."""


def make(
    method: str,
    table: Table,
    *,
    seed: int,
    trials: int,
    folder: str,
    prior: LinearPrior | None = None,
) -> Sampler:
    """Return a method for one replay; `prior` is what other tables teach."""
    grid = MembersGrid(table)
    choices = Choices(knobs=table.knobs, solve=_unsolved, trials=trials, seed=seed, val_images=None)
    described = MembersDescriber(table)

    def ours(prior: LinearPrior | None = None) -> Sampler:
        return GpSampler(choices, grid=grid, describer=described, prior=prior)

    makers: dict[str, Callable[[], Sampler]] = {
        "tpe": lambda: MembersTpe(choices, table, grid),
        "evolution": lambda: EvolutionSampler(choices, grid=grid),
        "local": lambda: LocalSampler(choices, grid=grid),
        "gp": ours,
        "gp-rungs": ours,
        "gp-time": lambda: GpSampler(
            replace(choices, time_s=trials * float(np.mean(table.seconds))),
            grid=grid,
            describer=described,
        ),
        "gp-prior": lambda: ours(prior),
        "gp-wrong": lambda: ours(opposite(prior)),
        "gp-knobs": lambda: GpSampler(choices, grid=grid, describer=MembersDescriber(bare(table))),
        "optuna-gp": lambda: OptunaGp(table, grid, seed),
        "smac": lambda: Smac(table, grid, seed, trials, folder),
    }
    return makers[method]()


def taught(tables: Sequence[Table], *, networks: int, seed: int) -> LinearPrior | None:
    """Return what some networks of each table teach, drawn by chance, one training of each."""
    rng = Random(seed)
    tasks = []
    for table in tables:
        which = rng.sample(range(len(table.places)), min(networks, len(table.places)))
        values = np.array([rng.choice(table.values[number]) for number in which])
        tasks.append(Task([table.described[table.places[n]].features for n in which], values))
    return learnt(tasks)


def opposite(prior: LinearPrior | None) -> LinearPrior | None:
    """Return a prior that expects most of what the given one expects least."""
    return None if prior is None else LinearPrior({n: -w for n, w in prior.weights.items()})


def bare(table: Table) -> Table:
    """Return a table of which no features are known."""
    described = {place: replace(found, features={}) for place, found in table.described.items()}
    return replace(table, described=described)


def _unsolved(knobs: Knobs) -> Any:
    raise AssertionError(f"a table's networks are described, not solved for: {knobs}")


__all__: Sequence[str] = ("METHODS", "make")
