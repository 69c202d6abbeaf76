"""A study in the tracker, from its start to how it ended."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from archsearch.archive.facts import StudyStatus
from archsearch.archive.leaderboard import read_result
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.commands import command
from archsearch.errors import MachineError, UserError
from archsearch.fields import Value
from archsearch.planning.problem import largest_budget
from archsearch.recipes.kept import values_of
from archsearch.recipes.named import written
from archsearch.settings import PART, RunSettings
from archsearch.space.registry import find_space
from archsearch.study.interrupt import Interrupted
from archsearch.study.observers import (
    HEADER,
    dataset_record,
    note_rows,
    study_metrics,
    study_tags,
    verdict_tags,
)
from archsearch.study.telling.champion import model_record
from archsearch.study.telling.network_runs import network_records
from archsearch.tracking.records import Ending, StudyRecord, Tracker
from archsearch.tracking.run_names import study_note
from archsearch.units import format_count, format_size
from archsearch.uris import shown_uri

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

    def attach(
        self, artifacts: Mapping[str, str | bytes], status: StudyStatus, patience_s: float
    ) -> str | None:
        """Add files to the study in the tracker, which has all else of it; return what it lacks, or None."""
        assert status != "running"
        result = read_result(self.store)
        self.tracker.start_study(replace(self._record(), description=""))
        tags = verdict_tags(result)
        self.tracker.end_study(Ending(status=status, tags=tags, artifacts=artifacts))
        return self.tracker.close(patience_s)

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
                facts={**self._facts(), **verdict_tags(result)},
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
        settings = self.settings
        return StudyRecord(
            name=self.store.name,
            space=settings.space or "",
            budget=settings.flops or "",
            dataset=dataset_record(self.store.facts.dataset, classes=self.classes),
            settings=self._params(),
            description=study_note(facts=self._facts()),
        )

    def _params(self) -> dict[str, Value]:
        """Return the settings, and every part of the recipe, as what it was trained with."""
        found = {
            key: shown_uri(value) if isinstance(value, str) else value
            for key, value in self.settings.to_dict().items()
        }
        recipe = self.store.facts.recipe
        parts = {} if recipe is None else values_of(recipe)
        return found | {
            f"{PART}{part}": written(value) for part, value in parts.items() if part != "name"
        }

    def _facts(self) -> dict[str, str | int]:
        settings, data = self.settings, self.store.facts.dataset
        height, width, channels = data.input
        if settings.network is not None:
            what = {"network": settings.network, "trained on": settings.train_on}
        else:
            each = ", ".join(map(format_count, settings.budgets()))
            one = largest_budget(settings, (height, width, channels))
            budget = f"{each} FLOPs" if each else str(one)
            what = {"space": _title(str(settings.space)), "budget": budget}
        return {
            **what,
            "data": f"{data.name}, {format_size(data.input)}",
            "seed": settings.seed,
        }


def _title(space: str) -> str:
    try:
        return find_space(space).title
    except UserError:  # its package is not installed here
        return space
