import os
import resource
import signal
from dataclasses import replace
from multiprocessing import get_context

import pytest

from archsearch.ir.codec import to_json
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import EpochReport, Job, Outcome, from_json
from archsearch.training.job import to_json as job_json
from archsearch.training.setup import WorkerSetup
from archsearch.training.worker import ALIVE, main
from tests.networks import resnext_like, vgg_like
from tests.real_runs import BACKEND, QUICK_AND_SLOW

pytestmark = pytest.mark.keras

TIMEOUT_S = 120


@pytest.fixture
def worker(tmp_path, request):
    """The pipe of a worker on a backend, and its process."""
    context = get_context("spawn")
    pipe, theirs = context.Pipe()
    setup = WorkerSetup(backend=request.param)
    process = context.Process(target=main, args=(theirs, setup, str(tmp_path / "worker.log")))
    process.start()
    theirs.close()
    pipe.process, pipe.backend = process, setup.backend
    yield pipe
    pipe.close()
    process.join(30)
    assert process.exitcode == 0


def hear(pipe):
    assert pipe.poll(TIMEOUT_S)
    text = pipe.recv()
    return from_json(text) if text != ALIVE else hear(pipe)


@pytest.mark.parametrize("worker", QUICK_AND_SLOW, indirect=True)
def test_a_worker_trains_one_job_after_another(worker, dataset, tmp_path):
    job = Job(
        key="trial-0001",
        graph=to_json(vgg_like()),
        dataset=str(dataset),
        recipe=Recipe(batch=16),
        images=2 * 96,
        seed=0,
        backend=worker.backend,
    )
    worker.send(("job", job_json(job)))
    heard = [hear(worker) for _ in range(3)]
    assert [type(message) for message in heard] == [EpochReport, EpochReport, Outcome]
    assert heard[-1].status == "complete"

    # A job that cannot be done costs its outcome; Ctrl-C is none of the worker's business.
    os.kill(worker.process.pid, signal.SIGINT)
    worker.send(("job", job_json(replace(job, key="bad", dataset=str(tmp_path)))))
    outcome = hear(worker)
    assert (outcome.key, outcome.status) == ("bad", "failed")
    assert "no prepared dataset" in outcome.reason
    assert outcome.cause == "machine"  # no other network has its images either

    worker.send(("stop", "trial-0001"))  # too late for that one, and nothing to this one
    worker.send(("job", job_json(replace(job, key="long", images=2000 * 96))))
    assert hear(worker).epoch == 1
    worker.send(("stop", "long"))
    message = hear(worker)
    while isinstance(message, EpochReport):
        message = hear(worker)
    assert (message.key, message.status) == ("long", "pruned")
    assert message.reason.startswith("stopped after epoch")


@pytest.mark.parametrize("worker", [BACKEND], indirect=True)
def test_a_worker_goes_on_after_a_fault_of_the_machine_and_ends_after_one_of_no_known_kind(
    worker, dataset, tmp_path
):
    job = Job(
        key="final-0001-seed1",
        graph=to_json(vgg_like()),
        dataset=str(dataset),
        recipe=Recipe(batch=16),
        images=96,
        seed=0,
        backend=BACKEND,
        test=True,
        weights=str(tmp_path / "weights" / "final-0001-seed1.npz"),
    )
    # No file may grow beyond this, as if the disk were full.
    pid, (soft, hard) = worker.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1000, hard))
    worker.send(("job", job_json(job)))
    message = hear(worker)
    while isinstance(message, EpochReport):
        message = hear(worker)
    assert (message.status, message.cause) == ("failed", "machine")
    assert "OSError: [Errno 27] File too large" in message.reason
    # The worker is well: with room again, the same training comes to its end.
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))
    worker.send(("job", job_json(job)))
    while isinstance(message := hear(worker), EpochReport):
        pass
    assert (message.status, message.reason) == ("complete", "")

    # The next job's images are of colours, which this data has not: nobody has foreseen that.
    unknown = replace(job, key="trial-0002", graph=to_json(resnext_like()), weights=None)
    worker.send(("job", job_json(unknown)))
    outcome = hear(worker)
    assert (outcome.status, outcome.cause) == ("failed", "worker")
    assert outcome.held_bytes > 50_000_000
    assert "Error: " in outcome.reason
    worker.process.join(30)
    assert worker.process.exitcode == 0
