"""What studies there are, how they stand, and how to be rid of one."""

import math
from collections.abc import Container, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from archsearch.archive.databases import (
    check_there,
    default_url,
    missing,
    opened,
    remove_study,
    study_names,
)
from archsearch.archive.design import Design
from archsearch.archive.facts import StudyFacts
from archsearch.archive.leaderboard import StudyResult, of_slice, read_result
from archsearch.archive.lock import holder, locked
from archsearch.archive.orders import Trial
from archsearch.archive.store import StudyStore
from archsearch.archive.study_folder import StudyFolder, kept_studies
from archsearch.archive.tally import Tally, read_tally
from archsearch.checks import check_study_name
from archsearch.commands import command
from archsearch.errors import ArchsearchError, DamagedError, UserError
from archsearch.gathering import gather
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.planning.problem import largest_budget
from archsearch.settings import RunSettings
from archsearch.space.budget import Request
from archsearch.space.registry import find_space
from archsearch.study.opening import check_not_emptied
from archsearch.units import parse_flops

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study in one line.

    Attributes:
        space: that is searched; of a full training `train` and its network.
        status: `running`, `interrupted` (cut off in any way), `complete`, `failed`, `unreachable` (its
            storage does not open) or `damaged` (what it keeps can't be read).
        data: as it was named, without folders.
        best_val: the best validation accuracy so far, of the finalists once there are some.
        pid: the process that drives it now.
    """

    name: str
    status: str
    space: str
    budget: str
    data: str
    trials_done: int
    trials: int
    best_val: float | None
    created: str
    pid: int | None = None


@contextmanager
def opened_existing(name: str, *, home: Path, storage: str | None = None) -> Iterator[StudyStore]:
    """Open a study that must be there: in `storage`, in the one its run.toml names, or in `home`.

    Raises:
        UserError: there is no such study.
    """
    check_study_name(name)
    folder = StudyFolder(home, name)
    if storage is None and folder.settings.is_file():
        storage = gather({}, config=folder.settings).storage
    url = storage or default_url(home)
    if folder.settings.is_file():
        check_there(name, url)
    elif missing(url):
        raise UserError(f"no study {name!r}: there are none in {home}; --home says where to look")
    with opened(url) as found:
        if folder.settings.is_file() and name not in study_names(found):
            check_not_emptied(folder, storage)
            raise UserError(
                f"study {name!r} has no trial yet; `{command('resume', name, home=home)}` begins it"
            )
        yield StudyStore.open(found, name)


def _true_status(status: str, folder: StudyFolder) -> str:
    """Return how a study stands; one said to be running whose driver is gone was interrupted."""
    if status == "running" and holder(folder.lock) is None:
        return "interrupted"
    return status


def load_result(
    name: str, *, home: Path, storage: str | None = None, flops: str | None = None
) -> StudyResult:
    """Read a study's result as it stands; another process may be driving it.

    With `flops` it is that of one of several budgets, as if the study had this one alone.

    Raises:
        UserError: there is no such study, or no such budget of it.
    """
    with opened_existing(name, home=home, storage=storage) as store:
        return result_of(store, home=home, flops=flops)


def result_of(store: StudyStore, *, home: Path, flops: str | None = None) -> StudyResult:
    """Return the result of a study that is open, as it stands (see `load_result`)."""
    result = read_result(store)
    if flops is not None:
        result = of_slice(result, parse_flops(flops))
    return replace(result, status=_true_status(result.status, StudyFolder(home, store.name)))


def list_studies(*, home: Path) -> list[StudySummary]:
    """List a home's studies, whatever their storage: oldest first, then those that have no trial yet.

    One that is damaged is listed as such, and hides no other.

    Raises:
        UserError: the home's own storage does not open, and no study is known without it.
    """
    own = default_url(home)
    runs, damaged = _runs(home)
    begun: list[StudySummary] = []
    others: list[StudySummary] = [_damaged(name) for name in damaged]
    for url in dict.fromkeys((own, *runs.values())):
        here = sorted(name for name, storage in runs.items() if storage == url)
        # What else another storage holds belongs to other homes.
        kept = _summaries(home, url, only=None if url == own else here, needed=not runs)
        begun += kept or []
        names = {summary.name for summary in begun}
        others += [
            _without_trials(StudyFolder(home, name), readable=kept is not None)
            for name in here
            if name not in names
        ]
    return sorted(begun, key=lambda summary: _moment(summary.created)) + others


def _moment(created: str) -> float:
    """Return a date and time, ISO 8601, as seconds; studies without one come last."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except ValueError:
        return math.inf


def _runs(home: Path) -> tuple[dict[str, str], list[str]]:
    """Find the studies that have a folder: the storage of each, and those that do not say."""
    found, damaged = {}, []
    for name in kept_studies(home):
        try:
            path = StudyFolder(home, name).settings
        except ArchsearchError:  # someone else's file is no study
            continue
        try:
            found[name] = gather({}, config=path).storage or default_url(home)
        except (ArchsearchError, OSError):
            damaged.append(name)
    return found, damaged


def _summaries(
    home: Path, url: str, *, only: Container[str] | None, needed: bool
) -> list[StudySummary] | None:
    """Read a storage's studies, or `only` some of them; None where it does not open and is not `needed`."""
    if missing(url):
        return None
    try:
        with opened(url) as storage:
            names = [name for name in study_names(storage) if only is None or name in only]
            return [_readable_summary(storage, home, name) for name in names]
    except ArchsearchError:
        if only is None and needed:
            raise
        return None


def _readable_summary(storage: "BaseStorage", home: Path, name: str) -> StudySummary:
    try:
        return _summary(read_tally(storage, name), StudyFolder(home, name))
    except ArchsearchError:  # damaged, or of another version
        return _damaged(name)


def _damaged(name: str) -> StudySummary:
    """Say no more of a study than that it is there."""
    return StudySummary(
        name=name, status="damaged", space="", budget="", data="", trials_done=0, trials=0,
        best_val=None, created="",
    )  # fmt: skip


def _summary(tally: Tally, folder: StudyFolder) -> StudySummary:
    facts, driver = tally.facts, holder(folder.lock)
    return StudySummary(
        name=folder.path.name,
        status=_true_status(facts.status, folder),
        space=_what(facts.settings),
        budget=facts.settings.flops or "",
        data=_short(facts.settings.data),
        trials_done=tally.done,
        trials=_asked(facts.settings),
        best_val=tally.best_val,
        created=facts.created,
        pid=driver.pid if driver else None,
    )


def _without_trials(folder: StudyFolder, *, readable: bool) -> StudySummary:
    """Return what run.toml says of a study whose storage has no trial, or can't be read."""
    settings = gather({}, config=folder.settings)
    driver = holder(folder.lock)
    began = datetime.fromtimestamp(folder.settings.stat().st_mtime).astimezone()
    return StudySummary(
        name=folder.path.name,
        status=_status(folder, readable, running=driver is not None),
        space=_what(settings),
        budget=settings.flops or "",
        data=_short(settings.data),
        trials_done=0,
        trials=_asked(settings),
        best_val=None,
        created=began.isoformat(timespec="seconds"),
        pid=driver.pid if driver else None,
    )


def _status(folder: StudyFolder, readable: bool, *, running: bool) -> str:
    if not readable:
        return "unreachable"
    if folder.has_trained:
        return "damaged"  # its storage knows nothing of it
    return "running" if running else "interrupted"


def _asked(settings: RunSettings) -> int:
    """Say how many trials a study was asked for; a full training, how many trainings."""
    return settings.trials if settings.network is None else settings.seeds


def _what(settings: RunSettings) -> str:
    """Return the space that is searched, or the network that is trained in full."""
    return settings.space or f"train {_short(str(settings.network))}"


def _short(data: str) -> str:
    """Return what a person named as data without its folders."""
    path = Path(data)
    return path.stem if path.suffix == ".npz" else path.name


def count_networks(name: str, *, home: Path) -> int | None:
    """Count the networks of a study: none where it was killed before its first trial; None: it is damaged.

    Raises:
        UserError: there is no such study.
    """
    check_study_name(name)
    folder = StudyFolder(home, name)
    try:
        if folder.settings.is_file():
            storage = gather({}, config=folder.settings).storage or default_url(home)
            if _nothing_kept(name, storage):
                return 0
        return len(load_result(name, home=home).rows)
    except DamagedError:
        return None


def kept_networks(
    name: str, *, home: Path, trial: int | None = None
) -> list[tuple[str, Graph, tuple[str, ...] | None]]:
    """Return a study's networks by number, published ones last: name and label, Graph, rules to hold.

    Of the network of a full training it may not be known which rules it was built to hold: None.

    Args:
        name: the study.
        home: where it lies.
        trial: the number of the one that is wanted; None: all.

    Raises:
        UserError: there is no such study or trial, or its space is not installed.
        MachineError: a network's file is gone or damaged.
    """
    check_study_name(name)
    folder = StudyFolder(home, name)
    with opened_existing(name, home=home) as store:
        facts, trials = store.facts, store.trials
    if facts.training is not None:
        found = [(design, facts.training.holds) for design in facts.baselines if trial is None]
    else:
        found = list(_with_rules(facts, trials, trial))
    if trial is not None and not found:
        last = len(trials) - 1
        raise UserError(f"study {name!r} has no network of trial {trial}; its last is {last}")
    return [
        (f"{design.name} {design.label}".strip(), from_json(folder.read_graph(design.graph)), holds)
        for design, holds in found
    ]


def rules_held(store: StudyStore, name: str) -> tuple[str, ...] | None:
    """Return the rules that a network of a study was built to hold; None: not known."""
    if store.facts.training is not None:
        return store.facts.training.holds
    try:
        found = _with_rules(store.facts, store.trials, None)
        return next((holds for design, holds in found if design.name == name), None)
    except UserError:  # its space is not installed any more
        return None


def _with_rules(
    facts: StudyFacts, trials: Iterable[Trial], number: int | None
) -> Iterator[tuple[Design, tuple[str, ...] | None]]:
    """Give the networks of a search, or that of one trial, with the rules they are to hold."""
    space, freed = find_space(str(facts.settings.space)), facts.settings.relaxed()
    request = request_of(facts)
    for kept in trials:
        if kept.design.exists and number in (None, kept.number):
            yield kept.design, space.held_rules(kept.knobs, request)
    for design in facts.baselines if number is None else ():
        yield design, space.rules_but(freed)


def request_of(facts: StudyFacts) -> Request:
    """Return what a search asked of its space."""
    height, width, channels = facts.dataset.input
    size, classes = (height, width, channels), max(len(facts.dataset.classes), 2)
    budget = largest_budget(facts.settings, size)
    return Request(size, classes, budget, facts.settings.relaxed())


def delete_study(
    name: str,
    *,
    home: Path,
    storage: str | None = None,
    tracking_uri: str | None = None,
    keep_runs: bool = False,
) -> None:
    """Remove a study from the storage, the disk and, unless its runs are kept there, the tracker.

    Raises:
        UserError: there is no such study, a process is driving it, or the tracker does not answer.
    """
    check_study_name(name)
    folder = StudyFolder(home, name)
    if folder.settings.is_file():
        kept = gather({}, config=folder.settings)
        storage, tracking_uri = storage or kept.storage, tracking_uri or kept.tracking_uri
    with ExitStack() as stack:
        if folder.path.is_dir():
            stack.enter_context(locked(folder.lock, study=name))
        url = storage or default_url(home)
        found = None
        if not (folder.settings.is_file() and _nothing_kept(name, url)):
            found = stack.enter_context(_storage_of(name, url, home=home))
        # The tracker first: if its server does not answer, all is still there for another try.
        if not keep_runs:
            _delete_runs(name, home=home, tracking_uri=tracking_uri)
        if found is not None:
            remove_study(found, name)
        folder.delete()


@contextmanager
def _storage_of(name: str, url: str, *, home: Path) -> Iterator["BaseStorage"]:
    """Open the storage that holds a study, which need not be readable."""
    if missing(url):
        raise UserError(f"no study {name!r}: there are none in {home}; --home says where to look")
    with opened(url) as found:
        if name not in study_names(found):
            StudyStore.open(found, name)  # says which there are
        yield found


def _delete_runs(name: str, *, home: Path, tracking_uri: str | None) -> None:
    from archsearch.tracking.kinds import delete_runs

    try:
        delete_runs(name, uri=tracking_uri, home=home)
    except UserError as error:
        hint = "--keep-runs deletes all else and leaves the runs there"
        raise UserError(f"{error}; {hint}") from error


def _nothing_kept(name: str, url: str) -> bool:
    """Whether a run was killed before its study was made, or its storage is gone."""
    if missing(url):
        return True
    with opened(url) as storage:
        return name not in study_names(storage)
