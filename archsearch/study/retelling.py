"""A study told to its tracker once more, from its storage and its folder: what is missing is written."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from archsearch.archive.facts import StudyStatus
from archsearch.archive.leaderboard import read_result
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
from archsearch.study.observers import TrackingObserver, study_tags
from archsearch.study.opening import stored_settings
from archsearch.study.ports import Services, real_services
from archsearch.study.recorder import recalled
from archsearch.study.tracked import Tracked

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
        if (trouble := tell_rest(store, settings, services, on_event)) is not None:
            raise ArchsearchError(trouble)


def attach(
    name: str,
    artifacts: Mapping[str, str | bytes],
    *,
    home: Path,
    services: Services | None = None,
) -> str | None:
    """Add files to a study in its tracker; return why they are not there, in one line, or None.

    Args:
        name: the study.
        artifacts: content by path.
        home: where the study lies.
        services: the outside world.
    """
    try:
        settings = stored_settings(name, home)
        with opened_existing(name, home=home) as store:
            services = services or real_services(settings)
            folder = StudyFolder(home, name)
            with locked(folder.lock, study=name):
                tracked = _tracked(store, folder, settings, services, lambda text: None)
                return tracked.attach(artifacts, _status(store), _ATTACH_S)
    except ArchsearchError as error:  # a process drives it, or its tracker can never be used
        return str(error)


def tell_rest(
    store: StudyStore,
    settings: RunSettings,
    services: Services,
    emit: Callable[[Event], None],
) -> str | None:
    """Tell a study's tracker what it lacks, as no other process; return what is still missing, or None."""
    folder = StudyFolder(Path(settings.home), store.name)
    with locked(folder.lock, study=store.name):
        return _retell(store, folder, settings, services, emit)


def _retell(
    store: StudyStore,
    folder: StudyFolder,
    settings: RunSettings,
    services: Services,
    emit: Callable[[Event], None],
) -> str | None:
    """Tell a study's tracker all of it; return what it could not be told, or None."""

    def warn(text: str) -> None:
        emit(Notice(text=text))

    tracked = _tracked(store, folder, settings, services, warn)
    observer = TrackingObserver(tracked.tracker, folder=folder, tags=study_tags(settings))
    tracked.start()
    for event in _events(store, folder, settings):
        observer(event)
    return tracked.end(_status(store), _PATIENCE_S)


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
        classes=_classes(store, folder),
        tracker=services.tracker(settings, warn),
        warn=warn,
    )


def _status(store: StudyStore) -> StudyStatus:
    """Return how a study stands that no process drives."""
    return "interrupted" if store.facts.status == "running" else store.facts.status


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


def _classes(store: StudyStore, folder: StudyFolder) -> int:
    """Count the classes; of more than a thousand only the prepared images know."""
    try:
        return len(read_facts(folder.home / "data" / store.facts.dataset.digest)["classes"])
    except (DataError, KeyError):
        return len(store.facts.dataset.classes)
