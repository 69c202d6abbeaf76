"""Which study and trials are open: the checks every tracker shares."""

import threading
from collections.abc import Mapping
from pathlib import PurePosixPath

from archsearch.tracking.records import TrialStatus


class Ledger:
    """Says when a tracker is misused; safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._study: str | None = None
        self._ended = False
        self._shut = False
        self._networks: set[str] = set()
        self._open: set[str] = set()
        self._closed: set[str] = set()

    def start_study(self, name: str) -> None:
        """Note that a study began."""
        with self._lock:
            self._need_tracker()
            if self._study is not None:
                raise ValueError(f"study {self._study!r} is tracked already; make another tracker")
            self._study = name

    def network(self, key: str) -> None:
        """Note that a network was told of."""
        with self._lock:
            self._need_study()
            self._networks.add(key)

    def start_trial(self, key: str, *, network: str = "") -> None:
        """Note that a trial began, of a network if it has one."""
        with self._lock:
            self._need_study()
            if network and network not in self._networks:
                raise ValueError(f"network {network!r} of trial {key!r} was never told")
            if key in self._open or key in self._closed:
                raise ValueError(f"trial {key!r} was started before; keys are unique in a study")
            self._open.add(key)

    def epoch(self, key: str) -> bool:
        """Whether a trial still takes epochs."""
        with self._lock:
            self._need_tracker()
            if key not in self._open and key not in self._closed:
                raise ValueError(f"trial {key!r} was never started")
            return key in self._open

    def check_known(self, key: str) -> None:
        """Refuse a trial that was never started."""
        self.epoch(key)

    def end_trial(self, key: str) -> None:
        """Note that a trial ended."""
        with self._lock:
            self._need_tracker()
            if key not in self._open:
                state = "ended before" if key in self._closed else "never started"
                raise ValueError(f"trial {key!r} was {state}")
            self._open.remove(key)
            self._closed.add(key)

    def end_study(self, status: TrialStatus) -> list[str]:
        """Note that the study ended; return the keys of the trials that were open, in order."""
        with self._lock:
            self._need_study()
            if status == "pruned":
                raise ValueError("a study is not pruned: it ends complete, failed or interrupted")
            self._ended = True
            left = sorted(self._open)
            self._closed |= self._open
            self._open.clear()
            return left

    def close(self) -> None:
        """Note that the tracker is closed; again is no misuse."""
        with self._lock:
            self._shut = True

    def _need_tracker(self) -> None:
        if self._shut:
            raise ValueError("the tracker is closed")

    def _need_study(self) -> None:
        self._need_tracker()
        if self._study is None:
            raise ValueError("no study was started")
        if self._ended:
            raise ValueError(f"study {self._study!r} has ended")


def check_artifacts(artifacts: Mapping[str, str | bytes]) -> None:
    """Refuse artifact paths that lead out of a run's own folder.

    Raises:
        ValueError: a path is empty, absolute or climbs.
    """
    for path in artifacts:
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or ".." in parts or "\\" in path or "\0" in path:
            raise ValueError(f"artifact path {path!r} must stay inside the run's folder")
