"""What studies there are, how they stand, and how to be rid of one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from archsearch.errors import ArchsearchError, UserError
from archsearch.settings import RunSettings, check_study_name, gather
from archsearch.study.folder import StudyFolder
from archsearch.study.lock import holder, locked
from archsearch.study.result import StudyResult, read_result
from archsearch.study.storage import StudyStore, default_url, opened, study_names


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySummary:
    """A study in one line.

    Attributes:
        status: `running`, `interrupted` (cut off in any way), `complete` or `failed`.
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
    if storage is None and not (home / "optuna.db").exists():
        raise UserError(f"no study {name!r}: there are none in {home}; --home says where to look")
    with opened(url) as found:
        if folder.settings.is_file() and name not in study_names(found):
            raise UserError(
                f"study {name!r} has no trial yet; `archsearch resume {name}` begins it"
            )
        yield StudyStore.open(found, name)


def _unbegun(home: Path, url: str, names: list[str]) -> Iterator[tuple[StudyFolder, RunSettings]]:
    """Find runs that measure the machine's pace now, or were killed before their first trial."""
    for path in sorted((home / "studies").glob("*/run.toml")):
        with suppress(ArchsearchError):  # someone else's file is no study
            settings = gather({}, config=path)
            folder = StudyFolder(home, path.parent.name)
            if folder.path.name not in names and (settings.storage or default_url(home)) == url:
                yield folder, settings


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


def list_studies(*, home: Path, storage: str | None = None) -> list[StudySummary]:
    """List the studies of a storage, oldest first, then those that have no trial yet."""
    url = storage or default_url(home)
    if url == default_url(home) and not (home / "optuna.db").exists():
        return []
    found = []
    with opened(url) as opened_storage:
        names = study_names(opened_storage)
        for name in names:
            folder = StudyFolder(home, name)
            store = StudyStore.open(opened_storage, name)
            result = _with_true_status(read_result(store), folder)
            first = result.rows[0] if result.rows else None
            best = None if first is None else first.val_accuracy
            if first is not None and first.final_val is not None:
                best = first.final_val.mean
            driver = holder(folder.lock)
            found.append(
                StudySummary(
                    name=name,
                    status=result.status,
                    space=result.space,
                    budget=result.budget,
                    data=str(result.dataset.get("name", "")),
                    trials_done=sum(trial.finished for trial in store.trials),
                    trials=result.trials,
                    best_val=best,
                    created=result.created,
                    pid=driver.pid if driver else None,
                )
            )
    for folder, settings in _unbegun(home, url, names):
        driver = holder(folder.lock)
        began = datetime.fromtimestamp(folder.settings.stat().st_mtime).astimezone()
        found.append(
            StudySummary(
                name=folder.path.name,
                status="running" if driver else "interrupted",
                space=settings.space,
                budget=settings.flops,
                data=settings.data,
                trials_done=0,
                trials=settings.trials,
                best_val=None,
                created=began.isoformat(timespec="seconds"),
                pid=driver.pid if driver else None,
            )
        )
    return found


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
    name: str, *, home: Path, storage: str | None = None, tracking_uri: str | None = None
) -> None:
    """Remove a study from the storage, the tracker and the disk.

    Raises:
        UserError: there is no such study, or a process is driving it.
    """
    from archsearch.tracking.manage import delete_study as delete_runs

    check_study_name(name)
    folder = StudyFolder(home, name)
    if folder.settings.is_file():
        kept = gather({}, config=folder.settings)
        storage, tracking_uri = storage or kept.storage, tracking_uri or kept.tracking_uri
    with ExitStack() as stack:
        if folder.path.is_dir():
            stack.enter_context(locked(folder.lock, study=name))
        if folder.settings.is_file() and _nothing_kept(name, storage or default_url(home)):
            folder.delete()
            return
        store = stack.enter_context(opened_existing(name, home=home, storage=storage))
        # The tracker first: if its server does not answer, all is still there for another try.
        delete_runs(home, name, tracking_uri=tracking_uri)
        store.delete()
        folder.delete()


def _nothing_kept(name: str, url: str) -> bool:
    """Whether a run was killed before its study was made."""
    with opened(url) as storage:
        return name not in study_names(storage)
