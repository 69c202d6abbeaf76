"""Worker processes that train nothing: what tests of the local engine have it run."""

import os
import signal
import struct
import sys
import time
from pathlib import Path

from archsearch.archive.lock import locked
from archsearch.training.job import EpochReport, Outcome, from_json, to_json
from archsearch.training.worker import ALIVE, JOB, STOP

FAILURES = {
    "broken": ("RuntimeError: CUDA error in {pid}", "worker"),
    "gone": ("RuntimeError: No CUDA-capable device is detected", "worker"),
    "full": ("OSError: [Errno 28] No space left on device", "machine"),
}
SIGNALS = {"kill": signal.SIGKILL, "bus": signal.SIGBUS}


def worker(pipe, setup, log: str) -> None:
    """Does what a job's `graph` says: `ok`, `kill`, `once`, `broken`, `exit`, `sleep`, `alive`, …

    An epoch is one image long; it ends early where it is told to stop.
    """
    write(log, "a line\nModuleNotFoundError: No module named 'x'\n\n")
    pipe.send(ALIVE)
    while True:
        try:
            kind, text = pipe.recv()
        except EOFError:
            return
        if kind != JOB:
            continue
        job = from_json(text)
        if job.graph in SIGNALS:
            os.kill(os.getpid(), SIGNALS[job.graph])
        mark = Path(job.checkpoint or log).with_suffix(".died")
        if job.graph in ("once", "stopped") and not mark.exists():
            pipe.send(to_json(report(job.key, 1)))
            if job.graph == "stopped":
                pipe.recv()
            mark.write_text("")
            os.kill(os.getpid(), signal.SIGKILL)
        if job.graph in ("exit", "sleep"):
            time.sleep(60 if job.graph == "sleep" else 0)
            sys.exit(3)
        if job.graph == "alive":
            live(pipe)
        if (failure := failed(job)) is not None:
            pipe.send(to_json(failure))
            continue
        epoch, status = 0, "complete"
        while epoch < job.images and status == "complete":
            epoch += 1
            pipe.send(to_json(report(job.key, epoch)))
            if epoch < job.images and pipe.poll(0.02) and pipe.recv() == (STOP, job.key):
                status = "pruned"
        fat = 10**15 if job.graph == "fat" else 10**6
        reason = str(job.microbatches) if "hungry" in job.graph else told(job, setup)
        outcome = Outcome(
            key=job.key, status=status, reason=reason, val_accuracy=0.5, held_bytes=fat,
            epochs=epoch, images=epoch,
        )  # fmt: skip
        pipe.send(to_json(outcome))


def failed(job) -> Outcome | None:
    """How a job fails that says so: `hungry4` has memory enough in four parts or more."""
    if job.graph.startswith("hungry") and job.microbatches < int(job.graph[6:]):
        reason, cause = f"out of memory for {job.at_once} images at a time", "worker"
    elif job.graph in FAILURES or job.graph == "fail":
        reason, cause = FAILURES.get(job.graph, ("it has no network", "network"))
    else:
        return None
    return Outcome(key=job.key, status="failed", reason=reason.format(pid=os.getpid()), cause=cause)


def told(job, setup) -> str:
    if job.graph == "data":
        return f"{job.dataset}: {sorted(path.name for path in Path(job.dataset).iterdir())}"
    return str(setup) if job.graph == "setup" else str(os.getpid())


def live(pipe) -> None:
    for _ in range(20):
        time.sleep(0.3)
        pipe.send(ALIVE)


def write(log: str, text: str) -> None:
    with open(log, "a") as file:  # as a real worker does
        file.write(text)


def short_of_memory(pipe, setup, log: str) -> None:
    """A real worker on whose device there is memory for four images."""
    import archsearch.training.fit
    from archsearch.training.worker import main

    train = archsearch.training.fit.train

    def fit(job, *arguments):
        if job.at_once > 4:
            raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return train(job, *arguments)

    archsearch.training.fit.train = fit
    main(pipe, setup, log)


def silent(pipe, setup, log: str) -> None:
    """A worker that dies over its job without a word."""
    pipe.send(ALIVE)
    pipe.recv()
    sys.exit(3)


def stillborn(pipe, setup, log: str) -> None:
    write(log, "ImportError: no tensorflow\n")
    sys.exit(1)


def lost(pipe, setup, log: str) -> None:
    """A worker that starts once: the second time its GPU is gone. Others start always."""
    mark = Path(log).with_suffix(".lost")
    if Path(log).stem == "worker-0":
        if mark.exists():
            sys.exit("RuntimeError: no CUDA-capable device is detected")
        mark.write_text("")
    worker(pipe, setup, log)


def cut_off(pipe, setup, log: str) -> None:
    """A worker that dies in the middle of a word."""
    pipe.send(ALIVE)
    pipe.recv()
    os.write(pipe.fileno(), struct.pack("!i", 1000) + b"half of it")


def report(key: str, epoch: int) -> EpochReport:
    return EpochReport(
        key=key, epoch=epoch, loss=1, accuracy=0, val_loss=1, val_accuracy=0,
        images_per_s=1, learning_rate=1, wall_s=1, images=epoch,
    )  # fmt: skip


def hold_lock(path: str, pipe) -> None:
    with locked(Path(path), study="s"):
        pipe.send("held")
        pipe.recv()
