"""The local engine, with worker processes that train nothing: what `EngineCase` does not say of every one."""

import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from archsearch.engines import mps
from archsearch.engines.engine import Message
from archsearch.engines.local import LocalEngine
from archsearch.errors import ArchsearchError
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup

pytestmark = pytest.mark.faults


def job(key: str, what: str = "ok", checkpoint: Path | None = None, epochs: int = 2) -> Job:
    return Job(
        key=key, graph=what, dataset="", recipe=Recipe(), images=epochs, seed=0,
        checkpoint=checkpoint and str(checkpoint),
    )  # fmt: skip


@pytest.fixture
def make(tmp_path: Path, toys: ModuleType):
    made = []

    def engine(workers: int = 1, main: str = "worker", **options) -> LocalEngine:
        options = {"main": getattr(toys, main), "logs": tmp_path / "logs", **options}
        made.append(LocalEngine([WorkerSetup()] * workers, **options))
        return made[-1]

    yield engine
    for each in made:
        each.close()


def outcomes(
    engine: LocalEngine, count: int, seen: list[Message] | None = None
) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    end = time.monotonic() + 60
    while len(found) < count and time.monotonic() < end:
        for event in engine.events(0.2):
            if seen is not None:
                seen.append(event)
            if isinstance(event, Outcome):
                found[event.key] = event
    return found


def test_workers_that_share_a_gpu_share_its_service_until_they_end(toys, tmp_path, monkeypatch):
    class Service:
        folder = "/service"
        closed = False

        def close(self):
            self.closed = True

    service = Service()
    monkeypatch.setattr(mps, "start", lambda setups, log: service if len(setups) > 1 else None)
    setups = [WorkerSetup(gpu="0", gpu_share=0.5)] * 2
    engine = LocalEngine(setups, logs=tmp_path / "logs", main=toys.worker)
    try:
        for name in ("a", "b"):
            engine.submit(job(name, "setup"))
        found = outcomes(engine, 2)
        assert all("mps='/service'" in outcome.reason for outcome in found.values())
        assert not service.closed
    finally:
        engine.close()
    assert service.closed


def test_jobs_are_trained_by_warm_workers(make):
    engine = make(2)
    for n in range(5):
        engine.submit(job(f"j{n}"))
    assert len({outcome.reason for outcome in outcomes(engine, 5).values()}) <= 2


def test_a_death_costs_one_job_and_names_the_cause(make):
    engine = make(1)
    for key, what in (("a", "kill"), ("b", "ok"), ("c", "exit"), ("d", "ok")):
        engine.submit(job(key, what))
    found = outcomes(engine, 4)
    assert found["a"].status == "failed"
    assert found["a"].reason == "worker died: signal 9 (SIGKILL); perhaps the memory ran out"
    assert found["c"].reason.startswith("worker died: exit status 3, ModuleNotFoundError")
    assert found["b"].status == found["d"].status == "complete"
    assert found["b"].reason != found["d"].reason


def test_a_job_with_checkpoints_gets_another_worker_once(make, tmp_path: Path):
    engine = make(2)
    engine.submit(job("unlucky", "once", tmp_path / "unlucky"))
    engine.submit(job("deadly", "kill", tmp_path / "deadly"))
    engine.submit(job("next"))
    seen: list[Message] = []
    found = outcomes(engine, 3, seen)
    assert found["unlucky"].status == found["next"].status == "complete"
    mine = [e.epoch for e in seen if isinstance(e, EpochReport) and e.key == "unlucky"]
    assert mine == [1, 1, 2]
    assert found["deadly"].status == "failed"
    assert found["deadly"].reason.startswith("worker died: signal 9 (SIGKILL)")
    assert found["deadly"].reason.endswith("(twice)")
    assert engine.events(0.01) == []
    # Its fault is forgotten with the job: a later one of that key has its second chance, too.
    (tmp_path / "unlucky.died").unlink()
    engine.submit(job("unlucky", "once", tmp_path / "unlucky"))
    assert outcomes(engine, 1)["unlucky"].status == "complete"


def test_what_is_quoted_was_said_by_the_process_that_died(make, tmp_path: Path):
    log = tmp_path / "logs" / "worker-0.log"
    log.parent.mkdir()
    log.write_text("CUDA error of half an hour ago\n")
    engine = make(1, main="silent")
    engine.submit(job("a", "exit"))
    assert outcomes(engine, 1)["a"].reason == "worker died: exit status 3"
    assert "half an hour ago" in log.read_text()


def test_a_worker_that_died_is_told(make, tmp_path: Path):
    engine = make(1)
    engine.submit(job("unlucky", "once", tmp_path / "unlucky"))
    seen: list[Message] = []
    found = outcomes(engine, 1, seen)["unlucky"]
    (lost,) = [message for message in seen if isinstance(message, WorkerLost)]
    assert lost.key == "unlucky"
    assert lost.why.startswith("worker died: signal 9 (SIGKILL)")
    assert (found.status, found.worker_lost) == ("complete", lost.why)


@pytest.mark.parametrize(
    ("what", "cause"),
    [("bus", "machine"), ("gone", "machine"), ("kill", "network"), ("broken", "network")],
)
def test_what_no_network_survives_is_the_machines_fault(make, tmp_path: Path, what, cause):
    engine = make(1)
    engine.submit(job("a", what, tmp_path / "a"))
    found = outcomes(engine, 1)["a"]
    assert (found.status, found.cause) == ("failed", cause)
    assert found.reason.endswith("(twice)")


def test_a_full_disk_is_told_at_once_and_costs_no_worker(make, tmp_path: Path):
    engine = make(1)
    engine.submit(job("a", "full", tmp_path / "a"))
    engine.submit(job("b"))
    seen: list[Message] = []
    found = outcomes(engine, 2, seen)
    assert (found["a"].cause, found["b"].status) == ("machine", "complete")
    assert not any(isinstance(message, WorkerLost) for message in seen)


def test_a_job_that_was_to_stop_is_not_tried_again(make, tmp_path: Path):
    engine = make(1)
    engine.submit(job("a", "stopped", tmp_path / "a"))
    while not engine.events(1):
        pass
    engine.stop("a")
    assert outcomes(engine, 1)["a"].status == "pruned"


def test_a_worker_that_has_grown_is_replaced(make):
    engine = make(1)
    for key, what in (("a", "fat"), ("b", "ok"), ("c", "ok")):
        engine.submit(job(key, what))
    found = outcomes(engine, 3)
    assert found["a"].reason != found["b"].reason == found["c"].reason


def test_a_broken_worker_goes_and_its_job_is_tried_once_more(make, tmp_path: Path):
    engine = make(1)
    for key, what in (("a", "broken"), ("b", "ok"), ("c", "ok")):
        engine.submit(job(key, what, tmp_path / key))
    first = engine._workers[0].child.process.pid
    found = outcomes(engine, 3)
    # Not by the process that had broken, and not by the second one either.
    assert found["a"].status == "failed"
    assert found["a"].reason.startswith("RuntimeError: CUDA error")
    assert found["a"].reason.endswith("(twice)")
    assert str(first) not in found["a"].reason
    assert found["b"].status == found["c"].status == "complete"
    assert found["b"].reason == found["c"].reason != str(first)


def test_what_runs_out_of_memory_is_tried_once_more_in_twice_as_many_parts(make, tmp_path: Path):
    engine = make(1)
    for key, what in (("a", "hungry2"), ("b", "hungry4"), ("c", "ok")):
        engine.submit(job(key, what))  # without a checkpoint, too
    seen: list[Message] = []
    found = outcomes(engine, 3, seen)
    assert (found["a"].status, found["a"].reason) == ("complete", "2")
    lost = {message.key: message.why for message in seen if isinstance(message, WorkerLost)}
    assert lost == dict.fromkeys("ab", "out of memory for 32 images at a time")
    assert found["a"].worker_lost == lost["a"]
    # It fails alone: the next one trains.
    assert (found["b"].status, found["b"].cause) == ("failed", "network")
    assert found["b"].reason == "out of memory for 16 images at a time (twice)"
    assert found["c"].status == "complete"
    # There is nothing to cut of one image.
    engine.submit(replace(job("d", "hungry64"), microbatches=32))
    assert outcomes(engine, 1)["d"].reason == "out of memory for 1 images at a time"


def test_so_is_what_the_system_has_ended_for_its_memory(make, tmp_path: Path, monkeypatch):
    counts = iter((5, 6, 6))  # as the engine begins, and with each death
    monkeypatch.setattr("archsearch.engines.local.memory_kills", lambda: next(counts))
    engine = make(1)
    engine.submit(job("a", "once", tmp_path / "a"))
    engine.submit(job("b", "once", tmp_path / "b"))
    found = outcomes(engine, 2)
    assert found["a"].status == found["b"].status == "complete"
    assert found["a"].worker_lost == "out of memory: the system has ended the worker"
    assert found["b"].worker_lost.startswith("worker died: signal 9 (SIGKILL)")


def test_a_worker_that_starts_no_more_is_done_without(make, tmp_path: Path):
    engine = make(2, main="lost")
    for key, what in (("a", "kill"), ("b", "kill"), ("c", "ok"), ("d", "ok"), ("e", "ok")):
        engine.submit(job(key, what))
    found = outcomes(engine, 5)
    # A death costs the job that it had, and no other.
    assert [found[key].status for key in "abcde"] == ["failed"] * 2 + ["complete"] * 3
    deadline = time.monotonic() + 30
    while engine.workers > 1 and time.monotonic() < deadline:
        engine.submit(job("more"))
        assert outcomes(engine, 1)["more"].status == "complete"
    assert engine.workers == 1


def test_a_job_that_was_to_stop_before_its_worker_had_started_does_not_train(make):
    engine = make(2, main="lost")  # the first one starts no more
    first = engine._workers[0]
    first.child.log.with_suffix(".lost").write_text("")
    engine.submit(job("a", epochs=1000))
    assert first.job.key == "a"
    engine.stop("a")
    assert outcomes(engine, 1)["a"].status == "pruned"


def test_a_worker_that_dies_within_a_word_costs_its_job(make):
    engine = make(1, main="cut_off")
    engine.submit(job("a"))
    assert outcomes(engine, 1)["a"].reason.startswith("worker died: exit status 0")


def test_a_silent_worker_is_ended_and_one_that_says_that_it_goes_on_is_not_silent(make):
    engine = make(2, silence_s=5)
    for key, what in (("a", "sleep"), ("b", "alive"), ("c", "ok")):
        engine.submit(job(key, what))
    found = outcomes(engine, 3)
    assert "said nothing for 5 s" in found["a"].reason
    assert found["b"].status == found["c"].status == "complete"


def test_workers_that_do_not_start_are_not_started_for_ever(make):
    engine = make(1, main="stillborn")
    engine.submit(job("a"))
    with pytest.raises(ArchsearchError, match="do not start: exit status 1, ImportError"):
        outcomes(engine, 2)


def test_workers_ignore_ctrl_c(make):
    engine = make(1)
    engine.submit(job("a", epochs=1000))
    while not engine.events(1):
        pass
    os.kill(engine._workers[0].child.process.pid, signal.SIGINT)
    engine.stop("a")
    assert outcomes(engine, 1)["a"].status == "pruned"
