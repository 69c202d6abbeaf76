"""The one world of all tests of whole studies: services that train nothing, and remember what was asked."""

import signal
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.engines.engine import Engine, Machine
from archsearch.ir.graph import Graph
from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.events import Notice
from archsearch.study.ports import Services
from archsearch.testing.fake_engine import FakeClock, FakeEngine
from archsearch.testing.fake_gauge import FakeGauge
from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.training.job import Job

STUDY = "vgg-20M-digits"
TRAIN = 1259  # of the digits, which every study here trains on unless it says otherwise


class World:
    """Runs studies, and is asked afterwards what happened: `engines`, `trackers`, `exports`, `events`.

    `watch` hears every event; Ctrl-C is pressed whenever `interrupt_at` says so of one. With `ms` there is
    a gauge of latency, with a clock the time is made up. What is left over are options of FakeEngine.
    """

    def __init__(
        self,
        *,
        engine: Callable[[Any, Any], Engine] | None = None,
        export: Callable[..., Path] | None = None,
        machine: Callable[[], Machine] | None = None,
        ms: Callable[[Graph], float] | None = None,
        polls: int = 1,
        clock: FakeClock | None = None,
        export_s: float = 0.0,
        watch: Callable[[object], None] = lambda event: None,
        interrupt_at: Callable[[object], bool] = lambda event: False,
        **options: Any,
    ) -> None:
        self.engines: list[Any] = []
        self.trackers: list[MemoryTracker] = []
        self.exports: list[str | None] = []
        self.events: list[object] = []
        self.gauge = None if ms is None else FakeGauge(ms, polls=polls)
        self.clock = clock
        self.watch, self.interrupt_at = watch, interrupt_at
        self._make_engine = engine or self._fake_engine
        self._export_with = export
        self._export_s = export_s
        self._machine = machine
        self._options = options

    @property
    def engine(self) -> Any:
        return self.engines[-1]

    @property
    def tracker(self) -> MemoryTracker:
        return self.trackers[-1]

    @property
    def notices(self) -> str:
        return "\n".join(event.text for event in self.events if isinstance(event, Notice))

    def run(self, settings: RunSettings) -> StudyResult:
        return driver.run(settings, on_event=self.hear, services=self.services())

    def resume(self, name: str, home: str | Path, **options: Any) -> StudyResult:
        return driver.resume(
            name, home=Path(home), on_event=self.hear, services=self.services(), **options
        )

    def services(self) -> Services:
        time = {} if self.clock is None else {"clock": self.clock}
        return Services(
            engine=self._engine,
            tracker=self._tracker,
            export=self._export,
            machine=self._machine,
            gauge=None if self.gauge is None else lambda folder: self.gauge,
            **time,
        )

    def hear(self, event: object) -> None:
        self.events.append(event)
        self.watch(event)
        if self.interrupt_at(event):
            signal.raise_signal(signal.SIGINT)

    def _engine(self, setups, folder):
        self.engines.append(self._make_engine(setups, folder))
        return self.engines[-1]

    def _fake_engine(self, setups, folder):
        options = {"train_images": TRAIN, "clock": self.clock, **self._options}
        return FakeEngine(len(setups), **options)

    def _tracker(self, settings, warn):
        self.trackers.append(MemoryTracker())
        return self.trackers[-1]

    def _export(self, store, folder, gauge):
        self.exports.append(read_result(store).best_key)
        if self.clock is not None:
            self.clock.now_s += self._export_s
        return folder.exports if self._export_with is None else self._export_with(store, folder)


def alike(job: Job) -> float:
    """Networks that differ no more than their trainings do: every further one tells something."""
    return (
        0.8 + 0.04 * Random(job.graph).random() + 0.04 * Random(f"{job.graph}{job.seed}").random()
    )


def interrupted_after(*counts: int) -> World:
    """A world with Ctrl-C at the n-th thing that an engine is asked after training began."""
    asked = 0

    def count(engine: FakeEngine) -> None:
        nonlocal asked
        asked += bool(engine.submitted)  # the pace has been measured
        if engine.submitted and asked in counts:
            signal.raise_signal(signal.SIGINT)

    return World(before=count)


def interrupting(under_way: Callable[[str], bool]) -> Callable[[FakeEngine], None]:
    """Ctrl-C once, when a job whose key is such a one is under way: what an engine does `before`."""
    pressed = False

    def press(engine: FakeEngine) -> None:
        nonlocal pressed
        if not pressed and any(map(under_way, engine.under_way)):
            pressed = True
            signal.raise_signal(signal.SIGINT)

    return press
