"""Housekeeping against a real store."""

from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import UserError
from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.deletion import delete_study
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import Ending, StudyRecord, TrialRecord


@pytest.fixture
def tracked(home: Path, study: StudyRecord, trial: TrialRecord) -> Path:
    """A home with a study whose driver went away without a word."""
    tracker = MlflowTracker(home)
    tracker.start_study(study)
    tracker.start_trial(trial)
    assert tracker.close(60) is None
    return home


def test_a_deleted_study_leaves_nothing_and_frees_its_name(
    tracked: Path, kept: Any, study: StudyRecord
) -> None:
    other = MlflowTracker(tracked)
    other.start_study(StudyRecord(name="other", space="vgg", budget="4G", artifacts={"a": "b"}))
    other.end_study(Ending(status="complete"))
    assert other.close(60) is None
    assert len(list((tracked / "artifacts").iterdir())) == 2

    assert delete_study(tracked, study.name) == 2
    assert delete_study(tracked, study.name) == 0
    assert [f.name.split("-")[0] for f in (tracked / "artifacts").iterdir()] == ["other"]
    found = open_client(store_uri(tracked)).search_experiments(view_type=3)  # deleted ones too
    assert {experiment.name for experiment in found} == {"Default", "other"}

    again = MlflowTracker(tracked)
    again.start_study(study)
    again.end_study(Ending(status="complete"))
    assert again.close(60) is None
    assert kept(tracked, study.name).trials == {}


def test_what_others_keep_in_an_experiment_stays(home: Path, study: StudyRecord) -> None:
    client = open_client(store_uri(home))
    experiment = client.create_experiment(study.name, artifact_location=home.as_uri())
    client.create_run(experiment)
    tracker = MlflowTracker(home)
    tracker.start_study(study)
    tracker.end_study(Ending(status="complete"))
    assert tracker.close(60) is None
    assert delete_study(home, study.name) == 1
    assert len(client.search_runs([experiment])) == 1


def test_no_store_is_made_to_say_that_it_is_empty(tmp_path: Path) -> None:
    assert delete_study(tmp_path / "new", "a") == 0
    assert not (tmp_path / "new").exists()


def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="connection refused"):
        delete_study(tmp_path, "a", tracking_uri="http://127.0.0.1:9")
