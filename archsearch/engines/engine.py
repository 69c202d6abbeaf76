"""The seam between a search and whatever trains its networks."""

from typing import Protocol

from archsearch.training.job import EpochReport, Job, Outcome

Event = EpochReport | Outcome


class Engine(Protocol):
    """Trains jobs, several at a time, and tells how they stand.

    Every submitted job gives exactly one Outcome, whatever happens to it: a worker that dies gives
    `failed` with the reason. Reports of a job come in order and before its outcome; between jobs
    there is no order. An engine is used from one thread.
    """

    @property
    def workers(self) -> int:
        """Jobs that train at the same time; more wait in the order they came."""
        ...

    def submit(self, job: Job) -> None:
        """Take a job.

        Raises:
            ValueError: a job of that key is under way.
        """
        ...

    def stop(self, key: str) -> None:
        """End a job after the epoch it is in (outcome `pruned`); nothing for one that has ended."""
        ...

    def events(self, timeout_s: float) -> list[Event]:
        """Wait up to `timeout_s` for at least one event; empty when there was none."""
        ...

    def close(self) -> None:
        """End the workers at once; outcomes that have not been told are lost."""
        ...
