"""Trackers by their address: its scheme says what kind of store it is, and who opens it."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from archsearch.errors import ArchsearchError, UserError
from archsearch.tracking.mlflow_opener import MLFLOW
from archsearch.tracking.records import Tracker
from archsearch.uris import shown_uri

TRACKERS: Final = "archsearch.trackers"
"""The group of entry points; an entry is named as a scheme, in small letters, without a driver."""
_OF_MLFLOW: Final = "mlflow.tracking_store"
"""MLflow's own group, of stores that it is taught to reach."""


@runtime_checkable
class Opener(Protocol):
    """Knows one kind of store. `uri` is as the user gave it, its scheme one that names the opener."""

    def check(self, uri: str | None, *, home: Path) -> None:
        """Refuse a store that can never be used; one that does not answer now may do so later.

        Nothing is kept yet: no file and no folder is made.

        Raises:
            UserError: the address is wrong, or something else is there; one line.
        """
        ...

    def open(self, uri: str | None, *, home: Path, warn: Callable[[str], None]) -> Tracker:
        """Return a tracker for one study.

        Args:
            uri: the store.
            home: the folder of all that is kept, for whatever has no place in the store.
            warn: told of trouble in one line, from any thread.

        Raises:
            UserError: the store can never be used.
        """
        ...

    def delete(self, study: str, *, uri: str | None, home: Path) -> int:
        """Remove a study's runs, so that its name is free again; return how many they were.

        Raises:
            UserError: the store can't be used.
        """
        ...


def open_tracker(uri: str | None, *, home: Path, warn: Callable[[str], None]) -> Tracker:
    """Return the tracker of a store for one study; None: MLflow's file in the home.

    Raises:
        UserError: nothing opens such addresses, or the store can never be used.
    """
    return find_opener(uri).open(uri, home=home, warn=warn)


def check_address(uri: str | None, *, home: Path) -> None:
    """Refuse a store that can never be used, before there is a home; one that does not answer may later.

    Raises:
        UserError: nothing opens such addresses, the address is wrong, or something else is there.
    """
    find_opener(uri).check(uri, home=home)


def delete_runs(study: str, *, uri: str | None, home: Path) -> int:
    """Remove a study's runs from a store, so that its name is free again; return how many they were.

    Raises:
        UserError: the store can't be used.
    """
    return find_opener(uri).delete(study, uri=uri, home=home)


def find_opener(uri: str | None) -> Opener:
    """Return what opens a store: MLflow, where there is no address or one without a scheme.

    Raises:
        UserError: nothing does.
        ArchsearchError: what does is broken, or two packages want to.
    """
    scheme = urlsplit(uri or "").scheme.partition("+")[0]  # postgresql+psycopg2 names a driver, too
    if uri is None or not scheme:
        return MLFLOW
    points = [p for p in entry_points(group=TRACKERS) if p.name == scheme]
    if len(points) > 1:
        raise ArchsearchError(f"two packages install a tracker for {scheme}: addresses")
    if points:
        return _load(points[0])
    if any(point.name == scheme for point in entry_points(group=_OF_MLFLOW)):
        return MLFLOW
    known = sorted({point.name for point in entry_points(group=TRACKERS)})
    raise UserError(_unknown(shown_uri(uri), scheme, known))


def _load(point: EntryPoint) -> Opener:
    named = f"entry point {point.name} = {point.value}"
    try:
        opener = point.load()
    except Exception as error:  # a broken plug-in must not look like a broken archsearch
        raise ArchsearchError(f"{named}: {error}") from error
    if not isinstance(opener, Opener):
        raise ArchsearchError(f"{named} opens no tracker: it lacks check, open or delete")
    return opener


def _unknown(shown: str, scheme: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = get_close_matches(scheme, names, n=1)
    hint = f"did you mean {close[0]}:?" if close else f"there are {', '.join(names)}"
    return (
        f"no tracker opens {scheme}: addresses, such as {shown}; {hint}; give another with "
        "--tracking-uri, or none for the one in --home"
    )
