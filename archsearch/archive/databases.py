"""The databases Optuna keeps studies in: opened by URL, named, looked through."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archsearch.archive.lock import alone
from archsearch.archive.optuna_terms import hush
from archsearch.archive.patience import Patience, patient, why_failed
from archsearch.archive.study_folder import check_writable
from archsearch.archive.tables.stored_trials import asked, engine_of
from archsearch.errors import MachineError, UserError, one_line
from archsearch.uris import check_password, expanded, shown_uri, without_secrets

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, JournalStorage, RDBStorage

MARK: Final = "archsearch"
"""The attribute that every study of this program has: what was known when it was made."""
_JOURNAL: Final = "journal:///"
_FILE: Final = re.compile(
    rf"(sqlite(?:\+\w+)?:///|{_JOURNAL})(?!:memory:|file:)([^?]+)(.*)", re.DOTALL
)
"""A storage in a file, SQLite's or Optuna's journal: its URL up to the path, the path, the options."""
_PAUSES_S: Final = (0.1, 0.3, 1.0, 2.0)
"""Between tries to open a database in which another host makes the tables at the same moment."""
_POSTGRES: Final = "pip install 'archsearch[postgres]'"
_DRIVERS: Final = {
    "psycopg": _POSTGRES,
    "psycopg2": _POSTGRES,
    "MySQLdb": "pip install mysqlclient",
}
"""How to install the packages through which databases are reached, by their modules."""


@contextmanager
def opened(url: str, *, patience: Patience | None = None) -> Iterator["BaseStorage"]:
    """Open a storage by the URL of a database Optuna can use, and let go of it after the block.

    `journal:///PATH` is a file that only grows, a line a change (Optuna's JournalStorage).
    `${NAME}` in the URL is an environment variable's value.

    Args:
        url: of the database.
        patience: with a database that is away for a while, once it is open; None: none.

    Raises:
        UserError: the URL is none, or the database does not open.
    """
    import optuna

    hush()
    check_password(expanded(url))
    try:
        database = _database(expanded(url))
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy and the database's driver have hundreds
        raise UserError(
            f"the storage {shown_uri(url)} does not open: {_why_closed(error)}"
        ) from error
    try:
        storage = optuna.storages.get_storage(database)
        yield storage if patience is None else patient(storage, patience)
    finally:
        if not isinstance(database, optuna.storages.JournalStorage):  # which opens its file anew
            database.remove_session()
            database.engine.dispose()


def _why_closed(error: BaseException) -> str:
    """Say why a database does not open, and what to try."""
    lacking = error if isinstance(error, ImportError) else error.__cause__
    if isinstance(lacking, ImportError):
        module = next(
            (e.name for e in (lacking, lacking.__cause__) if isinstance(e, ImportError) and e.name),
            "",
        )
        what = f"the driver package {module} is" if module else "its driver package is"
        install = _DRIVERS.get(module, f"pip install {module}" if module else "install it")
        return f"{what} not installed; {install}"
    return (
        f"{without_secrets(one_line(error))}; give a database URL such as sqlite:///studies.db or "
        "postgresql://user@host/name"
    )


def _database(url: str) -> "RDBStorage | JournalStorage":
    from optuna.storages import JournalStorage, RDBStorage
    from optuna.storages.journal import JournalFileBackend

    found = _FILE.fullmatch(url)
    if found is None:
        return _on_a_server(url)
    path = Path(found[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    if found[1] == _JOURNAL:
        return JournalStorage(JournalFileBackend(str(path)))
    # A new one gets its tables here, and Optuna fails where two processes make them at once. One that has
    # them is only read as it opens.
    lock = path.with_name(f".{path.name}.lock")
    # The lock last: whoever makes the file has made the lock before it.
    is_new = not path.exists() or not path.stat().st_size or lock.exists()
    with alone(lock) if is_new else nullcontext():
        # Someone may be looking at the file with another tool: wait for them.
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


def _on_a_server(url: str) -> "RDBStorage":
    """Open a server's database. Several hosts may come to a new one at once, and all make its tables."""
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    # A connection that a restarted server has dropped is made again.
    again = {"pool_pre_ping": True}
    for pause_s in _PAUSES_S:
        with suppress(IntegrityError, ProgrammingError):  # a table is there by now
            return RDBStorage(url, engine_kwargs=again)
        time.sleep(pause_s)
    return RDBStorage(url, engine_kwargs=again)


def in_memory() -> "BaseStorage":
    """Return a storage that ends with the process, for tests."""
    import optuna

    hush()
    return optuna.storages.InMemoryStorage()


def default_url(home: Path) -> str:
    """Return the URL of the storage kept in `home`.

    Raises:
        UserError: the home's path would end early in a URL.
    """
    if set("?\n") & set(str(home)):
        raise UserError(
            f"home {str(home)!r}: Optuna's storage can't be kept under a path with ? or a line"
            " break; choose another --home, or give --storage"
        )
    return f"sqlite:///{home / 'optuna.db'}"


def absolute_url(url: str) -> str:
    """Return a database's URL with the path of an SQLite file made absolute: the same from any folder."""
    found = _FILE.fullmatch(url)
    return url if found is None else f"{found[1]}{Path(found[2]).absolute()}{found[3]}"


def missing(url: str) -> bool:
    """Whether the URL is of an SQLite file that is not there: to open it would make it."""
    found = _FILE.fullmatch(expanded(url))
    return found is not None and not Path(found[2]).exists()


def check_file(url: str) -> None:
    """Refuse an SQLite file that can't be made where its URL says, without making it.

    Raises:
        UserError: its folder can't be written.
    """
    if found := _FILE.fullmatch(url):
        check_writable(Path(found[2]).parent, "give another --storage")


def check_there(study: str, url: str) -> None:
    """Refuse to look for a study in an SQLite file that is gone.

    Raises:
        UserError: it is.
    """
    if missing(url):
        raise UserError(f"study {study!r} lies in the storage {shown_uri(url)}, which is gone")


def study_names(storage: "BaseStorage") -> list[str]:
    """Return the names of this program's studies in a storage, oldest first."""
    with troubles():
        if engine_of(storage) is not None:
            return _names_in(storage)
        studies = storage.get_all_studies()
    return [study.study_name for study in studies if MARK in study.user_attrs]


def _names_in(storage: "BaseStorage") -> list[str]:
    """List them without reading what they say of themselves: one that is damaged hides no other."""
    from optuna.storages._rdb.models import StudyModel, StudyUserAttributeModel
    from sqlalchemy import select

    mark = StudyUserAttributeModel
    query = select(StudyModel.study_name).join(mark, mark.study_id == StudyModel.study_id)
    query = query.where(mark.key == MARK).order_by(StudyModel.study_id)
    return list(asked(storage, lambda connection: connection.execute(query).scalars().all()))


def remove_study(storage: "BaseStorage", name: str) -> None:
    """Remove a study and all its trials from a storage, whatever it says of itself."""
    with troubles():
        storage.delete_study(storage.get_study_id_from_name(name))


@contextmanager
def troubles() -> Iterator[None]:
    """Turn a database that fails midway into one line."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        raise MachineError(
            f"the study's storage failed: {without_secrets(why_failed(error))}"
        ) from error
