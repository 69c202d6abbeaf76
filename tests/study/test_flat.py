"""The driver's work for a trial does not grow with the trials before it: it is counted, not timed."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy import event
from sqlalchemy.engine import CursorResult, Engine

from archsearch.archive import codec, tally
from archsearch.archive.databases import default_url, opened
from archsearch.archive.store import StudyStore
from archsearch.report.analysis import Point
from archsearch.report.picture import draw_complexity
from archsearch.space.registry import find_space
from archsearch.strategy.fidelities import median
from archsearch.strategy.samplers import tpe
from archsearch.study.catalogue import list_studies, load_result
from archsearch.study.recorder import StudyRecorder
from archsearch.tracking import mlflow_store
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import (
    DatasetRecord,
    Ending,
    NetworkRecord,
    StudyRecord,
    TrialRecord,
)
from tests.bench import Bench

TRIALS = 36
EARLY, LATE = 12, 26
DATASET = DatasetRecord(
    name="digits", source="digits", digest="ab" * 32, input=(32, 32, 3), classes=10
)


@pytest.fixture
def bench(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        yield Bench(
            tmp_path, trials=TRIALS, storage=storage, space=find_space("vgg"), seeds=1, epochs=4
        )


def counted(bench: Bench, counts: Counter[str]) -> dict[int, Counter[str]]:
    """Run a search and return what was counted by the end of each trial."""
    found: dict[int, Counter[str]] = {}
    original = StudyRecorder.end

    def end(self, order, trial, outcome, *, settled):
        original(self, order, trial, outcome, settled=settled)
        found[len(found)] = Counter(counts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StudyRecorder, "end", end)
        bench.run(finals=False)
    return found


def per_trial(found: dict[int, Counter[str]], name: str) -> tuple[float, float]:
    """Return how often something was done for a trial, early and late in a search."""
    width = 8
    return tuple(  # type: ignore[return-value]
        (found[at + width][name] - found[at][name]) / width for at in (EARLY, LATE)
    )


def test_a_trial_asks_the_storage_no_more_the_more_there_are(bench: Bench):
    counts: Counter[str] = Counter()

    def note(connection, cursor, statement, *rest) -> None:
        counts[statement.split()[0]] += 1

    event.listen(Engine, "before_cursor_execute", note)
    try:
        found = counted(bench, counts)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    for kind in ("SELECT", "INSERT", "UPDATE"):
        early, late = per_trial(found, kind)
        assert early > 0
        assert late <= early + 2, kind  # a trial that is cut short needs fewer


def test_what_was_made_of_a_trial_is_not_made_again(bench: Bench, monkeypatch):
    counts: Counter[str] = Counter()

    def count(module, name: str) -> None:
        original = getattr(module, name)

        def call(*values, **named):
            counts[name] += 1
            return original(*values, **named)

        monkeypatch.setattr(module, name, call)

    count(tpe, "_frozen")
    count(median, "_frozen")
    count(codec, "first_training")  # reading all that the storage holds
    bench.seed = 3
    found = counted(bench, counts)
    early, late = per_trial(found, "_frozen")
    # Once as it is new, once as its results may be known, and once as a peer of others; those that may not
    # be known yet are looked at anew by every decision in the window.
    assert 0 < late <= early + 1 <= 12
    assert counts["first_training"] == 0


@pytest.fixture
def asked(monkeypatch) -> Counter[str]:
    """Count what MLflow's store is asked, whatever it asks itself for that."""
    counts: Counter[str] = Counter()
    within: list[str] = []

    def count(name: str) -> None:
        original = getattr(SqlAlchemyStore, name)

        def call(*values, **named):
            if not within:
                counts[name] += 1
            within.append(name)
            try:
                return original(*values, **named)
            finally:
                within.pop()

        monkeypatch.setattr(SqlAlchemyStore, name, call)

    for name, method in list(vars(SqlAlchemyStore).items()):
        if callable(method) and not name.startswith("_"):
            count(name)
    count("search_runs")
    return counts


def trained(tracker: MlflowTracker, number: int) -> None:
    """Tell of a network and its one training of four epochs, as a study does."""
    key = f"trial-{number:04d}"
    files, knobs, tags = {"graph.json": "{}"}, {"depth": 3}, {"graph": f"{number:08x}"}
    network = NetworkRecord(
        key=key, label=key, role="candidate", knobs=knobs, tags=tags, artifacts=files
    )
    tracker.network(network)
    tracker.start_trial(
        TrialRecord(
            key=key, network=key, label=key, knobs=knobs, metrics={"flops": 7.0}, tags=tags,
            artifacts=files,
        )
    )  # fmt: skip
    for epoch in range(1, 5):
        tracker.epoch(key, epoch, {"loss": 1 / epoch, "val_accuracy": epoch / 10})
    tracker.end_trial(key, Ending(status="complete", metrics={"val_accuracy": 0.4, "train_s": 3.0}))
    tracker.network(replace(network, status="complete", metrics={"val_accuracy": 0.4}))


def test_a_training_takes_nine_requests_to_mlflow(
    tmp_path: Path, empty_store: Path, asked: Counter[str], monkeypatch
):
    """Two runs with their images, figures once for each but for the network's params, two ends."""
    monkeypatch.setattr(mlflow_store, "DRAWN", 0)
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    with MlflowTracker(tmp_path, clock=lambda: 0.0) as tracker:
        tracker.start_study(StudyRecord(name="s", space="toy", budget="1M", dataset=DATASET))
        trained(tracker, 0)
        assert tracker.flush(600)
        asked.clear()
        for number in range(1, 5):
            trained(tracker, number)
        assert tracker.flush(600)
        told = {name: count / 4 for name, count in asked.items()}
        assert told == {"create_run": 2, "log_inputs": 2, "log_batch": 3, "update_run_info": 2}
        asked.clear()
        for number in range(1, 5):  # what is told of a network once more, as it stands, takes none
            key = f"trial-{number:04d}"
            tracker.network(
                NetworkRecord(
                    key=key, label=key, role="candidate", status="complete", knobs={"depth": 3},
                    tags={"graph": f"{number:08x}"}, metrics={"val_accuracy": 0.4},
                )
            )  # fmt: skip
        assert tracker.flush(600)
        assert asked == {}
        tracker.end_study(Ending(status="complete"))


def test_a_training_that_mlflow_has_takes_no_request_and_no_file(
    tmp_path: Path, empty_store: Path, asked: Counter[str]
):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    record = StudyRecord(name="s", space="toy", budget="1M", dataset=DATASET)
    dead = MlflowTracker(tmp_path)
    dead.start_study(record)
    for number in range(6):
        trained(dead, number)
    assert dead.flush(600)

    def no_epochs():
        raise AssertionError("the epochs of what is kept are asked for")

    with MlflowTracker(tmp_path) as tracker:
        tracker.start_study(record)
        assert tracker.flush(600)
        assert asked["search_runs"] <= 4  # for the study, for what still ran, by both processes
        asked.clear()
        for number in range(6):
            key = f"trial-{number:04d}"
            tracker.network(
                NetworkRecord(key=key, label=key, role="candidate", status="complete",
                              knobs={"depth": 3}, tags={"graph": f"{number:08x}"})
            )  # fmt: skip
            metrics = {"val_accuracy": 0.4, "train_s": 3.0}
            trial = TrialRecord(key=key, network=key, label=key)
            tracker.recall(trial, Ending(status="complete", metrics=metrics), no_epochs)
        assert tracker.flush(600)
        assert asked == {"search_runs": 1, "set_experiment_tag": 1}  # one page, and its columns
        assert tracker.close(600) is None


def test_reading_a_study_asks_a_fixed_number_of_questions(bench: Bench):
    counts: Counter[str] = Counter()
    bench.run(finals=False)

    def note(connection, cursor, statement, *rest) -> None:
        counts["asked"] += 1

    event.listen(Engine, "before_cursor_execute", note)
    try:
        with opened(default_url(bench.home)) as storage:
            assert len(StudyStore.open(storage, "s")) == TRIALS
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert counts["asked"] < 40


def test_listing_a_study_reads_none_of_its_trials(bench: Bench, tmp_path: Path, monkeypatch):
    small = tmp_path / "small"
    with opened(default_url(small)) as storage:
        Bench(small, trials=6, storage=storage).run(finals=False)
    bench.run(finals=False)
    rows: Counter[Path] = Counter()
    fetch = CursorResult._fetchall_impl
    summaries = {}
    for home in (small, bench.home):

        def fetched(self, home: Path = home):
            found = fetch(self)
            rows[home] += len(found)
            return found

        with monkeypatch.context() as patch:
            patch.setattr(CursorResult, "_fetchall_impl", fetched)
            patch.setattr(tally, "StudyStore", None)
            (summaries[home],) = list_studies(home=home)
    # By state: there may be some that were cut short in the one, and none in the other.
    assert abs(rows[small] - rows[bench.home]) <= 2 < rows[small]
    summary = summaries[bench.home]
    assert (summary.trials_done, summary.status) == (TRIALS, "interrupted")
    assert summary.best_val == load_result("s", home=bench.home).rows[0].val_accuracy


def test_a_report_draws_all_its_trials_at_once(tmp_path: Path, monkeypatch):
    drawn = []
    scatter = Axes.scatter
    monkeypatch.setattr(Axes, "scatter", lambda *a, **k: drawn.append(a) or scatter(*a, **k))
    found = [
        Point(
            name=str(n), label=str(n), origin="search", flops=10**6 + n, params=10**5 + n, accuracy=n / 1000,
            sd=None, seeds=0, winner=not n,
        )
        for n in range(500)
    ]  # fmt: skip
    draw_complexity(found, tmp_path / "picture.png", title="many")
    assert len(drawn) <= 4  # the bubbles, and the legend's
