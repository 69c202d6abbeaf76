"""A study told to its tracker once more, from its storage and its folder: what is missing is written."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from archsearch.archive.facts import DatasetFacts
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.lock import locked
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder
from archsearch.data.dataset import read_facts
from archsearch.errors import ArchsearchError, DataError
from archsearch.planning.full_training import trained_images
from archsearch.planning.problem import length_of
from archsearch.recipes.named import recipe_for
from archsearch.settings import RunSettings
from archsearch.strategy.bounds import Bounds
from archsearch.study.catalogue import opened_existing
from archsearch.study.conduct import by_decision
from archsearch.study.events import Event, LatencyFound, Notice
from archsearch.study.finalists import ended_before, finals_of
from archsearch.study.observers import TrackingObserver, study_tags, verdict_tags
from archsearch.study.opening import stored_settings
from archsearch.study.ports import Services, real_services
from archsearch.study.recorder import recalled
from archsearch.study.telling.study_runs import study_record
from archsearch.study.tracked import Tracked
from archsearch.tracking.records import Ending
from archsearch.tracking.records import StudyStatus as Ended

_PATIENCE_S: Final = 600.0
"""Seconds the tracker has: somebody waits for it, and nothing else."""
_ATTACH_S: Final = 20.0
"""Seconds it has for files that lie elsewhere, too."""


def track(
    name: str,
    *,
    home: Path,
    on_event: Callable[[Event], None] = lambda event: None,
    services: Services | None = None,
) -> None:
    """Write to the tracker what it lacks of a study, each thing once.

    Args:
        name: the study.
        home: where it lies.
        on_event: told of trouble.
        services: the outside world.

    Raises:
        UserError: there is no such study, or a process drives it.
        ArchsearchError: the tracker does not take it; says why.
    """
    settings = stored_settings(name, home)
    with opened_existing(name, home=home) as store:
        services = services or real_services(settings)
        if (trouble := tell_rest(store, settings, services, on_event, anew=True)) is not None:
            raise ArchsearchError(trouble)


def attach(
    result: StudyResult,
    artifacts: Mapping[str, str | bytes],
    *,
    home: Path,
    services: Services | None = None,
) -> str | None:
    """Add files to a study in its tracker; return why they are not there, in one line, or None.

    Args:
        result: of the study, all of it.
        artifacts: content by path.
        home: where the study lies.
        services: the outside world.
    """
    name, folder = result.study, StudyFolder(home, result.study)
    status = _status(result.status)
    try:
        settings = stored_settings(name, home)
        services = services or real_services(settings)
        with locked(folder.lock, study=name):
            tracker = services.tracker(settings, lambda text: None)
            classes = _classes(result.dataset, folder)
            record = study_record(
                name, settings, dataset=result.dataset, recipe=result.recipe, classes=classes
            )
            tracker.start_study(replace(record, description=""))
            tags = verdict_tags(result)
            tracker.end_study(Ending(status=status, tags=tags, artifacts=artifacts))
            return tracker.close(_ATTACH_S)
    except ArchsearchError as error:  # a process drives it, or its tracker can never be used
        return str(error)


def tell_rest(
    store: StudyStore,
    settings: RunSettings,
    services: Services,
    emit: Callable[[Event], None],
    *,
    anew: bool = False,
) -> str | None:
    """Tell a study's tracker what it lacks, as no other process; return what is still missing, or None.

    Trainings whose end it has with all figures are passed over, unless all is told `anew`.
    """
    folder = StudyFolder(Path(settings.home), store.name)
    with locked(folder.lock, study=store.name):
        return _retell(store, folder, settings, services, emit, anew=anew)


def _retell(
    store: StudyStore,
    folder: StudyFolder,
    settings: RunSettings,
    services: Services,
    emit: Callable[[Event], None],
    *,
    anew: bool,
) -> str | None:
    """Tell a study's tracker all of it; return what it could not be told, or None."""

    def warn(text: str) -> None:
        emit(Notice(text=text))

    tracked = _tracked(store, folder, settings, services, warn)
    tags = study_tags(settings)
    observer = TrackingObserver(tracked.tracker, folder=folder, tags=tags, anew=anew)
    tracked.start()
    for event in _events(store, folder, settings):
        observer(event)
    return tracked.end(_status(store.facts.status), _PATIENCE_S)


def _tracked(
    store: StudyStore,
    folder: StudyFolder,
    settings: RunSettings,
    services: Services,
    warn: Callable[[str], None],
) -> Tracked:
    return Tracked(
        store=store,
        settings=settings,
        classes=_classes(store.facts.dataset, folder),
        tracker=services.tracker(settings, warn),
        warn=warn,
    )


def _status(said: str) -> Ended:
    """Return how a study stands that no process drives."""
    return "failed" if said == "failed" else "complete" if said == "complete" else "interrupted"


def _events(store: StudyStore, folder: StudyFolder, settings: RunSettings) -> Iterator[Event]:
    """Give what has happened in a study, as far as its tracker is told of it."""
    splits = store.facts.dataset.splits
    recipe = store.facts.recipe or recipe_for(settings)
    batch = min(recipe.batch, splits["train"])
    train = trained_images(settings, train=splits["train"], val=splits["val"])
    finals = finals_of(
        store,
        settings,
        Bounds(),
        lambda flops: length_of(settings, flops, train_images=train, batch=batch),
    )
    yield from recalled(folder, by_decision(store))
    yield from recalled(folder, ended_before(store, finals))
    for row in read_result(store).rows:
        if row.latency_ms is not None:
            keys = tuple(key for key in store.finals if key.name == row.name)
            yield LatencyFound(keys=keys, ms=row.latency_ms)


def _classes(dataset: DatasetFacts, folder: StudyFolder) -> int:
    """Count the classes; of more than a thousand only the prepared images know."""
    try:
        return len(read_facts(folder.home / "data" / dataset.digest)["classes"])
    except (DataError, KeyError):
        return len(dataset.classes)
