"""A winner in MLflow's Model Registry, against a real store."""

import dataclasses
import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
import yaml

from archsearch.tracking import deletion
from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.deletion import delete_study
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import Ending, ModelRecord, StudyRecord, TrialRecord
from archsearch.tracking.registry import versions
from archsearch.tracking.registry.versions import registered_name


@pytest.fixture
def model(tmp_path: Path, trial: TrialRecord) -> ModelRecord:
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"a graph")
    return ModelRecord(
        training=trial.key,
        folder=folder,
        input=(2, 3, 1),
        classes=("cat", "dog"),
        example=np.arange(6, dtype=np.uint8).reshape(1, 2, 3, 1),
        tags={"network": "resnext 1-1-2 G2"},
    )


def _tell(home: Path, study: StudyRecord, trial: TrialRecord, *models: ModelRecord) -> list[str]:
    """Bring a study to its end, with these winners; return what was warned of."""
    warnings: list[str] = []
    with MlflowTracker(home, warn=warnings.append) as tracker:
        tracker.start_study(study)
        for key in (trial.key, "final-0001-seed1"):
            tracker.start_trial(dataclasses.replace(trial, key=key))
            tracker.end_trial(key, Ending(status="complete"))
        for model in models:
            tracker.register(model)
        tracker.end_study(Ending(status="complete"))
        assert tracker.close(600) is None
    return warnings


def test_a_winner_has_one_version_however_often_it_is_told(
    home: Path,
    study: StudyRecord,
    trial: TrialRecord,
    model: ModelRecord,
    kept: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert _tell(home, study, trial, model) == []
    assert _tell(home, study, trial, model) == []  # resumed, ended again
    client = open_client(store_uri(home))
    name = registered_name(study.name)
    [version] = client.search_model_versions(f"name = '{name}'")
    assert version.run_id == kept(home, study.name).trials[trial.key].info.run_id
    assert version.tags["network"] == "resnext 1-1-2 G2"
    assert client.get_model_version_by_alias(name, "champion").version == version.version
    folder = Path(unquote(urlsplit(client.get_model_version_download_uri(name, "1")).path))
    about = yaml.safe_load((folder / "MLmodel").read_text())
    [takes] = json.loads(about["signature"]["inputs"])
    assert takes["tensor-spec"] == {"dtype": "uint8", "shape": [-1, 2, 3, 1]}
    [answers, *_] = json.loads(about["signature"]["outputs"])
    assert (answers["name"], answers["tensor-spec"]["shape"]) == ("probabilities", [-1, 2])
    assert json.loads((folder / "input_example.json").read_text()) == model.example.tolist()
    assert about["metadata"]["classes"] == ["cat", "dog"]
    assert (folder / "artifacts" / "saved_model" / "saved_model.pb").read_bytes() == b"a graph"

    monkeypatch.setattr(versions, "_pack", lambda model, out: out.mkdir())  # 2 s of CPU time
    other = dataclasses.replace(model, training="final-0001-seed1")  # more time, another winner
    assert _tell(home, study, trial, other) == []
    assert len(client.search_model_versions(f"name = '{name}'")) == 2
    champion = client.get_model_version_by_alias(name, "champion")
    assert champion.tags["training"] == "final-0001-seed1"

    monkeypatch.setattr(deletion, "_purge", lambda *asked: None)  # as tests of deletion have it
    delete_study(home, study.name)
    assert client.search_registered_models() == []


def test_a_store_without_a_registry_costs_a_notice(
    home: Path,
    study: StudyRecord,
    trial: TrialRecord,
    model: ModelRecord,
    kept: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "nonsense://x")
    [warning] = _tell(home, study, trial, model)
    assert "does not take the winner for its Model Registry: " in warning
    assert "training goes on without it" in warning
    assert kept(home, study.name).parent.info.status == "FINISHED"


def test_a_name_is_the_studys_where_mlflow_takes_it() -> None:
    assert registered_name("resnext-20M digits_2.0") == "resnext-20M digits_2.0"
    changed = [registered_name(name) for name in ("a/b", "a:b", "a'b", "../a", "🙂", "a" * 300, "")]
    assert len(set(changed)) == len(changed)
    assert all(len(name) < 256 and not set(name) & set("/:'") for name in changed)
    assert changed[0].startswith("a-b-")
