"""A small study whose services are fakes, each of which a test may replace."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.events import Event, Notice
from archsearch.study.ports import Services
from archsearch.testing.fake_engine import FakeEngine
from archsearch.testing.memory_tracker import MemoryTracker

NAME = "vgg-20M-digits"
TRAIN = 1000


def settings_of(home: Path, **changes: Any) -> RunSettings:
    asked: dict[str, Any] = {
        "space": "vgg", "flops": "20M", "trials": 4, "epochs": 3, "workers": 2, "seeds": 2,
        "finalists": 2, "home": str(home),
    }  # fmt: skip
    return RunSettings(**{**asked, **changes})


@dataclass
class Small:
    """Runs and resumes a study in a home, and keeps what was said.

    Attributes:
        engine: makes the engine, from the number of workers and the study's folder.
        tracker: makes the tracker; None: one in memory.
    """

    home: Path
    engine: Callable[[int, Path], Any] = lambda workers, folder: FakeEngine(
        workers, train_images=TRAIN
    )
    tracker: Callable[[RunSettings, Callable[[str], None]], Any] | None = None
    export: Callable[..., Path] | None = None
    events: list[Event] = field(default_factory=list)
    engines: list[Any] = field(default_factory=list)
    trackers: list[Any] = field(default_factory=list)
    exports: list[str | None] = field(default_factory=list)

    def services(self) -> Services:
        return Services(engine=self._engine, tracker=self._tracker, export=self._export)

    def run(self, **changes: Any) -> StudyResult:
        return driver.run(
            settings_of(self.home, **changes), on_event=self.events.append, services=self.services()
        )

    def resume(self, name: str = NAME, **more: Any) -> StudyResult:
        return driver.resume(
            name, home=self.home, on_event=self.events.append, services=self.services(), **more
        )

    @property
    def said(self) -> list[str]:
        return [event.text for event in self.events if isinstance(event, Notice)]

    def _engine(self, setups: Sequence[Any], folder: Any) -> Any:
        self.engines.append(self.engine(len(setups), folder.path))
        return self.engines[-1]

    def _tracker(self, settings: RunSettings, warn: Callable[[str], None]) -> Any:
        made = MemoryTracker() if self.tracker is None else self.tracker(settings, warn)
        self.trackers.append(made)
        return made

    def _export(self, store: Any, folder: Any, gauge: Any) -> Path:
        self.exports.append(read_result(store).best_key)
        return folder.exports if self.export is None else self.export(store, folder, gauge)
