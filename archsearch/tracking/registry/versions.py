"""A study's winner in MLflow's Model Registry: one registered model a study, one version a winner."""

import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from archsearch.errors import ArchsearchError
from archsearch.tracking import connect
from archsearch.tracking.records import ModelRecord
from archsearch.tracking.run_names import one_line

CHAMPION: Final = "champion"
"""The alias of the winner's version: `models:/STUDY@champion` is always the last one."""
ARTIFACT: Final = "model"
"""Where the model lies among the files of its training's run."""
_MAX_NAME: Final = 200
_STUDY: Final = "study"
_TRAINING: Final = "training"


def registered_name(study: str) -> str:
    """Return the name of a study's registered model: the study's, if MLflow takes it as it is.

    Others lose what is no letter, digit, space, dot, dash or underscore and end in a digest of the whole, so
    that two studies never share one.
    """
    plain = re.sub(r"[^\w. -]+", "-", study).strip(" .-")[:_MAX_NAME]
    if plain == study:
        return study
    return f"{plain or 'study'}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"


def register(client: Any, study: str, model: ModelRecord, *, run_id: str) -> None:
    """Make a version of a study's registered model and call it champion; one of this training only once.

    Args:
        client: MLflow's.
        study: whose winner it is.
        model: the winner.
        run_id: of the training whose weights it holds.

    Raises:
        ArchsearchError: the model can't be packed.
        MlflowException: the store has no registry, or does not answer.
    """
    name = registered_name(study)
    known = _registered(client, name)
    if known is None:
        client.create_registered_model(
            name,
            tags={_STUDY: study},
            description=f"Winners of the archsearch study {one_line(study)}: "
            "uint8 images in, probabilities and classes out.",
        )
    elif known.tags.get(_STUDY) != study:
        raise ArchsearchError(f"a registered model {name!r} is there that is not this study's")
    version = _version_of(client, name, model.training, run_id)
    if version is None:
        with tempfile.TemporaryDirectory(prefix="archsearch-") as folder:
            packed = Path(folder) / ARTIFACT
            _pack(model, packed)
            client.log_artifacts(run_id, str(packed), ARTIFACT)
        made = client.create_model_version(
            name,
            f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT}",
            run_id,
            tags={**model.tags, _STUDY: study, _TRAINING: model.training},
        )
        version = made.version
    # By each telling: the winner may have been another one meanwhile.
    client.set_registered_model_alias(name, CHAMPION, version)


def forget(client: Any, study: str) -> None:
    """Remove a study's registered model with its versions, if there is one."""
    name = registered_name(study)
    known = _registered(client, name)
    if known is not None and known.tags.get(_STUDY) == study:
        client.delete_registered_model(name)


def _registered(client: Any, name: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _version_of(client: Any, name: str, training: str, run_id: str) -> str | None:
    """Return the version that holds a training's weights, if one does."""
    versions: Iterable[Any] = client.search_model_versions(f"name = '{name}'")
    for version in versions:
        if version.tags.get(_TRAINING) == training and version.run_id == run_id:
            return str(version.version)
    return None


def _pack(model: ModelRecord, out: Path) -> None:
    """Write the model as MLflow has it, in a process of its own: what MLflow imports for it is loud.

    Raises:
        ArchsearchError: it can't be written; says why.
    """
    asked = {**asdict(model), "folder": str(model.folder), "example": model.example.tolist()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "archsearch.tracking.registry.packing", str(out)],
        input=json.dumps(asked),
        env={**os.environ, **connect.quiet_environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ArchsearchError(f"the model can't be packed for MLflow: {one_line(said[-1])}")
