"""The databases Optuna keeps studies in: opened by URL, named, looked through."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from archsearch.archive.lock import alone
from archsearch.archive.optuna_terms import hush
from archsearch.errors import ArchsearchError, UserError
from archsearch.uris import expanded, shown_uri, without_secrets

if TYPE_CHECKING:
    from optuna.storages import BaseStorage, RDBStorage

MARK: Final = "archsearch"
"""Studies of this program carry this attribute: what was known when they were made."""
_SQLITE: Final = re.compile(r"(sqlite(?:\+\w+)?:///)(?!:memory:|file:)([^?]+)(.*)", re.DOTALL)
"""An SQLite database in a file: its URL up to the path, the path, the options."""


@contextmanager
def opened(url: str) -> Iterator["BaseStorage"]:
    """Open a storage by the URL of a database Optuna can use, and let go of it after the block.

    `${NAME}` in the URL is an environment variable's value.

    Raises:
        UserError: the URL is none, or the database does not open.
    """
    import optuna

    hush()
    try:
        database = _database(expanded(url))
    except UserError:
        raise
    except Exception as error:  # SQLAlchemy and the database's driver have hundreds
        raise UserError(
            f"the storage {shown_uri(url)} does not open: {_first_line(error)}; give a "
            "database URL such as sqlite:///studies.db or postgresql://user@host/name"
        ) from error
    try:
        yield optuna.storages.get_storage(database)
    finally:
        database.remove_session()
        database.engine.dispose()


def _database(url: str) -> "RDBStorage":
    from optuna.storages import RDBStorage

    found = _SQLITE.fullmatch(url)
    if found is None:
        return RDBStorage(url)
    path = Path(found[2])
    path.parent.mkdir(parents=True, exist_ok=True)
    # A new one gets its tables here, and Optuna fails where two processes make them at once.
    with alone(path.with_name(f".{path.name}.lock")):
        # Someone may be looking at the file with another tool: wait for them.
        return RDBStorage(url, engine_kwargs={"connect_args": {"timeout": 60}})


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
    found = _SQLITE.fullmatch(url)
    return url if found is None else f"{found[1]}{Path(found[2]).absolute()}{found[3]}"


def missing(url: str) -> bool:
    """Whether the URL is of an SQLite file that is not there: to open it would make it."""
    found = _SQLITE.fullmatch(expanded(url))
    return found is not None and not Path(found[2]).exists()


def check_there(study: str, url: str) -> None:
    """Refuse to look for a study in an SQLite file that is gone.

    Raises:
        UserError: it is.
    """
    if missing(url):
        raise UserError(f"study {study!r} lies in the storage {shown_uri(url)}, which is gone")


def study_names(storage: "BaseStorage") -> list[str]:
    """List this program's studies in a storage, oldest first."""
    with troubles():
        studies = storage.get_all_studies()
    return [study.study_name for study in studies if MARK in study.user_attrs]


@contextmanager
def troubles() -> Iterator[None]:
    """Turn a database that fails midway into one line."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except StorageInternalError as error:
        reason = _first_line(error.__cause__ or error)
        raise ArchsearchError(f"the study's storage failed: {reason}") from error


def _first_line(error: BaseException) -> str:
    line = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {without_secrets(line)}"[:300]
