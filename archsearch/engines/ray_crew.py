"""Workers on a Ray cluster and what they have under way; why one is lost, and what becomes of its job."""

import time
from dataclasses import dataclass, field
from typing import Any

from ray.exceptions import ActorUnavailableError, RayError

from archsearch.engines.ray_places import Place
from archsearch.engines.shared import LOSSES
from archsearch.errors import MachineError, one_line
from archsearch.training.job import Job, Outcome


@dataclass(slots=True)
class Task:
    """A job, and what became of the workers that have had it."""

    job: Job
    lost: int = 0
    why: str = ""
    reported: bool = False
    stopping: bool = False


@dataclass(slots=True, eq=False)
class Crew:
    """The workers of a place, if there are any now: an actor, which may wait for a node."""

    place: Place
    actor: Any = None
    node: str = ""
    ready: bool = False
    listening: bool = False
    failures: int = 0
    idle_s: float = field(default_factory=time.monotonic)
    tasks: dict[str, Task] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        """Whether it can take a job."""
        return self.ready and len(self.tasks) < len(self.place.setups)


def after_loss(task: Task, why: str) -> Outcome | None:
    """Return how a job ends whose worker was lost; None: another one goes on with it.

    One that has reported and keeps no checkpoint would report other epochs once more.
    """
    task.lost += 1
    task.why = why
    key = task.job.key
    if task.stopping:  # it was to end there anyway
        return Outcome(key=key, status="pruned", reason=why)
    if task.lost < LOSSES and (task.job.checkpoint or not task.reported):
        return None
    times = f" ({task.lost} times)" if task.lost > 1 else ""
    return Outcome(key=key, status="failed", reason=why + times)


def why_lost(error: Exception) -> str:
    """Return in one line why an actor is of no use any more."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return str(cause) if isinstance(cause, MachineError) else one_line(cause)
    if not isinstance(error, RayError):
        return str(error) if isinstance(error, MachineError) else one_line(error)
    if isinstance(error, ActorUnavailableError):
        return "it does not answer"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].partition(" Some common causes")[0][:300] if lines else type(error).__name__
