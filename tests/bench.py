"""A two-layer toy space, and a workbench that runs studies over it with the fake engine."""

import importlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from archsearch.archive import store as storages
from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.store import StudyStore
from archsearch.errors import UserError
from archsearch.ir.tracer import Tracer
from archsearch.planning.limits import Limits
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.space.solve import Candidate, solve
from archsearch.space.space import Space
from archsearch.strategy.finals import Finals, run_finals
from archsearch.strategy.proposals import Plan
from archsearch.strategy.search import Search
from archsearch.study.events import Event
from archsearch.study.journal import Journal
from archsearch.testing.fake_engine import FakeEngine
from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.tracking.records import StudyRecord
from archsearch.training.recipe import Recipe

REQUEST = Request(input=(8, 8, 1), classes=3, budget=Budget(900_000, 1_000_000))
TRAIN = 100


class Toy(Space):
    """One to five convolutions of one kernel size, then the scores."""

    name = "toy"
    title = "a toy"
    rules = ()
    least_base = 1
    most_base = 512

    def tiers(self, request):
        return [
            (
                IntKnob("depth", 2, 6),
                ChoiceKnob("kernel", (1, 3, 5)),
                ChoiceKnob("bias", (True, False)),
            )
        ]

    def classic(self, knobs, request):
        return {"depth": 2, "kernel": 3, "bias": True}

    def widths(self, knobs, request, base, pick):
        return {f"c{i}": pick(base) for i in range(knobs["depth"])}

    def build(self, net: Tracer, knobs, widths, request):
        x = net.input
        for name in widths:
            x = net.conv(x, widths[name], kernel=knobs["kernel"], bias=knobs["bias"])
        return net.dense(net.global_avg_pool(x), request.classes)

    def label(self, knobs, request):
        return f"d{knobs['depth']} k{knobs['kernel']}{' bias' * knobs['bias']}"


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
    storage: Any = field(default_factory=storages.in_memory)
    space: Space = field(default_factory=Toy)
    knobs: tuple[Any, ...] | None = None
    engine: FakeEngine | None = None
    tracker: MemoryTracker | None = None
    store: StudyStore | None = None
    events: list[Event] = field(default_factory=list)
    limits: Limits | None = None
    val_every: int = 1
    stopped: Callable[[], bool] = lambda: False
    solve: Callable[[Mapping[str, Any]], Candidate] | None = None

    @property
    def folder(self) -> StudyFolder:
        return StudyFolder(self.home, self.name)

    def fresh(self, **changes: Any) -> "Bench":
        """The same settings for another study: nothing is shared."""
        bench = replace(self, storage=storages.in_memory(), events=[], engine=None, **changes)
        bench.home = self.home / f"other{random.randrange(10**9)}"
        return bench

    def begin(self) -> StudyStore:
        self.folder.create()
        attributes = {
            "settings": {"space": "toy", "flops": "1M", "trials": self.trials, "seed": self.seed},
            "dataset": {"name": "none"},
        }
        try:
            self.store = StudyStore.open(self.storage, self.name)
        except UserError:
            self.store = StudyStore.create(self.storage, self.name, attributes)
        return self.store

    def run(self, *, finals: bool = True, engine: FakeEngine | None = None) -> StudyResult:
        store = self.begin()
        self.engine = engine or FakeEngine(self.window, train_images=TRAIN)
        self.tracker = MemoryTracker()
        self.tracker.start_study(StudyRecord(name=self.name, space="toy", budget="1M"))
        journal = Journal(
            folder=self.folder,
            tracker=self.tracker,
            dataset="none",
            recipe=Recipe(),
            val_every=lambda epochs: self.val_every,
            tags={},
            on_event=self.events.append,
        )
        parts = {"store": store, "folder": self.folder, "engine": self.engine, "journal": journal}
        Search(self.plan(), **parts, limits=self.limits).run()
        if finals:
            plan = Finals(
                finalists=2,
                seeds=self.seeds,
                seed=self.seed,
                length=self.length,
                stopped=self.stopped,
            )
            run_finals(plan, **parts)
        return read_result(store)

    def plan(self) -> Plan:
        return Plan(
            knobs=self.knobs or self.space.knobs(REQUEST),
            solve=self.solve or (lambda knobs: solve(self.space, knobs, REQUEST)),
            length=self.length,
            classic=self.space.classic_knobs(REQUEST),
            trials=self.trials,
            window=self.window,
            seed=self.seed,
            prune=self.prune,
            stopped=self.stopped,
        )

    def length(self, flops: int) -> tuple[int, int]:
        return self.epochs * TRAIN, self.epochs


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
            r.epochs,
            r.val_accuracy,
            r.final_val,
            r.test,
            r.winner,
        )
        for r in result.rows
    ]
