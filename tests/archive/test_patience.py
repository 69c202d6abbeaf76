"""A storage whose database is away for a while; with a real PostgreSQL where there is one."""

import importlib.util
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from archsearch.archive.databases import in_memory, opened, study_names
from archsearch.archive.patience import Patience, patient
from archsearch.archive.store import StudyStore
from archsearch.errors import MachineError, UserError
from archsearch.study import driver
from archsearch.study.events import EpochDone
from tests.archive.test_store import FACTS
from tests.bench import Bench, table
from tests.postgres import NEEDED, Server, server
from tests.small_study import NAME, Small, settings_of

__all__ = ["server"]

pytestmark = pytest.mark.faults


def away(text: str = "server closed the connection unexpectedly") -> Exception:
    from optuna.exceptions import StorageInternalError

    error = StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = OperationalError("INSERT", {}, Exception(text))
    return error


class Away:
    """A storage that fails every so many calls, before or after it has done what it was asked."""

    def __init__(self, every: int, *, after: bool, text: str = "server closed") -> None:
        self.inner = in_memory()
        self.every, self.after, self.text = every, after, text
        self.calls = 0

    def __getattr__(self, name: str):
        method = getattr(self.inner, name)

        def call(*values, **named):
            self.calls += 1
            fails = self.calls % self.every == 0
            if fails and not self.after:
                raise away(self.text)
            found = method(*values, **named)
            if fails:
                raise away(self.text)
            return found

        return call


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def patience(said: list[str], watch: Watch | None = None, **more) -> Patience:
    watch = watch or Watch()
    settings = {"stopped": lambda: False, "tell": said.append, **more}
    return Patience(clock=watch, sleep=watch.sleep, **settings)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("every", [3, 5, 7])
def test_nothing_is_lost_nor_written_twice(tmp_path: Path, every: int, after: bool):
    expected = table(Bench(tmp_path / "calm").run())
    said: list[str] = []
    storage = patient(Away(every, after=after), patience(said))
    bench = Bench(tmp_path / "rough", storage=storage)
    assert table(bench.run()) == expected
    assert said[0].startswith("the study's storage does not answer (Exception: server closed")
    assert said[1] == "the study's storage answers again"


def test_it_is_waited_for_minutes_and_no_longer(tmp_path: Path):
    watch, said = Watch(), []
    storage = patient(Away(1, after=False), patience(said, watch))
    with pytest.raises(MachineError, match="the study's storage failed: Exception: server closed"):
        StudyStore.create(storage, "s", FACTS)
    assert 600 <= watch.now < 620
    assert len(said) == 1
    with pytest.raises(MachineError):  # given up once, it costs no minutes again
        StudyStore.create(storage, "s", FACTS)
    assert watch.now < 620


@pytest.mark.parametrize(
    "text", ["database or disk is full", "attempt to write a readonly database"]
)
def test_where_waiting_is_of_no_use_it_is_told_at_once(text: str):
    watch, said = Watch(), []
    storage = patient(Away(1, after=False, text=text), patience(said, watch))
    with pytest.raises(MachineError, match=text):
        StudyStore.create(storage, "s", FACTS)
    assert (watch.now, said) == (0, [])


def test_who_wants_to_stop_waits_no_more():
    watch, said = Watch(), []
    storage = patient(Away(1, after=False), patience(said, watch, stopped=lambda: True))
    with pytest.raises(MachineError):
        StudyStore.create(storage, "s", FACTS)
    assert watch.now == 0


def test_a_full_disk_under_the_storage_names_how_to_go_on(tmp_path: Path):
    """SQLite's own limit on pages: what it says is what it says of a full disk."""
    calm = Small(tmp_path / "calm").run(trials=14)
    world = Small(tmp_path / "home")

    def limit(dbapi, record) -> None:
        dbapi.execute("PRAGMA max_page_count = 30")

    event.listen(Engine, "connect", limit)
    try:
        with pytest.raises(MachineError, match="database or disk is full") as error:
            world.run(trials=14)
    finally:
        event.remove(Engine, "connect", limit)
    assert "`archsearch resume" in str(error.value)
    assert table(Small(world.home).resume()) == table(calm)


def test_a_driver_that_is_not_installed_is_named():
    if importlib.util.find_spec("psycopg2") is not None:
        pytest.skip("it is installed")
    with pytest.raises(UserError) as error, opened("postgresql+psycopg2://me:secret@localhost/x"):
        pass
    assert "psycopg2 is not installed; pip install 'archsearch[postgres]'" in str(error.value)
    assert "secret" not in str(error.value)


# --- a real server ----------------------------------------------------------------------------------


@NEEDED
def test_a_server_that_restarts_costs_nothing(tmp_path: Path, server: Server):
    calm = Small(tmp_path / "calm").run()
    world = Small(tmp_path / "home")
    restarts = []

    def restart() -> None:
        server.stop()
        time.sleep(1.0)
        server.start()

    def on_event(told) -> None:
        world.events.append(told)
        if isinstance(told, EpochDone) and not restarts:
            restarts.append(threading.Thread(target=restart))
            restarts[-1].start()
            time.sleep(0.5)  # it is down by the next write

    asked = settings_of(world.home, storage=server.url)
    result = driver.run(asked, on_event=on_event, services=world.services())
    for thread in restarts:
        thread.join()
    assert len(restarts) == 1
    assert result.study == NAME
    assert table(result) == table(calm)
    assert any("does not answer" in text for text in world.said)
    with opened(server.url) as storage:
        assert study_names(storage) == [NAME]
    assert not (world.home / "optuna.db").exists()
