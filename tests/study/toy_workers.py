"""Worker processes that train nothing: what `test_local` has its engine run."""

import os
import signal
import sys
import time
from pathlib import Path

from archsearch.runtime.job import EpochReport, Outcome, from_json, to_json
from archsearch.study.lock import locked


def worker(pipe, setup, log: str) -> None:
    """Does what a job's `graph` says: `ok`, `kill`, `once`, `exit`, `sleep`, `long`, `fat`, `setup`."""
    Path(log).write_text("a line\nModuleNotFoundError: No module named 'x'\n\n")
    while True:
        try:
            kind, text = pipe.recv()
        except EOFError:
            return
        if kind != "job":
            continue
        job = from_json(text)
        if job.graph == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        mark = Path(job.checkpoint or log).with_suffix(".died")
        if job.graph in ("once", "stopped") and not mark.exists():
            pipe.send(to_json(report(job.key, 1)))
            if job.graph == "stopped":
                pipe.recv()
            mark.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        if job.graph == "exit":
            sys.exit(3)
        if job.graph == "sleep":
            time.sleep(60)
        status = "complete"
        for epoch in range(1, 1000 if job.graph == "long" else 3):
            pipe.send(to_json(report(job.key, epoch)))
            if job.graph == "long":
                time.sleep(0.02)
                if pipe.poll() and pipe.recv() == ("stop", job.key):
                    status = "pruned"
                    break
        fat = 10**15 if job.graph == "fat" else 10**6
        reason = str(setup) if job.graph == "setup" else str(os.getpid())
        outcome = Outcome(
            key=job.key, status=status, reason=reason, val_accuracy=0.5, peak_rss_bytes=fat
        )
        pipe.send(to_json(outcome))


def stillborn(pipe, setup, log: str) -> None:
    Path(log).write_text("ImportError: no tensorflow")
    sys.exit(1)


def report(key: str, epoch: int) -> EpochReport:
    return EpochReport(
        key=key, epoch=epoch, loss=1, accuracy=0, val_loss=1, val_accuracy=0,
        images_per_s=1, learning_rate=1, wall_s=1,
    )  # fmt: skip


def hold_lock(path: str, pipe) -> None:
    with locked(Path(path), study="s"):
        pipe.send("held")
        pipe.recv()
