"""The tables that searches are replayed on are what they say, and a replay is one."""

import random
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from archsearch.archive.orders import Length
from archsearch.readings.cost import cost
from archsearch.readings.workload import Workload
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.samplers.descriptions import Description

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
NAMES = ("cells", "tables", "rivals", "replays", "search")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield SimpleNamespace(**{name: import_module(name) for name in NAMES})
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("ops", "params"),
    [("321143", 587_386), ("122431", 372_346), ("244112", 129_306), ("100404", 73_306)],
)
def test_parameters_are_those_of_the_published_table(bench, ops, params):
    # NAS-Bench-201, CIFAR-10, model_size in millions; all edges of these lead somewhere.
    assert cost(bench.cells.network([int(op) for op in ops])).params == params


def test_cells_through_which_nothing_comes_have_no_network(bench):
    assert bench.cells.network((3, 3, 3, 0, 0, 0)) is None
    assert bench.cells.network((0, 3, 3, 0, 3, 0)) is None
    assert bench.cells.used((3, 3, 0, 0, 3, 0)) == {0, 1, 3}


def load(*, quick: bool) -> Workload:
    return Workload(flops=22.0, elements=16.0 if quick else 20.8, ops=4.0, params=10.0, thin=0.0)


def made_up(tables):
    """Accuracies that follow from a feature, of half of all settings."""
    rng = np.random.default_rng(0)
    every = [(a, b, c) for a in range(6) for b in range(5) for c in range(4)]
    places = [every[i] for i in sorted(rng.choice(len(every), 60, replace=False))]
    value = {place: 0.5 + 0.01 * (place[0] * place[1] - place[2]) for place in places}
    return tables.Table(
        "made up",
        (IntKnob("a", 0, 5), ChoiceKnob("b", tuple("vwxyz")), IntKnob("c", 0, 3)),
        tuple(places),
        tuple((value[place], value[place] + 0.001) for place in places),
        {
            place: Description(
                str(place), {"product": place[0] * place[1]}, load(quick=place[2] < 2)
            )
            for place in places
        },
    )


@pytest.mark.parametrize("method", ["random", "tpe", "evolution", "local", "gp", "gp-knobs"])
def test_a_replay_tries_no_network_twice_and_ends_at_the_best_where_all_are_tried(bench, method):
    table = made_up(bench.tables)
    regret = bench.search.replay(method, table, seed=0, trials=len(table.places))
    assert len(regret) == len(table.places)
    assert regret[-1] == pytest.approx(0, abs=0.1)
    assert regret == bench.search.replay(method, table, seed=0, trials=len(table.places))


def test_by_time_a_level_is_the_time_of_so_many_trainings(bench):
    table = made_up(bench.tables)
    alike = replace(table, seconds=(3.0,) * len(table.places))
    whole = bench.search.replay("random", table, seed=0, trials=20)
    assert bench.search.replay("random", alike, seed=0, trials=20, by_time=True) == whole
    # Half of them take a third of the time: a search that heeds it has seen more by then.
    quick = [place[2] < 2 for place in table.places]
    uneven = replace(table, seconds=tuple(1.0 if one else 3.0 for one in quick))
    sums = {
        method: sum(
            sum(bench.search.replay(method, uneven, seed=seed, trials=15, by_time=True))
            for seed in range(4)
        )
        for method in ("random", "gp-time")
    }
    assert sums["gp-time"] < sums["random"]


def test_short_trainings_cost_their_share_and_the_best_of_them_train_in_full(bench):
    table = made_up(bench.tables)
    short = {4: tuple((value - 0.1,) for value, _ in table.values)}
    table = replace(table, full=Length(1200, 12), short=short)
    one = bench.replays.Replay(table, [0] * len(table.places), seed=0, by_time=False)
    one.fidelity = Rungs(4)
    seen = list(one.trainings(range(len(table.places))))
    assert sum(not training.full for training in seen) == len(table.places)
    assert {round(training.cost, 3) for training in seen} == {0.333, 1.0}
    full = [training.number for training in seen if training.full]
    assert 0 < len(full) < len(table.places) / 5
    assert table.means[one.best] == max(table.means[full])
    assert seen[9].full  # nine of a third have paid for it: the best of them
    first = [training.number for training in seen[:9]]
    assert table.means[seen[9].number] == max(table.means[first])
    whole = bench.search.replay("gp-rungs", table, seed=0, trials=20)
    assert whole == bench.search.replay("gp-rungs", table, seed=0, trials=20)
    assert whole[-1] < whole[0]


def test_all_methods_begin_alike_and_ours_is_sooner_there(bench):
    table = made_up(bench.tables)
    regrets = {
        method: np.mean(
            [bench.search.replay(method, table, seed=s, trials=20) for s in range(3)], axis=0
        )
        for method in ("random", "gp")
    }
    assert regrets["gp"][:4] == pytest.approx(regrets["random"][:4])
    assert regrets["gp"].sum() < regrets["random"].sum()


def test_a_right_prior_is_sooner_there_and_one_of_the_wrong_sign_is_found_out(bench):
    table = made_up(bench.tables)
    regrets = {
        method: np.mean(
            [
                bench.search.replay(method, table, seed=s, trials=20, teachers=[table])
                for s in range(4)
            ],
            axis=0,
        )
        for method in ("gp", "gp-prior", "gp-wrong")
    }
    assert regrets["gp-prior"][3] < regrets["gp"][3]  # the start: half of it is the prior's
    assert regrets["gp-prior"].sum() < regrets["gp"].sum()
    assert regrets["gp-wrong"][-1] <= regrets["gp"][-1] + 1


def test_changes_stay_within_the_table(bench):
    table, rng = made_up(bench.tables), random.Random(0)
    grid = bench.tables.MembersGrid(table)
    for _ in range(50):
        place = grid.drawn(rng)
        changed = grid.changed(place, rng, knobs=1)
        assert changed in table.places
        assert changed != place
