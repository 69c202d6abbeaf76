"""Trackers by their address: its scheme says which kind of tracker opens it."""

from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final, Protocol, runtime_checkable
from urllib.parse import urlsplit

from archsearch import plugins
from archsearch.errors import UserError
from archsearch.tracking.connect import GIVE_ANOTHER
from archsearch.tracking.mlflow_kind import MLFLOW
from archsearch.tracking.records import Tracker
from archsearch.uris import expanded, shown_uri

TRACKERS: Final = "archsearch.trackers"
"""The group of entry points; an entry is named as a scheme, in small letters, without a driver."""
_OF_MLFLOW: Final = "mlflow.tracking_store"
"""MLflow's own group, of stores that it is taught to reach."""


@runtime_checkable
class TrackerKind(Protocol):
    """Opens trackers of one kind of store.

    Addresses are as the user gave them, of the kind's schemes, with the environment variables that they name
    filled in; whoever shows one hides its password.

    One is found by an entry point named as a scheme in the group `archsearch.trackers`, which names
    an object like this.
    """

    def check(self, uri: str | None, *, home: Path) -> None:
        """Refuse a store that can never be used; one that does not answer now may do so later.

        There may be no home yet, and none is made.

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
    return find_kind(uri).open(_full(uri), home=home, warn=warn)


def check_address(uri: str | None, *, home: Path) -> None:
    """Refuse a store that can never be used, before there is a home; one that does not answer may later.

    Raises:
        UserError: nothing opens such addresses, the address is wrong, or something else is there.
    """
    find_kind(uri).check(_full(uri), home=home)


def delete_runs(study: str, *, uri: str | None, home: Path) -> int:
    """Remove a study's runs from a store, so that its name is free again; return how many they were.

    Raises:
        UserError: the store can't be used.
    """
    return find_kind(uri).delete(study, uri=_full(uri), home=home)


def _full(uri: str | None) -> str | None:
    return None if uri is None else expanded(uri)


def find_kind(uri: str | None) -> TrackerKind:
    """Return what opens a store: MLflow, where there is no address or one without a scheme.

    Raises:
        UserError: nothing does.
        ArchsearchError: what does is broken, or two packages want to.
    """
    scheme = _scheme(uri or "")
    if uri is None or not scheme:
        return MLFLOW
    try:
        kind: TrackerKind = plugins.find(TRACKERS, scheme, what="tracker", kind=TrackerKind)
    except UserError as error:
        if entry_points(group=_OF_MLFLOW, name=scheme):
            return MLFLOW
        raise UserError(f"nothing opens {shown_uri(uri)}: {error}; {GIVE_ANOTHER}") from None
    return kind


def _scheme(uri: str) -> str:
    try:
        scheme = urlsplit(uri).scheme
    except ValueError as error:  # a bracket that is not closed
        raise UserError(f"{shown_uri(uri)} is no address: {error}; {GIVE_ANOTHER}") from None
    return scheme.partition("+")[0]  # postgresql+psycopg2 names a driver, too
