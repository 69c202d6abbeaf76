"""A transaction that is committed and whose answer is lost: it is tried again, and nothing is there twice."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.engine.default import DefaultDialect

from archsearch.archive.databases import default_url, opened
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.patience import Patience, patient
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError
from tests.archive.test_store import FACTS, KNOBS, order, outcome
from tests.bench import Bench, table

pytestmark = pytest.mark.faults


class Losing:
    """Commits what is written to tables of trials, and loses the answer of every so many."""

    def __init__(self, every: int) -> None:
        self.every = every
        self.commits = self.lost = 0

    def committed(self) -> None:
        """Note that something was; raise where its answer is lost."""
        self.commits += 1
        if self.commits % self.every == 0:
            self.lost += 1
            raise sqlite3.OperationalError("server closed the connection")


@pytest.fixture
def losing(monkeypatch) -> Iterator[Losing]:
    """Have answers of commits lost once `every` is set."""
    found, commit, changed = Losing(10**9), DefaultDialect.do_commit, []

    def note(connection, cursor, statement, *rest) -> None:
        if statement.startswith(("INSERT", "UPDATE")):
            changed.append(statement)

    def do_commit(dialect, connection) -> None:
        commit(dialect, connection)
        if changed:  # what only reads loses nothing
            del changed[:]
            found.committed()

    monkeypatch.setattr(DefaultDialect, "do_commit", do_commit)
    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


def waiting(said: list[str], naps: list[float]) -> Patience:
    """Return patience that does not sleep."""
    return Patience(
        clock=lambda: sum(naps), sleep=naps.append, stopped=lambda: False, tell=said.append
    )


def tell(store: StudyStore) -> None:
    """Say one of each thing, two trials of them together."""
    final = JobKey("final", trial_name(0), seed=1)
    with store.together():
        store.begin_trial(order(0), KNOBS, skipped=3)
        store.begin_trial(order(1), KNOBS)
        store.report(0, order(0), 1, 0.25)
    with store.together():
        store.report(0, order(0), 1, 0.5)
        store.end_training(0, order(0), outcome(order(0).key))
        store.begin_training(0, order(0, rung=1))
        store.end_training(0, order(0, rung=1), outcome(order(0, rung=1).key, val_accuracy=0.75))
        store.finish(0)
        store.begin_trial(order(2), KNOBS)
    store.move(1, "waiting")
    store.keep_final(final, outcome(final, test_accuracy=0.4))


def rows(path: Path) -> dict[str, int]:
    """Count the rows of a database by table."""
    with sqlite3.connect(path) as found:
        tables = [
            name for (name,) in found.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        return {
            name: found.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables
        }


@pytest.mark.parametrize("every", [2, 3, 4])
def test_what_is_tried_again_is_there_once(tmp_path: Path, losing: Losing, every: int):
    said: list[str] = []
    with opened(default_url(tmp_path / "calm")) as storage:
        tell(calm := StudyStore.create(storage, "s", FACTS))
    with opened(default_url(tmp_path / "home"), patience=waiting(said, [])) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        losing.every, losing.commits = every, 0
        tell(store)
        losing.every = 10**9
        kept = StudyStore.open(storage, "s")
    assert losing.lost > 0
    assert said[0].startswith("the study's storage does not answer (")
    assert said[1] == "the study's storage answers again"
    assert kept.trials == store.trials == calm.trials
    assert kept.finals == calm.finals
    assert rows(tmp_path / "home" / "optuna.db") == rows(tmp_path / "calm" / "optuna.db")


def test_someone_elses_trial_is_told_from_ones_own(tmp_path: Path, losing: Losing):
    """Only what is tried again may be there already."""
    with opened(default_url(tmp_path), patience=waiting([], [])) as storage:
        mine, theirs = StudyStore.create(storage, "s", FACTS), StudyStore.open(storage, "s")
        theirs.begin_trial(order(0), KNOBS)
        with pytest.raises(ArchsearchError, match="someone else added trial 0"):
            mine.begin_trial(order(0), KNOBS)
        assert len(StudyStore.open(storage, "s")) == 1


def test_a_study_whose_answers_get_lost_comes_to_the_same(tmp_path: Path, losing: Losing):
    said: list[str] = []
    asked = {"trials": 6, "seeds": 1, "epochs": 2}
    with opened(default_url(tmp_path / "calm")) as storage:
        calm = table(Bench(tmp_path / "calm", storage=storage, **asked).run())
    with opened(default_url(tmp_path / "home")) as inner:
        storage = patient(inner, waiting(said, []))
        losing.every = 3
        found = table(Bench(tmp_path / "home", storage=storage, **asked).run())
    assert losing.lost > 5
    assert found == calm
