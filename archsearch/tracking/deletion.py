"""A study's runs taken out of an MLflow store. Blocks; opens the store anew each time."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from archsearch.tracking import connect
from archsearch.tracking.registry.versions import forget
from archsearch.tracking.runs import PARENT, all_runs


def delete_study(home: Path, study: str, *, tracking_uri: str | None = None) -> int:
    """Remove a study's runs, so that its name is free again.

    In a home the runs, their artifacts and the registered model are gone for good. On a server the runs
    go to its trash, as `mlflow gc` empties it, and the model, for which there is no trash, stays. An
    experiment of that name that this project did not make keeps everything else that is in it.

    Returns:
        How many runs were removed.

    Raises:
        UserError: the store can't be used.
    """
    with _experiment(home, study, tracking_uri) as (client, experiment):
        if experiment is None:
            return 0
        runs = list(all_runs(client, experiment.experiment_id))
        own = [run for run in runs if run.data.tags.get("study") == study]
        for run in sorted(own, key=lambda run: PARENT not in run.data.tags):  # the parent last
            client.delete_run(run.info.run_id)
        uri = connect.store_uri(home, tracking_uri)
        if uri.startswith("sqlite:"):
            forget(client, study)
        if experiment.tags.get("archsearch.study") != study or len(own) < len(runs):
            return len(own)
        # MLflow keeps the name of a deleted experiment taken for ever.
        client.rename_experiment(
            experiment.experiment_id,
            f"{study[:400]} (deleted {time.strftime('%Y-%m-%d %H:%M:%S')})",
        )
        client.delete_experiment(experiment.experiment_id)
    if uri.startswith("sqlite:"):
        _purge(uri, experiment.experiment_id)
        _remove_artifacts(home, experiment.artifact_location)
    return len(own)


@contextlib.contextmanager
def _experiment(home: Path, study: str, tracking_uri: str | None) -> Iterator[tuple[Any, Any]]:
    """Yield a client and a study's experiment, None if there is none."""
    if not tracking_uri and not (home / "mlflow.db").exists():
        yield None, None  # nothing was ever tracked here: no store is made to say so
        return
    uri = connect.store_uri(home, tracking_uri)
    try:
        client = connect.open_client(uri)
        found = client.get_experiment_by_name(study)
        yield client, None if found is None or found.lifecycle_stage == "deleted" else found
    except Exception as error:
        raise connect.as_user_error(uri, error) from error


def _purge(uri: str, experiment_id: str) -> None:
    # What MLflow offers for this is its command; the store's own methods for it are private.
    command = [sys.executable, "-m", "mlflow", "gc", "--backend-store-uri", uri]
    subprocess.run(
        [*command, "--tracking-uri", uri, "--experiment-ids", experiment_id],
        env={**os.environ, **connect.quiet_environment()},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,  # what stays then is in the trash, out of sight
    )


def _remove_artifacts(home: Path, location: str) -> None:
    folder = Path(unquote(urlsplit(location).path)).resolve()
    # Never anything but a folder of the home's own artifacts, whatever the store says.
    if folder.parent == (home / "artifacts").resolve():
        shutil.rmtree(folder, ignore_errors=True)
