"""A workbench that runs studies over the toy space with the fake engine."""

import importlib
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archsearch.archive import databases
from archsearch.archive.facts import DatasetFacts, StudyFacts
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.orders import Length, Order
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.strategy.bounds import Bounds
from archsearch.strategy.fidelities.median import MedianPruning
from archsearch.strategy.fidelity import Fidelity
from archsearch.strategy.phase import Phase
from archsearch.strategy.sampler import Choices, find_sampler
from archsearch.strategy.search import Search, SearchPlan
from archsearch.study.events import Event
from archsearch.study.finalists import ended_before, finals_of
from archsearch.study.interrupt import Interrupted
from archsearch.study.loop import Loop
from archsearch.study.observers import TrackingObserver
from archsearch.study.recorder import StudyRecorder
from archsearch.testing.fake_engine import FakeEngine
from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.testing.toy_space import REQUEST, ToySpace
from archsearch.tracking.records import StudyRecord
from archsearch.training.job import Job

TRAIN = 100


@dataclass
class Bench:
    """Runs (parts of) a study; a new engine, tracker and reading of the storage each time."""

    home: Path
    name: str = "s"
    trials: int = 9
    window: int = 2
    epochs: int = 4
    seed: int = 0
    seeds: int = 2
    prune: bool = True
    storage: Any = field(default_factory=databases.in_memory)
    space: Space = field(default_factory=ToySpace)
    knobs: tuple[Any, ...] | None = None
    sampler: str = "tpe"
    fidelity: Callable[[int], Fidelity] = MedianPruning
    engine: FakeEngine | None = None
    tracker: MemoryTracker | None = None
    store: StudyStore | None = None
    events: list[Event] = field(default_factory=list)
    bounds: Bounds | None = None
    val_every: int = 1
    stopped: Callable[[], bool] = lambda: False
    solve: Callable[[Mapping[str, Any]], Candidate] | None = None

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.home, self.name)

    def fresh(self, **changes: Any) -> "Bench":
        """The same settings for another study: nothing is shared."""
        bench = replace(self, storage=databases.in_memory(), events=[], engine=None, **changes)
        bench.home = self.home / f"other{random.randrange(10**9)}"
        return bench

    @property
    def settings(self) -> RunSettings:
        return RunSettings(
            space="toy", flops="1M", trials=self.trials, seed=self.seed, seeds=self.seeds,
            finalists=2,
        )  # fmt: skip

    def begin(self) -> StudyStore:
        self.folder.create()
        try:
            self.store = StudyStore.open(self.storage, self.name)
        except UserError:
            facts = StudyFacts(settings=self.settings, dataset=DatasetFacts(name="none"))
            self.store = StudyStore.create(self.storage, self.name, facts)
        return self.store

    def run(self, *, finals: bool = True, engine: FakeEngine | None = None) -> StudyResult:
        store = self.begin()
        self.engine = engine or FakeEngine(self.window, train_images=TRAIN)
        self.tracker = MemoryTracker()
        self.tracker.start_study(StudyRecord(name=self.name, space="toy", budget="1M"))
        observer = TrackingObserver(self.tracker, folder=self.folder, tags={})

        def emit(event: Event) -> None:
            observer(event)
            self.events.append(event)

        recorder = StudyRecorder(
            store=store, folder=self.folder, make_job=self.job, knobs=self.choices.knobs, emit=emit
        )
        loop = Loop(self.engine, recorder, clock=lambda: 0.0, stopped=self.stopped)
        bounds = self.bounds or Bounds()
        trainings = [training for trial in store.trials for training in trial.trainings]
        recorder.recall(trainings)
        self._run(loop, self.search(store, bounds))
        for trial in store.trials:
            store.finish(trial.number)
        if finals:
            phase = finals_of(store, self.settings, bounds, self.length)
            recorder.recall(ended_before(store, phase))
            self._run(loop, phase)
        return read_result(store)

    def interrupted(self, after: int, **how: Any) -> bool:
        """Run as if Ctrl-C came once that had been asked so often; return whether it came before the end."""
        count = iter(range(10**6))
        self.stopped = lambda: next(count) >= after
        try:
            self.run(**how)
        except Interrupted:
            return True
        finally:
            self.stopped = lambda: False
        return False

    def _run(self, loop: Loop, phase: Phase) -> None:
        if not loop.run(phase):
            raise Interrupted("interrupted")

    @property
    def choices(self) -> Choices:
        return Choices(
            knobs=self.knobs or self.space.knobs(REQUEST),
            solve=self.solve or (lambda knobs: solve(self.space, knobs, REQUEST)),
            classic=self.space.classic_knobs(REQUEST),
            trials=self.trials,
            seed=self.seed,
        )

    def search(self, store: StudyStore, bounds: Bounds) -> Search:
        plan = SearchPlan(
            choices=self.choices,
            sampler=find_sampler(self.sampler)(self.choices),
            fidelity=self.fidelity(self.choices.startup),
            length=self.length,
            window=self.window,
            prune=self.prune,
        )
        return Search(plan, bounds=bounds, trials=store.trials, closed=bool(store.facts.ended))

    def length(self, flops: int) -> Length:
        return Length(self.epochs * TRAIN, self.epochs)

    def job(self, order: Order, graph: str, **more: Any) -> Job:
        return Job(
            key=str(order.key), graph=graph, dataset="none", recipe=Recipe(),
            images=order.length.images, seed=order.seed, val_every=self.val_every, **more,
        )  # fmt: skip


class Killed(BaseException):
    """What SIGKILL does: no handler, no clean-up."""


class Fragile:
    """A storage that dies at the n-th writing, before or after it."""

    WRITES = (
        "create_new_trial",
        "set_trial_intermediate_value",
        "set_trial_user_attr",
        "set_trial_state_values",
        "set_study_user_attr",
    )

    def __init__(self, storage, at: int, before: bool) -> None:
        self.storage, self.left, self.before = storage, at, before

    def __getattr__(self, name):
        method = getattr(self.storage, name)
        if name not in self.WRITES:
            return method

        def write(*args, **kwargs):
            self.left -= 1
            if self.left == 0 and self.before:
                raise Killed
            found = method(*args, **kwargs)
            if self.left == 0:
                raise Killed
            return found

        return write


def killed_at_any_writing(bench: Bench) -> Iterator[tuple[StudyResult, Bench]]:
    """Kill a study at each of its writings, and bring it to its end in a second process.

    Raises:
        AssertionError: the table is not that of a study that is left alone, or something seems to run.
    """
    counter = Fragile(bench.storage, 10**9, before=True)
    expected = table(replace(bench, storage=counter).run())
    writes = 10**9 - counter.left
    assert writes > 20
    for at in range(1, writes + 1):
        other = bench.fresh()
        calm = other.storage
        other.storage = Fragile(calm, at, before=at % 2 == 0)
        engine = FakeEngine(2, train_images=TRAIN, order=random.Random(at))
        with pytest.raises(Killed):
            other.run(engine=engine)
        other.storage = calm
        result = other.run()
        assert table(result) == expected, at
        ended = {"complete", "pruned", "failed"}
        assert {trial.state for trial in other.store.trials} <= ended
        assert {run.status for run in other.tracker.trials.values()} <= ended
        yield result, other


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What spawned processes run: they import it by name, with this process's path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "engines"))
    return importlib.import_module("toy_workers")


def table(result: StudyResult) -> list[Any]:
    """What must not depend on timing."""
    return [
        (
            r.rank,
            r.name,
            r.label,
            dict(r.knobs),
            r.status,
            r.rung,
            r.trainings,
            r.train_flops,
            r.epochs,
            r.val_accuracy,
            r.final_val,
            r.test,
            r.winner,
        )
        for r in result.rows
    ]
