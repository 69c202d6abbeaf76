"""How runs are written in MLflow's terms: their names, figures, states and pages."""

import getpass
import math
import posixpath
import re
import time
from collections.abc import Iterable
from typing import Any

PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
LEVEL = "level"
"""The tag that says what a run is: `study`, `network` or `training`."""

# MLflow's own states. A pruned trial ended as planned; KILLED means that something cut it short.
_STATES = {
    "complete": "FINISHED",
    "pruned": "FINISHED",
    "failed": "FAILED",
    "interrupted": "KILLED",
}


def end_run(client: Any, run_id: str, status: str, at_ms: int | None = None) -> None:
    """Close a run as `complete`, `pruned`, `failed` or `interrupted`."""
    client.set_tag(run_id, "status", status)
    close_run(client, run_id, status, at_ms)


def close_run(client: Any, run_id: str, status: str, at_ms: int | None = None) -> None:
    """Close a run, whose tag `status` says it already."""
    client.set_terminated(run_id, _STATES[status], at_ms or int(time.time() * 1000))


def all_runs(client: Any, experiment_id: str) -> Iterable[Any]:
    """Return every run of an experiment.

    Study names never enter a query: they may hold quotes, and MLflow has no way to escape them.
    """
    return runs_where(client, experiment_id, "")


def runs_where(client: Any, experiment_id: str, query: str) -> Iterable[Any]:
    """Return the runs of an experiment for which MLflow finds a query true, a thousand a request."""
    token = None
    while True:
        page = client.search_runs(
            [experiment_id], filter_string=query, max_results=1000, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def plain_key(name: str) -> str:
    """Return a name as MLflow takes it for params, metrics and tags."""
    plain = re.sub(r"[^\w\-. :/]", "_", name, flags=re.ASCII)[:250] or "_"
    # MLflow reads these names as paths too, and refuses those that could be written otherwise.
    return plain if posixpath.normpath(plain) == plain.lstrip("/") else re.sub(r"[./]", "_", plain)


def figure(value: float) -> float:
    """Return six digits of what is not whole: the page shows every digit it gets, in narrow columns."""
    number = float(value)
    return number if number.is_integer() or not math.isfinite(number) else float(f"{number:.6g}")


def user() -> str:
    """Return the name of whoever runs this process."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "unknown"
