"""A worker process: jobs come in over a pipe, reports and outcomes go out."""

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from time import monotonic
from typing import Final, NoReturn

from archsearch.errors import ArchsearchError
from archsearch.lean_imports import keep_imported
from archsearch.training.faults import OUT_OF_MEMORY, cause_of, memory_ran_out
from archsearch.training.job import Cause, EpochReport, Job, Outcome, from_json, to_json
from archsearch.training.resident import held_bytes
from archsearch.training.setup import WorkerSetup
from archsearch.training.teams.team import Team, join
from archsearch.units import counted

JOB: Final = "job"
STOP: Final = "stop"
ALIVE: Final = "alive"
_ALIVE_EVERY_S: Final = 20.0


def main(pipe: Connection, setup: WorkerSetup, log: str) -> None:
    """Train jobs until the pipe closes; the target of a spawned process.

    In come `("job", JSON)` and `("stop", key)`, out go JSON texts: an EpochReport an epoch, then
    one Outcome a job; and `alive`, as soon as jobs can be taken, and now and then while one trains. A job
    that fails costs its outcome, not the worker, unless by an error of no known kind.

    Args:
        pipe: this process's end.
        setup: what to train with.
        log: file for everything libraries print.
    """
    # These reach the whole process group; what to do about them is the driver's to say.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    end_with_driver()
    redirect_output(Path(log))
    setup.apply()
    warm_up(setup)
    team = join(setup)
    stopped: set[str] = set()
    outcome = None
    try:
        pipe.send(ALIVE)
        while outcome is None or outcome.cause != "worker":
            kind, text = pipe.recv()
            if kind == STOP:  # for a job that has ended meanwhile
                continue
            job = from_json(text)
            assert isinstance(job, Job)
            stopped.clear()
            outcome = replace(_run(job, pipe, stopped, team), held_bytes=held_bytes())
            if team.rank == 0:
                pipe.send(to_json(outcome))
            elif outcome.status == "failed" and outcome.cause != "network":
                break  # the others wait for it: that it ends tells the driver
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    end_at_once()


def end_at_once() -> NoReturn:
    """End this process without taking its interpreter down: threads of a framework's may abort it then."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def end_with_driver() -> None:
    """End this process at once when the one that started it dies, even in the middle of an epoch."""
    driver = parent_process()
    if driver is None:
        return

    def watch() -> None:
        wait([driver.sentinel])
        os._exit(1)  # a checkpoint that is being written has another name until it is whole

    threading.Thread(target=watch, name="watch-driver", daemon=True).start()


def redirect_output(log: Path) -> None:
    """Send stdout and stderr to a file, also those of C++ code, which knows file descriptors only."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)


def warm_up(setup: WorkerSetup) -> None:
    """Import what takes seconds before the first job needs it, and have it never looked through again."""
    backend = importlib.import_module(f"archsearch.training.backends.{setup.backend}")
    if setup.backend != "jax" and setup.gpu is not None:  # JAX goes by its environment
        backend.limit_gpu_memory(setup.memory_share)
    keep_imported()


def _run(job: Job, pipe: Connection, stopped: set[str], team: Team) -> Outcome:
    from archsearch.training.fit import train
    from archsearch.training.measuring import measure

    def on_epoch(report: EpochReport) -> bool:
        if team.rank:
            return team.agreed(True)
        pipe.send(to_json(report))
        while pipe.poll():
            kind, key = pipe.recv()
            if kind == STOP:
                stopped.add(key)
        return team.agreed(job.key not in stopped)

    on_progress = _life_signs(pipe) if team.rank == 0 else _silence
    try:
        if job.measure_s is not None:
            return measure(job, team)
        return train(job, on_epoch, on_progress, team)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise  # the driver is gone
    except ArchsearchError as error:
        return _failed(job, str(error), cause_of(error), team)
    except Exception as error:
        with contextlib.suppress(OSError):  # into the log, where there is room for it
            traceback.print_exc()
            sys.stderr.flush()
        # TensorFlow's messages go on for pages; the first line says what happened.
        first = (str(error).strip() or "no message").splitlines()[0]
        reason = f"{type(error).__name__}: {first[:300]}"
        if memory_ran_out(error):  # what it held may stay where an error has been
            reason = f"{OUT_OF_MEMORY} for {counted(job.at_once, 'image')} at a time ({reason})"
            return _failed(job, reason, "worker", team)
        cause: Cause = "machine" if cause_of(error) == "machine" else "worker"
    return _failed(job, reason, cause, team)


def _life_signs(pipe: Connection) -> Callable[[], None]:
    """Return what says now and then that this process is alive."""
    told = monotonic()

    def tell() -> None:
        nonlocal told
        if monotonic() - told > _ALIVE_EVERY_S:
            pipe.send(ALIVE)
            told = monotonic()

    return tell


def _silence() -> None:
    """Say nothing: the first of several processes speaks for all."""


def _failed(job: Job, reason: str, cause: Cause, team: Team) -> Outcome:
    """Return the outcome of a job that raised; of several processes none knows where the others are now."""
    if team.size > 1 and cause == "network":
        cause = "worker"
    return Outcome(key=job.key, status="failed", reason=reason, cause=cause)
