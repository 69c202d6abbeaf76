"""How MLflow is reached: which store, without its chatter, with its errors in a person's words."""

import hashlib
import importlib
import logging
import os
import re
import shlex
import sys
import threading
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from archsearch.errors import ArchsearchError, UserError
from archsearch.tracking.run_names import one_line
from archsearch.uris import check_password, expanded, shown_uri, without_secrets

_DEFAULTS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",  # it would send usage figures to its makers
    "MLFLOW_LOGGING_LEVEL": "ERROR",  # migrations of a new store are 60 lines
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # stdout may carry a JSON document
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_TRUNCATE_LONG_VALUES": "true",
    # This project repeats what failed itself; the defaults wait minutes before they say so.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "SQLALCHEMY_SILENCE_UBER_WARNING": "1",
}
_LOUD = ("alembic", "urllib3.connectionpool", "matplotlib.font_manager")

GIVE_ANOTHER: Final = (
    "give another with --tracking-uri or MLFLOW_TRACKING_URI, or neither for the one in --home"
)
"""What to try where an address is of no use."""

_SCHEMA: Final = re.compile(
    r"out-of-date database schema \(found version (\w+)|Can't locate revision identified by '(\w+)'"
)
"""What is said of a database of another MLflow: the revision of its tables."""

_IMPORT = threading.Lock()
_CREATE = threading.Lock()  # MLflow's migrations run one at a time in a process

# What may go away by itself: MLflow's codes for a server or a database that does not answer now.
_PASSING = {
    "ABORTED",
    "CANCELLED",
    "DEADLINE_EXCEEDED",
    "INTERNAL_ERROR",
    "IO_ERROR",
    "REQUEST_LIMIT_EXCEEDED",
    "TEMPORARILY_UNAVAILABLE",
}


def quiet_environment() -> dict[str, str]:
    """Return the variables that keep MLflow quiet and at home, without those set already."""
    return {name: value for name, value in _DEFAULTS.items() if name not in os.environ}


def import_mlflow() -> Any:
    """Return MLflow, imported without its log lines (1 to 2 s the first time).

    A user's own `MLFLOW_*` variables win: `MLFLOW_LOGGING_LEVEL=INFO` brings its lines back.
    """
    with _IMPORT:  # two threads that import it at once meet half-made modules
        quiet = "MLFLOW_LOGGING_LEVEL" not in os.environ and "mlflow" not in sys.modules
        os.environ.update(quiet_environment())
        importlib.import_module("mlflow.entities")
        if quiet:
            _hush()
        return importlib.import_module("mlflow")


def _hush() -> None:
    """Have MLflow's errors, tracebacks of a hundred lines, go to whoever keeps a log, not to the terminal."""
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.ERROR)
    logger = logging.getLogger("mlflow")
    # With a handler of its own, the last resort of logging, which is stderr, is not taken.
    logger.handlers[:] = [logging.NullHandler()]
    logger.propagate = True


def store_uri(home: Path, tracking_uri: str | None = None) -> str:
    """Return where runs are kept: the given URI, or the home's SQLite file.

    `${NAME}` in the URI is an environment variable's value.

    Raises:
        UserError: the home can't hold the file.
    """
    if tracking_uri:
        return expanded(tracking_uri)
    path = _home_file(home)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"home {str(home)!r} can't be made: {error.strerror}") from error
    if not os.access(path.parent, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"home {str(home)!r} can't be written; choose another with --home")
    return f"sqlite:///{path}"


def _home_file(home: Path) -> Path:
    path = home.resolve() / "mlflow.db"
    if set("?#%\n") & set(str(path)):
        # The path becomes part of a database URL, where these have meanings of their own.
        raise UserError(
            f"home {str(home)!r}: MLflow's store can't be kept under a path with ?, #, % or a line"
            " break; choose another --home, or give --tracking-uri"
        )
    return path


def is_server(uri: str) -> bool:
    """Whether a store is a tracking server, which then decides where artifacts go."""
    return urlsplit(uri).scheme in {"http", "https", "databricks"}


def artifact_location(home: Path, study: str) -> str:
    """Return the folder of a study's artifacts in a home, as a URI.

    Study names may hold anything, so the folder is named by what is harmless in the name and a
    digest of all of it.
    """
    harmless = re.sub(r"[^A-Za-z0-9_-]+", "-", study).strip("-")[:40] or "study"
    digest = hashlib.sha256(study.encode()).hexdigest()[:8]
    return (home.resolve() / "artifacts" / f"{harmless}-{digest}").as_uri()


def may_pass(error: BaseException) -> bool:
    """Whether trying again later may help: a server that is down, a locked database."""
    if _SCHEMA.search(str(error)):
        return False
    code = getattr(error, "error_code", None)
    return code in _PASSING if isinstance(code, str) else isinstance(error, OSError)


def is_locked(error: BaseException) -> bool:
    """Whether others write to an SQLite store: it answers to who reads, and is free sooner or later."""
    return "database is locked" in str(error)


def reason(error: BaseException, *, uri: str = "") -> str:
    """Return the cause of a store's error in a few words, and what helps with the store at an address."""
    text = str(error) or type(error).__name__
    if found := _SCHEMA.search(text):
        return _other_version(found[1] or found[2], uri)
    for pattern, words in (
        (r"Connection refused", "connection refused"),
        (r"Name or service not known|Failed to resolve|getaddrinfo", "unknown host"),
        (r"timed out|Timeout", "no answer in time"),
        (r"file is not a database", "not a database"),
        (r"database is locked", "the database is locked"),
        (r"No space left", "no space left on the device"),
    ):
        if re.search(pattern, text):
            return words
    found = re.search(r"\((?:sqlite3|psycopg2|pymysql)\.\w+\) (.+)", text)
    return one_line(without_secrets(found[1] if found else text), limit=160)


def _other_version(revision: str, uri: str) -> str:
    """Say what helps with a database whose tables are of an earlier MLflow, or of a later one."""
    import mlflow.store

    migrations = Path(mlflow.store.__file__).with_name("db_migrations") / "versions"
    if any(migrations.glob(f"{revision}_*.py")):
        return (
            "its tables are of an earlier MLflow; after a backup, "
            f"`mlflow db upgrade {shlex.quote(shown_uri(uri)) if uri else 'URL'}` brings them up to date"
        )
    return "its tables are of a later MLflow; `pip install --upgrade mlflow` reads them"


def as_user_error(uri: str, error: BaseException) -> ArchsearchError:
    """Return an error of the store as one for the user: which store, and why."""
    if isinstance(error, ArchsearchError):
        return error
    return UserError(f"MLflow store {shown_uri(uri)} can't be used: {reason(error, uri=uri)}")


def check_store(home: Path, tracking_uri: str | None) -> None:
    """Refuse a store that can never be used, before there is a home; one that does not answer may later.

    Raises:
        UserError: the address is wrong, something else is there, or the home can't hold the file.
    """
    if not tracking_uri:
        _home_file(home)
        return
    try:
        open_client(expanded(tracking_uri))
    except UserError:
        raise
    except Exception as error:
        if may_pass(error):
            return
        raise UserError(f"{as_user_error(tracking_uri, error)}; {GIVE_ANOTHER}") from error


def open_client(uri: str) -> Any:
    """Return an MLflow client on a store; a new SQLite store gets its tables now.

    Raises:
        UserError: a database's password has an `@` in it.
    """
    if not is_server(uri):
        check_password(uri)
    import_mlflow()
    if uri.startswith("sqlite:////") and "?" not in uri:
        _create(Path(uri.removeprefix("sqlite:///")))
    tracking = importlib.import_module("mlflow.tracking")
    client = tracking.MlflowClient(tracking_uri=uri)
    client.search_experiments(max_results=1)
    return client


def _create(path: Path) -> None:
    """Make a new SQLite store under another name until it is whole.

    MLflow needs seconds for its tables and migrations; a process killed within them would leave a
    store that no other can use or mend.
    """
    with _CREATE:
        _sweep(path)
        if not path.exists():
            _create_apart(path, path.with_name(f".{path.name}.{os.getpid()}.part"))


def _sweep(path: Path) -> None:
    """Remove what processes left that were killed while they made the store."""
    import psutil

    for part in path.parent.glob(f".{path.name}.*.part*"):  # also the database's own side files
        pid = part.name.removeprefix(f".{path.name}.").partition(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            part.unlink(missing_ok=True)


def _give_name(part: Path, path: Path) -> None:
    """Have a whole store take its place, unless another process was as quick: its runs would be lost."""
    try:
        os.link(part, path)
    except FileExistsError:
        return
    except OSError:  # a file system without hard links
        if not path.exists():
            part.replace(path)


def _create_apart(path: Path, part: Path) -> None:
    stores = importlib.import_module("mlflow.store.tracking")
    kind = importlib.import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore
    try:
        store = kind(f"sqlite:///{part}", stores.DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH)
        store.engine.dispose()
        _give_name(part, path)
    finally:
        part.unlink(missing_ok=True)
