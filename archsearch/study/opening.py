"""Which study a run is: its name, the one that is there already, or a new one."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, NoReturn

from archsearch.archive.codec import PLACE, kept_settings
from archsearch.archive.databases import (
    absolute_url,
    check_file,
    default_url,
    missing,
    opened,
    study_names,
)
from archsearch.archive.design import Design
from archsearch.archive.facts import DatasetFacts, Extension, Learnt, StudyFacts
from archsearch.archive.lock import locked
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder, check_writable, free_name, kept_studies
from archsearch.archive.tally import read_facts
from archsearch.commands import command
from archsearch.data.balance import largest_share
from archsearch.data.dataset import SPLITS, Dataset
from archsearch.data.sources.names import located as located_data
from archsearch.errors import DamagedError, UserError
from archsearch.exchange.network_files import is_stored
from archsearch.gathering import differences, gather
from archsearch.ir.codec import to_json
from archsearch.planning.earlier import learnt_from, told
from archsearch.planning.earlier_durations import ByPlatform, durations_by
from archsearch.planning.full_training import TrainingProblem
from archsearch.planning.going_on import Kept
from archsearch.planning.pace import Pace
from archsearch.planning.problem import Problem
from archsearch.settings import RunSettings, nearest
from archsearch.study.events import StudyStarted
from archsearch.tracking.kinds import check_address
from archsearch.uris import shown_uri

_MOST_CLASSES: Final = 1000
"""Names of classes that are kept, at most."""


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What is special about going on with a study.

    Attributes:
        more_time: whether it is given a new bound.
        kept: what is kept of it; None: it had not got so far.
    """

    more_time: bool
    kept: Kept | None


def named(settings: RunSettings, taken: list[str], *, base: str) -> RunSettings:
    """Return the settings with a name where they have none, from `base`: one that is in no use here."""
    if settings.name is not None:
        return settings
    used = {*taken, *kept_studies(Path(settings.home))}
    return replace(settings, name=free_name(base, used))


def check_place(settings: RunSettings, *, resume: bool) -> None:
    """Refuse a place where a study's results can't go, before anything is made.

    Raises:
        UserError: the name's folder in the home holds a study of another storage, whose run.toml and
            weights would be overwritten; or the tracker's address is wrong.
    """
    _check_folder(settings)
    # Whoever resumes a study cannot give another address: it goes on untracked, and says so.
    if not resume:
        check_address(settings.tracking_uri, home=Path(settings.home))


def check_start(settings: RunSettings) -> None:
    """Refuse what a new study would be refused for, without making anything.

    Raises:
        UserError: its home can't be written, its storage does not open, or its name is taken.
    """
    check_place(settings, resume=False)
    home = Path(settings.home)
    url = settings.storage or default_url(home)
    check_writable(home, "choose another place with --home")
    if missing(url):
        check_file(url)
        return
    with opened(url) as storage:
        if settings.name is not None and settings.name in study_names(storage):
            refuse_taken(StudyStore.open(storage, settings.name), settings)


def _check_folder(settings: RunSettings) -> None:
    home, name = Path(settings.home).absolute(), settings.name
    if name is None or not (path := StudyFolder(home, name).settings).is_file():
        return
    own = default_url(home)
    there = gather({}, config=path).storage or own
    if there != (settings.storage or own):
        raise UserError(
            f"there is a study {name!r} already, in the storage {shown_uri(there)}; "
            f"`{command('resume', name, home=Path(settings.home))}` goes on with it, "
            "--name gives this one another name"
        )


def existing(
    storage: Any, settings: RunSettings, problem: Problem, *, resume: bool
) -> StudyStore | None:
    """Return the study to go on with; None where a new one is to be made.

    Raises:
        UserError: there is one already; its data has changed, or what its space leaves open.
    """
    name = str(settings.name)
    if name not in study_names(storage):
        folder = StudyFolder(Path(settings.home), name)
        if folder.settings.is_file():
            check_not_emptied(folder, settings.storage)
        return None
    store = StudyStore.open(storage, name)
    before, digest = store.facts.dataset.digest, problem.dataset.digest
    if resume and before != digest:
        raise UserError(
            f"the images of study {name!r} have changed since it began (digest "
            f"{before}, now {digest}); start a new study"
        )
    # With its finals begun, nothing is chosen any more.
    if resume and not store.finals and not store.has_knobs(problem.knobs):
        raise UserError(
            f"study {name!r} was begun when the space {settings.space!r} had other knobs, so its search "
            "can't go on; its table stays; start a new study"
        )
    if not resume:
        refuse_taken(store, settings)
    return store


_CHOSEN: Final = (
    "workers", "workers_per_gpu", "devices", "backend", "precision", "compile", "fidelity",
)  # fmt: skip
"""Settings that a plan writes down where they were left open."""


def refuse_taken(store: StudyStore, settings: RunSettings) -> NoReturn:
    """Say that there is a study of that name already, and how to go on with it.

    Raises:
        UserError: always.
    """
    there, asked = kept_settings(store.facts.settings), kept_settings(settings)
    # What the plan chooses is open as long as there is none: it differs from nothing.
    left_open = [name for name in _CHOSEN if asked.get(name) in (None, "auto")]
    asked |= {name: there[name] for name in left_open if name in there}
    other = "; ".join(differences(there, asked))
    how = f"with other settings ({other})" if other else "with the same settings"
    home = Path(settings.home)
    if not StudyFolder(home, store.name).settings.is_file():  # of a team that shares the storage
        raise UserError(
            f"there is a study {store.name!r} already in this storage, from another home than {home}; "
            "--name gives this one another name"
        )
    raise UserError(
        f"there is a study {store.name!r} already, {how}; "
        f"`{command('resume', store.name, home=home)}` goes on with it, "
        "--name gives this one another name"
    )


def check_not_emptied(folder: StudyFolder, storage: str | None) -> None:
    """Refuse to begin a study anew over what it has trained.

    Raises:
        DamagedError: its folder holds trainings, and its storage does not know of it.
    """
    if folder.has_trained:
        name, url = folder.path.name, storage or default_url(folder.home)
        raise DamagedError(
            f"study {name!r} has trained ({folder.path}), but the storage {shown_uri(url)} knows nothing of "
            f"it: it was emptied or replaced; put it back from a copy, or "
            f"`{command('delete', name, home=folder.home)}` removes the study"
        )


def learnt(
    storage: Any,
    store: StudyStore | None,
    settings: RunSettings,
    problem: Problem,
    *,
    tell: Callable[[str], None],
) -> Learnt | None:
    """Return what a study learnt from earlier ones as it began; a new one, what it learns from them now."""
    if store is not None:
        return store.facts.learnt
    return learnt_from(storage, settings, problem, tell=tell)


def durations(storage: Any, store: StudyStore | None, settings: RunSettings) -> ByPlatform:
    """Return what a study knew of durations as it began; of a new one, what earlier studies say now."""
    if store is None:
        return durations_by(storage, settings)
    kept = store.facts.durations
    return lambda platform: kept


def create(
    storage: Any,
    settings: RunSettings,
    folder: StudyFolder,
    problem: Problem,
    learnt: Learnt | None,
    pace: Pace | None,
) -> StudyStore:
    """Make a study in the storage and its folder's run.toml; return it."""
    created = datetime.now().astimezone().isoformat(timespec="seconds")
    facts = StudyFacts(
        settings=settings,
        dataset=dataset_facts(problem.dataset),
        created=created,
        recipe=problem.asked,
        room_bytes=problem.room_bytes,
        learnt=learnt,
        platform=None if pace is None else pace.platform,
        durations=None if pace is None else pace.durations,
    )
    if isinstance(problem, TrainingProblem):
        facts = replace(facts, training=problem.subject.training)
    folder.write_settings(settings)
    return StudyStore.create(storage, str(settings.name), facts)


def facts_in(storage: Any, name: str) -> StudyFacts:
    """Return what a study says of itself, before its trials are read."""
    return read_facts(storage, name)


def kept_of(facts: StudyFacts, home: Path) -> Kept:
    """Return what is kept of a study that goes on."""
    images = home / "data" / facts.dataset.digest
    return Kept(images=images, recipe=facts.recipe, room_bytes=facts.room_bytes)


def give_more_time(store: StudyStore, settings: RunSettings) -> None:
    """Keep a bound that a study is given later, and the time it has taken until then."""
    if settings.max_time is not None:
        given = Extension(max_time=settings.max_time, wall_s=store.facts.wall_s)
        store.keep(store.facts.extended(given))


def extend(settings: RunSettings, by: Extension) -> None:
    """Give a study without finals other bounds; a search that did not end by itself goes on when resumed.

    Args:
        settings: its own, with its name.
        by: bounds of all of it, in place of those it has.

    Raises:
        UserError: another process drives it.
    """
    folder = StudyFolder(Path(settings.home), str(settings.name))
    url = settings.storage or default_url(folder.home)
    with locked(folder.lock, study=str(settings.name)), opened(url) as storage:
        if settings.name in study_names(storage):
            store = StudyStore.open(storage, str(settings.name))
            facts = store.facts
            if facts.ended and not facts.may_grow:
                return
            store.keep(replace(facts.extended(by), status="interrupted"))
        # Last: whoever is killed before it finds the old bounds here, and comes here again.
        folder.write_settings(by.of(settings))


def dataset_facts(dataset: Dataset) -> DatasetFacts:
    """Return what is kept of the data."""
    return DatasetFacts(
        name=dataset.name,
        source=dataset.source,
        digest=dataset.digest,
        input=dataset.input,
        classes=tuple(dataset.classes)[:_MOST_CLASSES],
        splits={name: len(dataset.split(name)) for name in SPLITS},
        common_share=largest_share(dataset.val.labels),
    )


def given_designs(problem: Problem, folder: StudyFolder) -> tuple[Design, ...]:
    """Return the networks that are trained as they are; their Graphs are kept in the folder."""
    found = []
    for design, graph in problem.given():
        folder.write_graph(design.graph, to_json(graph))
        found.append(design)
    return tuple(found)


def started(
    settings: RunSettings,
    store: StudyStore | None,
    folder: StudyFolder,
    problem: Problem,
    learnt: Learnt | None,
) -> StudyStarted:
    """Return what is told of a study as it begins or goes on."""
    if store is not None:  # as it began, but for where things are
        place = {name: getattr(settings, name) for name in PLACE}
        settings = replace(store.facts.settings, **place)
    return StudyStarted(
        study=str(settings.name),
        settings=settings,
        folder=str(folder.path),
        network=problem.what if isinstance(problem, TrainingProblem) else "",
        distinct=problem.plan().get("distinct") or 1,
        input=problem.dataset.input,
        classes=len(problem.dataset.classes),
        images={name: len(problem.dataset.split(name)) for name in SPLITS},
        done=0 if store is None else sum(trial.tried for trial in store.trials),
        notes=(*problem.notes, *told(learnt)),
    )


def located(settings: RunSettings) -> RunSettings:
    """Return the settings with absolute paths: the study may be taken up from another folder."""
    network = settings.network
    if network is not None and is_stored(Path(network)):
        network = str(Path(network).absolute())
    return replace(
        settings,
        network=network,
        data=located_data(settings.data),
        storage=settings.storage and absolute_url(settings.storage),
        tracking_uri=settings.tracking_uri and absolute_url(settings.tracking_uri),
    )


def stored_settings(name: str, home: Path) -> RunSettings:
    """Return a study's settings from its run.toml; its home is where it lies now.

    Raises:
        UserError: there is no such study.
    """
    path = StudyFolder(home, name).settings
    if not path.is_file():
        known = kept_studies(home)
        hint = nearest(name, tuple(known)) if known else "there are none yet"
        raise UserError(f"no study {name!r} in {home}; {hint}")
    return replace(gather({}, config=path), home=str(home), name=name)
