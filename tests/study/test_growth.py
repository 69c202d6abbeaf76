"""A large study costs no more a trial than a small one: calls are counted, no time is measured."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType

import pytest
from sqlalchemy.event import listen

from archsearch.archive.databases import default_url, in_memory, opened
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.leaderboard import read_result
from archsearch.archive.orders import Length, Training, Trial
from archsearch.archive.store import StudyStore
from archsearch.readings.workload import Workload
from archsearch.strategy import slices
from archsearch.strategy.bounds import Bounds, Load
from archsearch.strategy.fidelities import rungs
from archsearch.strategy.fidelities.full import FullLength
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelities.rungs import Rungs
from archsearch.strategy.fidelity import Fidelity, Outlook
from archsearch.strategy.phase import Begin
from archsearch.strategy.sampler import Choices, Known
from archsearch.strategy.samplers.chance import RandomSampler
from archsearch.strategy.samplers.descriptions import Description
from archsearch.strategy.samplers.excerpt import MODELLED, Excerpt
from archsearch.strategy.samplers.gp import GpSampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.strategy.slices import SliceView
from archsearch.surrogate import algebra, model
from archsearch.testing.toy_space import toy_choices
from archsearch.training.job import EpochReport
from tests.archive.test_store import FACTS, KNOBS, VALUES, order, outcome

FULL = Length(1200, 12)


def calls(work: Callable[[], object]) -> int:
    """Count the Python functions that are called."""
    count = 0

    def note(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def trial(number: int, accuracy: float | None) -> Trial:
    made = order(number)
    ended = None if accuracy is None else outcome(made.key, val_accuracy=accuracy)
    knobs = {**VALUES, "depth": 1 + number % 12}
    training = Training(order=made, outcome=ended)
    return Trial(number=number, knobs=knobs, design=made.design, trainings=(training,))


def known(count: int, *, running: int = 4) -> Known:
    ended = [trial(number, 0.5 + number * 7 % 40 / 100) for number in range(count - running)]
    waiting = [trial(number, None) for number in range(count - running, count)]
    return Known(decision=count, trials=(*ended, *waiting), seed=0)


def study(count: int) -> StudyStore:
    store = StudyStore.create(in_memory(), "s", FACTS)
    for number in range(count):
        store.begin_trial(order(number), KNOBS)
        made = outcome(order(number).key, val_accuracy=0.5 + number * 7 % 40 / 100)
        store.end_training(number, order(number), made)
        store.finish(number)
    for number in range(3):
        key = JobKey("final", trial_name(number), seed=1)
        store.keep_final(key, outcome(key, test_accuracy=0.4))
    return store


def test_a_trial_takes_as_many_statements_whatever_their_number(tmp_path: Path):
    statements: list[str] = []
    taken = {}
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        engine = storage._backend.engine
        listen(engine, "before_cursor_execute", lambda *told: statements.append(told[2]))
        for number in range(60):
            del statements[:]
            with store.together():
                store.begin_trial(order(number), KNOBS)
            with store.together():
                store.report(number, order(number), 1, 0.25)
                store.end_training(number, order(number), outcome(order(number).key))
                store.finish(number)
            taken[number] = len(statements)
    assert taken[50] == taken[5] <= 15


def test_a_result_is_read_in_as_many_calls_a_trial():
    small, large = study(50), study(200)
    few, many = (calls(lambda store=store: read_result(store)) for store in (small, large))
    assert many < 4.4 * few


def test_a_model_is_made_of_a_bounded_part_the_best_and_the_newest():
    assert Excerpt().of(small := known(MODELLED)) is small
    large = known(4 * MODELLED)
    found = Excerpt().of(large)
    assert len(found.trials) == MODELLED + 4
    assert [t.number for t in found.trials[-150:]] == list(range(4 * MODELLED - 150, 4 * MODELLED))
    best = sorted(large.trials[:-4], key=lambda t: -t.trainings[0].outcome.val_accuracy)[:25]
    assert {t.number for t in best} <= {t.number for t in found.trials}
    # Seen before or not, it is the same; and less of a study, or another one, leaves no trace.
    asked = Excerpt()
    asked.of(large)
    assert asked.of(small) is small
    assert asked.tried(small) == {t.design.at_budget for t in small.trials}
    assert asked.of(large).trials == found.trials


def test_a_decision_factorises_as_many_rows_whatever_has_been_tried(monkeypatch):
    rows: list[int] = []
    factor = algebra.factor

    def noted(matrix):
        rows.append(len(matrix))
        return factor(matrix)

    monkeypatch.setattr(model, "factor", noted)
    sampler = GpSampler(Choices(knobs=KNOBS, solve=no_solve, trials=5000), describer=Named())
    taken = {}
    for count in (2 * MODELLED, 4 * MODELLED):
        del rows[:]
        seen = known(count)
        list(sampler.propose(seen))  # what is looked up once is known then
        taken[count] = calls(lambda seen=seen: list(sampler.propose(seen)))
        assert rows
        assert max(rows) == MODELLED + 4
    assert taken[4 * MODELLED] < 1.1 * taken[2 * MODELLED]


class Counted(list):
    """A list that counts its elements as they are looked at or copied."""

    looked = 0

    def __iter__(self):
        for value in super().__iter__():
            self.looked += 1
            yield value

    def __getitem__(self, place):
        found = super().__getitem__(place)
        self.looked += len(found) if isinstance(place, slice) else 1
        return found


def looked_at(count: int, fidelity: Fidelity, bounds: Bounds) -> tuple[int, int]:
    """Count the trials looked at, and the calls, from a decision by chance to the end of its training."""
    choices = toy_choices(trials=2 * count)
    plan = SearchPlan(
        choices=choices, sampler=RandomSampler(choices), fidelity=fidelity,
        length=lambda flops: FULL, window=4,
    )  # fmt: skip
    tried = [trial(number, 0.5) for number in range(count)]
    search = Search(plan, bounds=bounds, trials=tried)
    for number, one in enumerate(tried):  # the bounds hear how long trials take
        bounds.started(f"{number}", one.trainings[0].order.flops, 12)
        bounds.ended(outcome(JobKey("search", f"{number}")), spent_flops=0, trial=True)
    search.next(0.0, room=2)  # counts the decisions that are told: once for each
    search._trials = Counted(search._trials)

    def decide() -> None:
        step = search.next(0.0, room=1)
        assert isinstance(step, Begin)
        key = str(step.order.key)
        report = EpochReport(
            key=key, epoch=1, loss=1.0, accuracy=0.5, val_accuracy=0.5, images_per_s=1.0,
            learning_rate=0.1, wall_s=1.0,
        )  # fmt: skip
        assert search.heard(report, 1.0) is None
        search.ended(step.order, outcome(step.order.key), 4.0)

    called = calls(decide)
    return search._trials.looked, called


@pytest.mark.parametrize(
    "bounds", [{}, {"time_s": 1e9, "trial": Load(1.0, 1.0)}], ids=["unbounded", "bounded"]
)
def test_a_decision_by_chance_looks_at_as_few_trials_whatever_their_number(bounds):
    """Of a search that neither compares networks nor cuts trainings short."""
    few, many = (looked_at(count, FullLength(4), Bounds(**bounds)) for count in (60, 600))
    assert many[0] == few[0] < 20
    assert many[1] < 1.2 * few[1]


def test_what_compares_networks_has_all_of_them_read_once():
    looked, _ = looked_at(600, MedianPruning(4), Bounds())
    assert looked < 1.1 * 600


def test_of_a_slice_trials_that_have_changed_are_numbered_anew(monkeypatch):
    numbered: list[int] = []

    def noted(value, **changes):
        numbered.extend([value.number] if "number" in changes else [])
        return replace(value, **changes)

    monkeypatch.setattr(slices, "replace", noted)
    every = known(400)
    halves = [
        replace(one, design=replace(one.design, budget=one.number % 2)) for one in every.trials
    ]
    view, before = SliceView(1), replace(every, trials=tuple(halves))
    first, numbers = view.of(before)
    assert list(numbers) == list(range(1, 400, 2))
    assert numbered == list(numbers)
    del numbered[:]
    halves[397] = replace(halves[397], skipped=3)
    seen, _ = view.of(replace(every, trials=tuple(halves)))
    assert numbered == [397]
    assert seen.trials[198] == replace(halves[397], number=198)
    assert all(a is b for a, b in zip(first.trials, seen.trials, strict=True) if a.number != 198)


def test_a_promotion_looks_at_what_has_changed(monkeypatch):
    looked: list[int] = []
    spent = rungs._spent
    monkeypatch.setattr(
        rungs, "_spent", lambda trial, rung: looked.append(trial.number) or spent(trial, rung=rung)
    )
    outlook, fidelity, before = Outlook(length=lambda flops: FULL), Rungs(4), known(400)
    first = fidelity.promote(before, outlook)
    assert len(set(looked)) == 400
    del looked[:]
    assert fidelity.promote(before, outlook) == first
    assert looked == []
    after = replace(before, trials=(*before.trials[:396], trial(396, 0.97), *before.trials[397:]))
    assert fidelity.promote(after, outlook) == Rungs(4).promote(after, outlook)
    assert set(looked[:2]) == {396}


def no_solve(knobs):
    raise AssertionError("its networks are known without being solved for")


LOAD = Workload(flops=24.0, elements=18.0, ops=5.0, params=18.0, thin=0.0)


class Named:
    """Describes settings by themselves."""

    def describe(self, place):
        features = {f"f{number}": float(at) for number, at in enumerate(place)}
        return Description(graph=f"{place}", features=features, load=LOAD)
