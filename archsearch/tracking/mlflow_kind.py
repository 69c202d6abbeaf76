"""The kind of tracker that is MLflow's: its stores checked, opened for a study, rid of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from archsearch.tracking.connect import check_store
from archsearch.tracking.deletion import delete_study
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import Tracker


class MlflowKind:
    """Opens what MLflow reaches: databases, servers, and its file in the home (see `TrackerKind`)."""

    def check(self, uri: str | None, *, home: Path) -> None:
        """Refuse a store that can never be used (see `check_store`)."""
        check_store(home, uri)

    def open(self, uri: str | None, *, home: Path, warn: Callable[[str], None]) -> Tracker:
        """Return the tracker of a study."""
        return MlflowTracker(home, tracking_uri=uri, warn=warn)

    def delete(self, study: str, *, uri: str | None, home: Path) -> int:
        """Remove a study's runs and return how many they were (see `delete_study`)."""
        return delete_study(home, study, tracking_uri=uri)


MLFLOW: Final = MlflowKind()
