"""A study in the tracker, from its start to how it ended."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

from archsearch.archive.facts import StudyStatus
from archsearch.archive.leaderboard import read_result
from archsearch.archive.store import StudyStore
from archsearch.planning.problem import Problem
from archsearch.settings import RunSettings
from archsearch.study.interrupt import Interrupted
from archsearch.study.observers import HEADER, dataset_record, note_rows, study_metrics
from archsearch.tracking.labels import study_note
from archsearch.tracking.records import Ending, StudyRecord, Tracker
from archsearch.units import format_size
from archsearch.uris import shown_uri

_PATIENCE_S: Final = 30.0
"""Seconds the tracker has at the end to write what it has not written yet."""
_HURRY_S: Final = 10.0
"""Seconds it has after a second Ctrl-C; a third one ends it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracked:
    """Keeps a study's state in its storage and in the tracker.

    Attributes:
        tracker: takes it down.
        wall_s: seconds this process has taken so far.
        warn: told of what could not be kept, in one line.
    """

    store: StudyStore
    settings: RunSettings
    problem: Problem
    tracker: Tracker
    wall_s: Callable[[], float]
    warn: Callable[[str], None]

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Track the study while the block runs, and keep how it ended."""
        status: StudyStatus = "failed"
        patience_s = _PATIENCE_S
        earlier_s = self.store.facts.wall_s
        try:
            self._start()
            yield
            status = "complete"
        except Interrupted:
            status = "interrupted"
            raise
        except KeyboardInterrupt:
            # At once, but without runs that look as if they went on.
            status, patience_s = "interrupted", _HURRY_S
            raise
        finally:
            self._end(status, earlier_s + self.wall_s(), patience_s)

    def _start(self) -> None:
        problem, settings = self.problem, self.settings
        record = dataset_record(self.store.facts.dataset, classes=len(problem.dataset.classes))
        self.tracker.start_study(
            StudyRecord(
                name=self.store.name,
                space=settings.space,
                budget=settings.flops,
                dataset=record,
                settings={
                    key: shown_uri(value) if isinstance(value, str) else value
                    for key, value in settings.to_dict().items()
                },
                description=study_note(facts=self._facts()),
            )
        )

    def _end(self, status: StudyStatus, wall_s: float, patience_s: float) -> None:
        self.store.keep(replace(self.store.facts, wall_s=wall_s, status=status))
        result = read_result(self.store)
        assert status != "running"
        self.tracker.end_study(
            Ending(status=status, metrics=study_metrics(result)),
            description=study_note(facts=self._facts(), header=HEADER, rows=note_rows(result)),
        )
        if (trouble := self.tracker.close(patience_s)) is not None:
            self.warn(trouble)

    def _facts(self) -> dict[str, str | int]:
        problem = self.problem
        return {
            "space": problem.space.title,
            "budget": str(problem.request.budget),
            "data": f"{problem.dataset.name}, {format_size(problem.dataset.input)}",
            "seed": self.settings.seed,
        }
