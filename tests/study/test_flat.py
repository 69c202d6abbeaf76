"""The driver's work for a trial does not grow with the trials before it: it is counted, not timed."""

from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from archsearch.archive import codec
from archsearch.archive.databases import default_url, opened
from archsearch.archive.store import StudyStore
from archsearch.space.registry import find_space
from archsearch.strategy.fidelities import median
from archsearch.strategy.samplers import tpe
from archsearch.study.recorder import StudyRecorder
from tests.bench import Bench

TRIALS = 60
EARLY, LATE = 20, 50


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
    # Once as it is new, once as its results may be known, and once as a peer of others.
    assert 0 < late <= early + 1 <= 8
    assert counts["first_training"] == 0


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
