"""The driver's work for a trial does not grow with the trials before it: it is counted, not timed."""

import shutil
from collections import Counter
from pathlib import Path

import pytest
from matplotlib.axes import Axes
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
from archsearch.tracking.mlflow_store import EpochPoint, MlflowStore
from archsearch.tracking.records import Ending, StudyRecord, TrialRecord
from tests.bench import Bench

TRIALS = 36
EARLY, LATE = 12, 26


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


def test_tracking_a_trial_asks_mlflow_no_more_the_more_there_are(tmp_path: Path, empty_store: Path):
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = MlflowStore(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    store.start_study(StudyRecord(name="s", space="toy", budget="1M"), 0)
    counts: Counter[str] = Counter()
    found = []

    def note(connection, cursor, statement, *rest) -> None:
        counts["asked"] += 1

    event.listen(Engine, "before_cursor_execute", note)
    try:
        for number in range(12):
            key, before = f"trial-{number:04d}", counts["asked"]
            store.start_trial(TrialRecord(key=key, label=key, role="candidate"), 0)
            store.epochs([EpochPoint(key=key, step=1, at_ms=1, metrics={"val_accuracy": 0.5})])
            store.end_trial(key, Ending(status="complete", metrics={"val_accuracy": 0.5}), 2)
            found.append(counts["asked"] - before)
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    assert found[-1] <= found[2]


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
