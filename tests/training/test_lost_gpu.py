"""A GPU that is lost, in the words and with the types of the frameworks themselves."""

import pytest

from archsearch.recipes.recipe import Recipe
from archsearch.training import fit, worker
from archsearch.training.faults import gpu_is_lost
from archsearch.training.job import Job
from archsearch.training.teams.team import ALONE

pytestmark = [pytest.mark.faults, pytest.mark.keras]


def of_torch(text: str) -> Exception:
    torch = pytest.importorskip("torch")
    return torch.AcceleratorError(text)


def of_tensorflow(text: str) -> Exception:
    import tensorflow as tf

    return tf.errors.InternalError(None, None, text)


def of_jax(text: str) -> Exception:
    return pytest.importorskip("jax").errors.JaxRuntimeError(text)


@pytest.mark.parametrize(
    ("made", "text", "lost"),
    [
        (of_torch, "CUDA error: unspecified launch failure\nCUDA kernel errors might be …", True),
        (of_torch, "CUDA error: uncorrectable ECC error encountered", True),
        (of_torch, "CUDA error: device-side assert triggered", False),
        (of_tensorflow, "failed to get device attribute 13 for device 0", True),
        (of_tensorflow, "Failed launching kernel: CUDA_ERROR_LAUNCH_FAILED", True),
        (of_jax, "INTERNAL: CUDA_ERROR_ECC_UNCORRECTABLE: uncorrectable ECC error", True),
        (of_jax, "RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes", False),
    ],
)
def test_what_a_framework_raises_breaks_the_worker_and_tells_the_gpu(
    monkeypatch, made, text: str, lost: bool
):
    error = made(text)

    def train(*asked):
        raise error

    monkeypatch.setattr(fit, "train", train)
    job = Job(key="trial-0000", graph="", dataset="", recipe=Recipe(), images=1, seed=0)
    outcome = worker._run(job, None, set(), ALONE)
    # The worker is replaced, and the job tried once more, before it counts.
    assert (outcome.status, outcome.cause) == ("failed", "worker")
    assert gpu_is_lost(outcome.reason) is lost
