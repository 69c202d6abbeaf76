"""What studies there are, how they stand, and how to be rid of one."""

from collections.abc import Container, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from archsearch.archive.databases import check_there, default_url, missing, opened, study_names
from archsearch.archive.folder import StudyFolder
from archsearch.archive.leaderboard import StudyResult, read_result
from archsearch.archive.lock import holder, locked
from archsearch.archive.store import StudyStore
from archsearch.checks import check_study_name
from archsearch.commands import command
from archsearch.errors import ArchsearchError, UserError
from archsearch.gathering import gather


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study in one line.

    Attributes:
        status: `running`, `interrupted` (cut off in any way), `complete`, `failed`, or `unreachable`: its
            storage does not open.
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
            raise UserError(
                f"study {name!r} has no trial yet; `{command('resume', name, home=home)}` begins it"
            )
        yield StudyStore.open(found, name)


def _with_true_status(result: StudyResult, folder: StudyFolder) -> StudyResult:
    """Return the result; a study said to be running whose driver is gone was interrupted."""
    if result.status == "running" and holder(folder.lock) is None:
        return replace(result, status="interrupted")
    return result


def load_result(name: str, *, home: Path, storage: str | None = None) -> StudyResult:
    """Read a study's result as it stands; another process may be driving it.

    Raises:
        UserError: there is no such study.
    """
    check_study_name(name)
    with opened_existing(name, home=home, storage=storage) as store:
        return _with_true_status(read_result(store), StudyFolder(home, name))


def list_studies(*, home: Path) -> list[StudySummary]:
    """List a home's studies, whatever their storage: oldest first, then those that have no trial yet.

    Raises:
        UserError: the home's own storage does not open.
    """
    own = default_url(home)
    runs = _runs(home)
    begun: list[StudySummary] = []
    others: list[StudySummary] = []
    for url in dict.fromkeys((own, *runs.values())):
        here = sorted(name for name, storage in runs.items() if storage == url)
        # What else another storage holds belongs to other homes.
        kept = _summaries(home, url, only=None if url == own else here)
        begun += kept or []
        names = {summary.name for summary in begun}
        others += [
            _without_trials(StudyFolder(home, name), readable=kept is not None)
            for name in here
            if name not in names
        ]
    return sorted(begun, key=lambda summary: datetime.fromisoformat(summary.created)) + others


def _runs(home: Path) -> dict[str, str]:
    """Find the studies that have a folder, and the storage of each."""
    found = {}
    for path in (home / "studies").glob("*/run.toml"):
        with suppress(ArchsearchError):  # someone else's file is no study
            check_study_name(path.parent.name)
            found[path.parent.name] = gather({}, config=path).storage or default_url(home)
    return found


def _summaries(home: Path, url: str, *, only: Container[str] | None) -> list[StudySummary] | None:
    """Read a storage's studies, or `only` some of them: then None where it does not open."""
    if missing(url):
        return None
    try:
        with opened(url) as storage:
            names = [name for name in study_names(storage) if only is None or name in only]
            stores = [StudyStore.open(storage, name) for name in names]
            return [_summary(store, StudyFolder(home, store.name)) for store in stores]
    except ArchsearchError:
        if only is None:
            raise
        return None


def _summary(store: StudyStore, folder: StudyFolder) -> StudySummary:
    result = _with_true_status(read_result(store), folder)
    first = result.rows[0] if result.rows else None
    best = None if first is None else first.val_accuracy
    if first is not None and first.final_val is not None:
        best = first.final_val.mean
    driver = holder(folder.lock)
    return StudySummary(
        name=store.name,
        status=result.status,
        space=result.space,
        budget=result.budget,
        data=_short(result.settings.data),
        trials_done=sum(trial.finished for trial in store.trials),
        trials=result.trials,
        best_val=best,
        created=result.created,
        pid=driver.pid if driver else None,
    )


def _without_trials(folder: StudyFolder, *, readable: bool) -> StudySummary:
    """Return what run.toml says of a study whose storage has no trial, or can't be read."""
    settings = gather({}, config=folder.settings)
    driver = holder(folder.lock)
    status = "running" if driver else "interrupted"
    began = datetime.fromtimestamp(folder.settings.stat().st_mtime).astimezone()
    return StudySummary(
        name=folder.path.name,
        status=status if readable else "unreachable",
        space=settings.space,
        budget=settings.flops,
        data=_short(settings.data),
        trials_done=0,
        trials=settings.trials,
        best_val=None,
        created=began.isoformat(timespec="seconds"),
        pid=driver.pid if driver else None,
    )


def _short(data: str) -> str:
    """Return what a person named as data without its folders."""
    path = Path(data)
    return path.stem if path.suffix == ".npz" else path.name


def count_networks(name: str, *, home: Path) -> int:
    """Count the networks of a study; none where it was killed before its first trial.

    Raises:
        UserError: there is no such study.
    """
    check_study_name(name)
    folder = StudyFolder(home, name)
    if folder.settings.is_file():
        storage = gather({}, config=folder.settings).storage or default_url(home)
        if _nothing_kept(name, storage):
            return 0
    return len(load_result(name, home=home).rows)


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
        store = None
        if not (folder.settings.is_file() and _nothing_kept(name, storage or default_url(home))):
            store = stack.enter_context(opened_existing(name, home=home, storage=storage))
        # The tracker first: if its server does not answer, all is still there for another try.
        if not keep_runs:
            _delete_runs(name, home=home, tracking_uri=tracking_uri)
        if store is not None:
            store.delete()
        folder.delete()


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
