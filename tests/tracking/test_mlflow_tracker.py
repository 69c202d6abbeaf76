"""The MLflow tracker against a real store: what is MLflow's own (see test_trackers for the rest)."""

import dataclasses
import math
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from archsearch.tracking import mlflow_tracker as tracker_module
from archsearch.tracking import run_writer
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import Ending, StudyRecord, TrialRecord

EPOCH = {"loss": 1.0, "accuracy": 0.5, "val_loss": 1.1, "val_accuracy": 0.4}


def test_a_study_in_mlflow(home: Path, kept: Any, study: StudyRecord, trial: TrialRecord) -> None:
    warnings: list[str] = []
    with MlflowTracker(home, warn=warnings.append) as tracker:
        tracker.start_study(study)
        assert tracker.flush(600)
        assert tracker.experiment_id
        tracker.start_trial(trial)
        for epoch in (1, 2, 3):
            tracker.epoch(trial.key, epoch, {**EPOCH, "val_accuracy": epoch / 7, "loss": math.nan})
        tracker.end_trial(
            trial.key, Ending(status="complete", metrics={"val_accuracy": 3 / 7, "train_s": 12})
        )
        bad = dataclasses.replace(trial, key="b", role="baseline", knobs={"we/ird\n*knob": None})
        tracker.start_trial(bad)
        tracker.end_trial("b", Ending(status="failed", tags={"reason": "worker died:\nsignal 9"}))
        tracker.start_trial(dataclasses.replace(trial, key="final", role="finalist"))
        tracker.end_study(
            Ending(status="complete", metrics={"best": 0.5}), description="| the table |"
        )
        assert tracker.close() is None
    assert warnings == []

    found = kept(home, study.name)
    assert found.experiment.tags["mlflow.note.content"] == "| the table |"
    assert "metrics.`flops`" in found.experiment.tags["mlflow.sharedViewState.archsearch"]
    assert "params.`depth_1`" in found.experiment.tags["mlflow.sharedViewState.archsearch"]
    parent = found.parent
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"epochs": "3", "seed": "0"}
    assert parent.data.tags["mlflow.note.content"] == "| the table |"
    assert parent.data.tags["study"] == study.name
    assert parent.data.tags["dataset_digest"] == "ab" * 32
    assert "\n" not in parent.info.run_name

    run = found.trials[trial.key]
    assert run.info.status == "FINISHED"
    assert run.info.run_name == trial.label
    assert run.data.params == {"depth_1": "3", "cardinality": "8"}
    assert run.data.metrics["flops"] == 19_800_001
    tags = {"role", "space", "budget", "status", "graph_hash"}
    assert {name: run.data.tags[name] for name in tags} == {
        "role": "candidate",
        "space": "resnext",
        "budget": "20M",
        "status": "complete",
        "graph_hash": "00ff",
    }
    assert found.history(trial.key, "val_accuracy") == [(1, 0.142857), (2, 0.285714), (3, 0.428571)]
    assert found.history(trial.key, "train_s") == [(0, 12)]
    assert found.artifact(trial.key, "tables/layers.txt") == b"conv1"
    assert found.artifact(trial.key, "learning_curves.png").startswith(b"\x89PNG")
    dataset = run.inputs.dataset_inputs[0]
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits", "ab" * 8)
    assert "ab" * 32 in dataset.dataset.profile

    assert found.trials["b"].info.status == "FAILED"
    assert found.trials["b"].data.params == {"we/ird__knob": "None"}
    assert found.trials["final"].info.status == "KILLED"  # the study ended before it did
    assert found.trials["final"].data.tags["status"] == "interrupted"


def test_a_study_goes_on_after_sigkill(
    home: Path, kept: Any, study: StudyRecord, trial: TrialRecord
) -> None:
    code = f"""
        import dataclasses, time
        from pathlib import Path
        from archsearch.tracking.mlflow_tracker import MlflowTracker
        from archsearch.tracking.records import Ending, StudyRecord, TrialRecord
        tracker = MlflowTracker(Path({str(home)!r}))
        tracker.start_study(StudyRecord(name={study.name!r}, space="resnext", budget="20M"))
        for key in ("done", "cut"):
            tracker.start_trial(TrialRecord(key=key, label=key, knobs={{"G": 8}}))
            tracker.epoch(key, 1, {{"val_accuracy": 0.1}})
            tracker.epoch(key, 2, {{"val_accuracy": 0.2}})
            if key == "done":
                tracker.end_trial(key, Ending(status="complete"))
        tracker.flush()
        print("ready", flush=True)
        time.sleep(600)
    """
    driver = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True
    )
    assert driver.stdout is not None
    with driver.stdout:
        assert driver.stdout.readline() == "ready\n"
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    before = kept(home, study.name)
    assert before.parent.info.status == "RUNNING"
    assert before.trials["cut"].info.status == "RUNNING"

    with MlflowTracker(home) as tracker:
        tracker.start_study(study)
        assert tracker.flush(600)
        assert kept(home, study.name).trials["cut"].info.status == "KILLED"
        # Epoch 2 comes again from the checkpoint of epoch 1.
        tracker.start_trial(dataclasses.replace(trial, key="cut", knobs={"G": 16}))
        for epoch in (2, 3):
            tracker.epoch("cut", epoch, {"val_accuracy": epoch / 10})
        tracker.end_trial("cut", Ending(status="complete", metrics={"val_accuracy": 0.3}))
        tracker.end_study(Ending(status="complete"))
        assert tracker.close(60) is None
    found = kept(home, study.name)
    assert set(found.trials) == {"done", "cut"}
    assert found.parent.info.run_id == before.parent.info.run_id
    assert found.history("cut", "val_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]
    assert found.history("done", "val_accuracy") == [(1, 0.1), (2, 0.2)]
    assert found.trials["cut"].data.params["G"] == "8"  # a param is never rewritten
    for run in [found.parent, *found.trials.values()]:
        assert run.info.status == "FINISHED"
        assert run.data.tags["status"] == "complete"


def test_what_is_told_again_after_a_resume_changes_nothing(
    home: Path, kept: Any, study: StudyRecord, trial: TrialRecord
) -> None:
    """A driver that resumes tells of every trial again: its tracker may have lost something."""

    def tell(epochs: int, metrics: dict[str, float]) -> Any:
        with MlflowTracker(home) as tracker:
            tracker.start_study(study)
            tracker.start_trial(trial)
            for epoch in range(1, epochs + 1):
                tracker.epoch(trial.key, epoch, {**EPOCH, "images_per_s": 100.0 + epoch})
            tracker.end_trial(trial.key, Ending(status="complete", metrics=metrics))
            tracker.add_metrics(trial.key, {"latency_ms": 4.5})
            tracker.end_study(Ending(status="complete"))
            assert tracker.close(60) is None
        found = kept(home, study.name)
        names = sorted(found.trials[trial.key].data.metrics)
        return found, {name: found.history(trial.key, name) for name in names}

    final = {"images_per_s": 101.5, "train_s": 3.0}
    before, first = tell(2, final)
    assert first["images_per_s"] == [(1, 101.0), (2, 101.5), (2, 102.0)]
    assert before.trials[trial.key].data.metrics["images_per_s"] == 101.5  # the last word counts
    assert first["latency_ms"] == [(0, 4.5)]
    after, second = tell(2, final)
    assert second == first
    assert after.trials[trial.key].info.end_time == before.trials[trial.key].info.end_time
    assert after.trials[trial.key].info.status == "FINISHED"
    # What was lost then is written now.
    longer, third = tell(3, {"train_s": 3.0})
    assert third["val_accuracy"] == [*first["val_accuracy"], (3, 0.4)]
    assert third["train_s"] == [(0, 3.0)]
    assert third["flops"] == [(0, 19_800_001)]
    assert longer.trials[trial.key].info.status == "FINISHED"
    assert longer.trials[trial.key].data.tags["status"] == "complete"


def test_two_studies_in_one_new_home(tmp_path: Path, kept: Any, study: StudyRecord) -> None:
    """The tables are made once, whoever comes first."""
    home = tmp_path / "new"
    trackers = [MlflowTracker(home), MlflowTracker(home)]
    for number, tracker in enumerate(trackers):
        tracker.start_study(dataclasses.replace(study, name=f"study {number}"))
        tracker.end_study(Ending(status="complete"))
    assert [tracker.close(90) for tracker in trackers] == [None, None]
    assert kept(home, "study 0").parent.info.status == "FINISHED"
    assert kept(home, "study 1").parent.info.status == "FINISHED"


def test_training_never_waits_for_the_store(
    home: Path, study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    class Slow(tracker_module.MlflowStore):
        def start_study(self, *args: Any) -> None:
            release.wait()
            super().start_study(*args)

    monkeypatch.setattr(tracker_module, "MlflowStore", Slow)
    tracker = MlflowTracker(home)
    # The store takes nothing until it is released: whoever waited for it would wait here for ever.
    tracker.start_study(study)
    tracker.start_trial(TrialRecord(key="a", label="a"))
    for epoch in range(1000):
        tracker.epoch("a", epoch, EPOCH)
    assert tracker.experiment_id == ""
    assert not tracker.flush(0.05)
    release.set()
    assert tracker.flush(600)
    assert tracker.close() is None


def test_epochs_are_sent_together(
    home: Path, study: StudyRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[int] = []

    class Counting(tracker_module.MlflowStore):
        def epochs(self, points: Any) -> None:
            requests.append(len(points))
            super().epochs(points)

    monkeypatch.setattr(tracker_module, "MlflowStore", Counting)
    with MlflowTracker(home) as tracker:
        tracker.start_study(study)
        tracker.start_trial(TrialRecord(key="a", label="a"))
        for epoch in range(1, 201):
            tracker.epoch("a", epoch, EPOCH)
        assert tracker.flush(600)
    assert sum(requests) == 200
    assert len(requests) <= 3


def test_an_update_that_is_refused_costs_only_itself(
    home: Path, kept: Any, study: StudyRecord, trial: TrialRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Picky(tracker_module.MlflowStore):
        def epochs(self, points: Any) -> None:
            raise ZeroDivisionError("a bug of ours")

    monkeypatch.setattr(tracker_module, "MlflowStore", Picky)
    warnings: list[str] = []
    tracker = MlflowTracker(home, warn=warnings.append)
    tracker.start_study(study)
    tracker.start_trial(trial)
    for epoch in (1, 2):
        tracker.epoch(trial.key, epoch, EPOCH)
        assert tracker.flush(600)
    tracker.end_trial(trial.key, Ending(status="complete"))
    problem = tracker.close(60)
    assert len(warnings) == 1
    assert "what trial-0000 begins with: a bug of ours; training goes on" in warnings[0]
    assert problem is not None
    assert "lacks 3 updates of this study (first: what trial-0000 begins with)" in problem
    assert kept(home, study.name).trials[trial.key].info.status == "FINISHED"


@pytest.mark.parametrize("flushed", [True, False])
def test_of_what_is_sent_together_one_that_is_refused_takes_no_other_with_it(
    home: Path,
    kept: Any,
    study: StudyRecord,
    trial: TrialRecord,
    monkeypatch: pytest.MonkeyPatch,
    flushed: bool,
) -> None:
    """Its epochs alone, or with its end."""
    send = run_writer.RunWriter.send

    def picky(self: Any, run_id: str, rows: Any = (), **more: Any) -> None:
        rows = list(rows)
        if any("odd" in row for row, *_ in rows):
            raise ZeroDivisionError("a bug of ours")
        send(self, run_id, rows, **more)

    monkeypatch.setattr(run_writer.RunWriter, "send", picky)
    tracker = MlflowTracker(home, warn=lambda text: None, clock=lambda: 0.0)
    tracker.start_study(study)
    tracker.start_trial(trial)
    for epoch, figures in ((1, EPOCH), (2, {**EPOCH, "odd": 1.0}), (3, EPOCH)):
        tracker.epoch(trial.key, epoch, figures)
    assert not flushed or tracker.flush(600)
    tracker.end_trial(trial.key, Ending(status="complete", metrics={"train_s": 3.0}))
    problem = tracker.close(60)
    assert problem is not None
    assert "lacks 1 update of this study (first: epoch 2 of trial-0000)" in problem
    found = kept(home, study.name)
    run = found.trials[trial.key]
    assert found.history(trial.key, "val_accuracy") == [(1, 0.4), (3, 0.4)]
    assert (run.info.status, run.data.metrics["train_s"]) == ("FINISHED", 3.0)
    assert run.data.params["depth_1"] == "3"


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("http://127.0.0.1:9", "connection refused"),
        ("nonsense://x", "unsupported URI"),
        ("sqlite:////dev/null/x.db", "Not a directory"),
        ("sqlite:///{here}/file", "not a database"),
    ],
)
def test_a_store_that_cannot_be_used_is_told_once(
    tmp_path: Path, study: StudyRecord, uri: str, why: str
) -> None:
    (tmp_path / "file").write_text("not a database, but long enough to look like one " * 20)
    warnings: list[str] = []
    told = threading.Event()

    def warn(text: str) -> None:
        warnings.append(text)
        told.set()

    tracker = MlflowTracker(tmp_path, tracking_uri=uri.format(here=tmp_path), warn=warn)
    tracker.start_study(study)
    assert told.wait(120)
    problem = tracker.close(3)
    assert problem is not None
    assert "lacks 1 update of" in problem
    assert len(warnings) == 1
    assert why in warnings[0]


def test_the_driver_does_not_import_mlflow() -> None:
    """It takes 1 s and more, and `archsearch --help` must not wait for it."""
    code = "import sys; from archsearch.tracking import kinds, server; "
    code += "print([m for m in ('mlflow', 'matplotlib', 'pandas') "
    out = subprocess.run(
        [sys.executable, "-c", code + "if m in sys.modules])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout == "[]\n"


def test_nothing_is_printed(tmp_path: Path) -> None:
    """Stdout may carry JSON, and MLflow's migrations and tracebacks are of no interest to anyone."""
    code = f"""
        import sqlite3
        from pathlib import Path
        from archsearch.tracking.connect import open_client, reason, store_uri
        from archsearch.tracking.mlflow_tracker import MlflowTracker
        from archsearch.tracking.records import Ending, StudyRecord, TrialRecord
        home = Path({str(tmp_path / "new")!r})
        with MlflowTracker(home) as tracker:
            tracker.start_study(StudyRecord(name="quiet", space="vgg", budget="20M"))
            tracker.start_trial(TrialRecord(key="a", label="a"))
            tracker.epoch("a", 1, {{"loss": 1.0}})
            tracker.end_trial("a", Ending(status="complete"))
            tracker.end_study(Ending(status="complete"))
            assert tracker.close(90) is None
        client = open_client(store_uri(home))
        with sqlite3.connect(home / "mlflow.db") as database:
            database.execute("drop table experiments")
        try:
            client.create_experiment("x")
        except Exception as error:
            print(reason(error))
    """
    out = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False
    )
    assert (out.returncode, out.stderr) == (0, "")
    assert out.stdout == "no such table: experiments\n"
