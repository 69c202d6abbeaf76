"""A study in the tracker, from its start to how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from archsearch.archive.facts import StudyStatus
from archsearch.archive.leaderboard import read_result
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.commands import command
from archsearch.errors import MachineError
from archsearch.settings import RunSettings
from archsearch.study.interrupt import Interrupted
from archsearch.study.observers import (
    HEADER,
    note_rows,
    study_metrics,
    study_tags,
    verdict_tags,
)
from archsearch.study.telling.champion import model_record
from archsearch.study.telling.network_runs import network_records
from archsearch.study.telling.study_runs import first_line, study_record
from archsearch.tracking.records import Ending, StudyRecord, Tracker
from archsearch.tracking.run_names import study_note

_PATIENCE_S: Final = 30.0
"""Seconds the tracker waits at the end for the next update to arrive, of those not written yet."""
_HURRY_S: Final = 3.0
"""Seconds it waits after a second Ctrl-C; a third one ends it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """Keeps a study's state in its storage and in the tracker.

    Attributes:
        settings: of the run, with where results go.
        classes: of the images; the storage keeps the names of the first thousand.
        tracker: takes it down.
        warn: told of what could not be kept, in one line.
    """

    store: StudyStore
    settings: RunSettings
    classes: int
    tracker: Tracker
    warn: Callable[[str], None]

    @contextmanager
    def going_on(self, wall_s: Callable[[], float]) -> Iterator[None]:
        """Track the study while the block runs, and keep how it ended.

        Args:
            wall_s: gives the seconds this process has taken so far.
        """
        status: StudyStatus = "failed"
        patience_s = _PATIENCE_S
        earlier_s = self.store.facts.wall_s
        try:
            self.start()
            yield
            status = "complete"
        except (Interrupted, MachineError, OSError):
            status = "interrupted"
            raise
        except KeyboardInterrupt:
            # At once, but without runs that look as if they went on.
            status, patience_s = "interrupted", _HURRY_S
            raise
        finally:
            try:
                facts = replace(self.store.facts, wall_s=earlier_s + wall_s(), status=status)
                self.store.keep(facts)
            finally:  # the storage may be what failed
                self.end(status, patience_s)

    def start(self) -> None:
        """Open the study in the tracker; whoever looks while it is open knows that it may lack something."""
        self.store.keep(replace(self.store.facts, untold=True))
        self.tracker.start_study(self._record())

    def end(self, status: StudyStatus, patience_s: float) -> str | None:
        """Close the study in the tracker; return what it lacks, or None where it has all."""
        result = read_result(self.store)
        assert status != "running"
        for network in network_records(result, study_tags(self.settings)):
            self.tracker.network(network)
        folder = StudyFolder(Path(self.settings.home), self.store.name)
        if (model := model_record(result, folder)) is not None:
            self.tracker.register(model)
        self.tracker.end_study(
            Ending(status=status, metrics=study_metrics(result), tags=verdict_tags(result)),
            description=study_note(
                facts={
                    **first_line(self.settings, self.store.facts.dataset),
                    **verdict_tags(result),
                },
                header=HEADER,
                rows=note_rows(result),
            ),
        )
        trouble = self.tracker.close(patience_s)
        if trouble is None:
            self.store.keep(replace(self.store.facts, untold=False))
            return None
        again = command("track", self.store.name, home=Path(self.settings.home))
        trouble = f"{trouble}; `{again}` writes what is missing"
        self.warn(trouble)
        return trouble

    def _record(self) -> StudyRecord:
        facts = self.store.facts
        return study_record(
            self.store.name,
            self.settings,
            dataset=facts.dataset,
            recipe=facts.recipe,
            classes=self.classes,
        )
