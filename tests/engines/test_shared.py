"""The engine without a server: workers that take jobs from a folder, come, go, and are lost."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.engines.engine import Machine
from archsearch.engines.pool import Beat, Parcel, Pool, Ticket
from archsearch.engines.pool_worker import serve
from archsearch.engines.shared import LOSSES, SHARED, SharedEngine
from archsearch.errors import UserError
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup
from tests.real_runs import CLI

pytestmark = pytest.mark.faults

MACHINE = Machine(cores=2, memory_bytes=10**9)
WORKER = """
import sys
sys.path.insert(0, {toys!r})
from pathlib import Path
import toy_workers
from archsearch.engines import pool, pool_worker
from archsearch.engines.engine import Machine
import signal
pool_worker.BEAT_S = 0.2
if __name__ == "__main__":
    worker = pool_worker.PoolWorker(
        pool=pool.Pool(Path(sys.argv[1])), machine=Machine(cores=2, memory_bytes=10**9),
        main=toy_workers.worker, name=sys.argv[2], tell=lambda text: print(text, flush=True),
        idle_s=float(sys.argv[3]) if len(sys.argv) > 3 else None,
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.leave())
    worker.run()
"""


def job(key: str, home: Path, *, epochs: int = 1000, graph: str = "ok", **more) -> Job:
    return Job(
        key=key,
        graph=graph,
        dataset=str(home / "data"),
        recipe=Recipe(),
        images=epochs,
        seed=0,
        **more,
    )


@contextmanager
def worker(home: Path, name: str, *more: str) -> Iterator[subprocess.Popen]:
    """A worker process of a pool, whose own processes train nothing."""
    script = home / f"{name}.py"
    home.mkdir(exist_ok=True)
    script.write_text(WORKER.format(toys=str(Path(__file__).parent)))
    with subprocess.Popen(
        [sys.executable, str(script), str(home), name, *more], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
                process.wait(60)


@contextmanager
def engine(home: Path, count: int = 1, **options) -> Iterator[SharedEngine]:
    opened = SharedEngine([WorkerSetup()] * count, pool=Pool(home), study="s", **options)
    try:
        yield opened
    finally:
        opened.close()


def until(opened: SharedEngine, wanted, patience_s: float = 90.0) -> list:
    """Listen until a message is as wanted; return all there were."""
    seen: list = []
    end = time.monotonic() + patience_s
    while not any(wanted(message) for message in seen):
        assert time.monotonic() < end, seen
        seen += opened.events(0.2)
    return seen


def reported(epoch: int):
    return lambda m: isinstance(m, EpochReport) and m.epoch >= epoch


def ended(message) -> bool:
    return isinstance(message, Outcome)


def left_in(pool: Pool) -> list[str]:
    folders = (pool.jobs, pool.taken, pool.said, pool.words)
    return [path.name for folder in folders for path in folder.iterdir()]


def test_a_worker_that_leaves_puts_back_what_another_one_goes_on_with(tmp_path: Path):
    (tmp_path / "studies" / "s").mkdir(parents=True)
    with engine(tmp_path) as opened:
        with worker(tmp_path, "one") as first:
            opened.submit(job("trial-0000", tmp_path, checkpoint=str(tmp_path / "studies" / "s")))
            until(opened, reported(2))
            first.terminate()
            first.wait(60)
        assert [ticket.key for ticket in opened._pool.waiting()] == ["trial-0000"]
        assert opened._pool.beats() == []
        with worker(tmp_path, "two"):
            seen = until(opened, lambda m: isinstance(m, WorkerLost))
            assert seen[-1] == WorkerLost(why="worker one has left", key="trial-0000")
            until(opened, reported(1))
            opened.stop("trial-0000")
            [outcome] = [m for m in until(opened, ended) if ended(m)]
            assert outcome.status == "pruned"
    assert left_in(Pool(tmp_path)) == []


def test_a_worker_that_stands_still_loses_its_job_and_says_no_more_of_it(tmp_path: Path):
    (tmp_path / "studies" / "s").mkdir(parents=True)
    with engine(tmp_path, silent_s=2.0) as opened, worker(tmp_path, "one") as first:
        opened.submit(job("trial-0000", tmp_path, checkpoint=str(tmp_path / "studies" / "s")))
        until(opened, reported(1))
        first.send_signal(signal.SIGSTOP)
        seen = until(opened, lambda m: isinstance(m, WorkerLost))
        assert "worker one said nothing for 2 s" in seen[-1].why
        with worker(tmp_path, "two"):
            until(opened, reported(1))
            first.send_signal(signal.SIGCONT)
            until(opened, reported(50))
            assert opened._pool.tickets_taken()[0][1] == "two"
            opened.stop("trial-0000")
            until(opened, ended)
    assert left_in(Pool(tmp_path)) == []


def test_what_ended_while_the_driver_was_away_is_there_when_it_comes_back(tmp_path: Path):
    first = SharedEngine([WorkerSetup()], pool=Pool(tmp_path), study="s")
    first.submit(job("trial-0000", tmp_path, epochs=3))
    with worker(tmp_path, "one", "1.0") as process:  # it leaves where it has nothing to do
        process.wait(90)
    with engine(tmp_path) as opened:  # the first one was killed: it closed nothing
        opened.submit(job("trial-0000", tmp_path, epochs=3))
        seen = until(opened, ended, 5.0)
        assert [m.epoch for m in seen if isinstance(m, EpochReport)] == [1, 2, 3]
        assert seen[-1].status == "complete"
    assert left_in(Pool(tmp_path)) == []


def test_another_recipe_is_another_job(tmp_path: Path):
    first = SharedEngine([WorkerSetup()], pool=Pool(tmp_path), study="s")
    first.submit(job("trial-0000", tmp_path))
    other = SharedEngine([WorkerSetup()], pool=Pool(tmp_path), study="s")
    other.submit(replace(job("trial-0000", tmp_path), recipe=Recipe(base_lr=0.1)))
    assert len(other._pool.waiting()) == 2
    other.close()
    first.close()
    assert left_in(Pool(tmp_path)) == []


def test_a_home_may_lie_elsewhere_on_another_machine(tmp_path: Path):
    here, there = tmp_path / "here", tmp_path / "there"
    Pool(here).create()
    there.symlink_to(here)  # as another mount of the same folder
    parcel = Parcel(
        study="s", job=job("trial-0000", here), setup=WorkerSetup(cache=str(here / "c"))
    )
    ticket = Ticket.of(parcel)
    Pool(here).put(ticket, parcel)
    text = (Pool(here).jobs / f"{ticket}.json").read_text()
    assert str(here) not in text
    moved = tmp_path / "moved"
    here.rename(moved)
    found = Pool(moved).peek(ticket)
    assert found.job.dataset == str(moved / "data")
    assert found.setup.cache == str(moved / "c")
    assert replace(found, job=parcel.job, setup=parcel.setup) == parcel


def test_one_worker_takes_a_job(tmp_path: Path):
    pool = Pool(tmp_path)
    pool.create()
    parcel = Parcel(study="s", job=job("trial-0000", tmp_path), setup=WorkerSetup())
    ticket = Ticket.of(parcel)
    pool.put(ticket, parcel)
    assert [pool.take(ticket, name) for name in ("one", "two")] == [True, False]
    assert pool.holder(ticket) == "one"
    assert not pool.withdraw(ticket)


def test_a_job_that_costs_one_worker_after_another_fails(tmp_path: Path):
    with engine(tmp_path, silent_s=0.0) as opened:
        pool = opened._pool
        opened.submit(job("trial-0000", tmp_path, checkpoint=str(tmp_path)))
        seen: list = []
        for count in range(LOSSES):
            [ticket] = pool.waiting()
            pool.beat(Beat(f"worker{count}", 0, MACHINE))
            pool.take(ticket, f"worker{count}")
            seen += until(opened, lambda m: True)
        assert [type(m) for m in seen] == [WorkerLost] * (LOSSES - 1) + [Outcome]
        assert seen[-1].status == "failed"
        assert "(3 times)" in seen[-1].reason


def test_without_a_worker_it_says_how_to_start_one(tmp_path: Path):
    with pytest.raises(UserError, match=r"no worker is there; `archsearch worker .*`, on any"):
        SHARED.machine(tmp_path)


def test_its_machine_is_what_the_workers_have_together(tmp_path: Path):
    pool = Pool(tmp_path)
    pool.create()
    pool.beat(Beat("a", 3, Machine(4, ("0", "1"), 10**9, 8 * 10**9)))
    pool.beat(Beat("b", 9, Machine(2, ("0",), 10**9, 6 * 10**9)))
    pool.beat(Beat("gone", 1, MACHINE))
    os.utime(pool.workers / "gone.json", (1, 1))
    assert SHARED.machine(tmp_path) == Machine(6, ("0", "1", "2"), 2 * 10**9, 6 * 10**9)


@pytest.mark.parametrize("text", ["", "{", '{"job": 1}', '{"job": "{}", "setup": {}}'])
def test_what_is_no_job_is_left_alone(tmp_path: Path, text: str):
    pool = Pool(tmp_path)
    pool.create()
    parcel = Parcel(study="s", job=job("trial-0000", tmp_path), setup=WorkerSetup())
    ticket = Ticket.of(parcel)
    (pool.jobs / f"{ticket}.json").write_text(text)
    (pool.jobs / "notes.txt").write_text("mine")
    assert pool.waiting() == [ticket]
    assert pool.peek(ticket) is None


def test_a_worker_where_no_folder_can_be_ends_in_one_line(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    told: list[str] = []
    with pytest.raises(
        UserError, match=r"no pool .*notes.txt' \(Not a directory\); give"
    ) as caught:
        serve(tmp_path / "notes.txt", tell=told.append)
    assert "\n" not in str(caught.value)
    assert told == []


def test_the_command_says_where_no_run_was_ever_and_leaves_when_idle(tmp_path: Path):
    words = [*CLI, "worker", str(tmp_path / "typo"), "--idle", "0.1s"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "typo has no study yet: is it the folder that runs have as their --home?" in done.stderr
    assert "no job for 0 s: leaves" in done.stderr
