"""How a machine is shared between trials that train at the same time."""

import os
from typing import Final

from archsearch.errors import UserError
from archsearch.runtime.devices import gpu_numbers
from archsearch.runtime.setup import WorkerSetup

BUSY_STEP_FLOPS: Final = 200_000_000_000
"""Training FLOPs of a step that keep a large GPU busy by themselves."""
MOST_PER_GPU: Final = 8


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def default_workers() -> int:
    """Return how many trials run at the same time on a CPU where nothing is said.

    One for two cores, but two where there are only two: two trials of one thread each keep both cores busy
    where one trial of two threads does not (benchmarks/RESULTS.md).
    """
    return max(min(2, cores()), cores() // 2)


def default_per_gpu(step_flops: int) -> int:
    """Return how many trials share a GPU where nothing is said: few large ones, several small ones.

    Args:
        step_flops: training FLOPs of one step.
    """
    return max(1, min(MOST_PER_GPU, BUSY_STEP_FLOPS // max(1, step_flops)))


def worker_setups(
    workers: int | None, *, step_flops: int, workers_per_gpu: int | None = None
) -> tuple[WorkerSetup, ...]:
    """Share CPU threads and GPUs between workers.

    Args:
        workers: trials at the same time; None: what suits the machine.
        step_flops: training FLOPs of one step.
        workers_per_gpu: trials that share a GPU; None: what suits the trials.

    Raises:
        UserError: workers for GPUs, where there are none.
    """
    gpus = gpu_numbers()
    if not gpus:
        if workers_per_gpu is not None:
            raise UserError(
                f"--workers-per-gpu {workers_per_gpu}: this machine shows no NVIDIA GPU; "
                "--workers says how many trials share its CPU"
            )
        count = workers or default_workers()
        setup = WorkerSetup(threads=max(1, cores() // count))
        return (setup,) * count
    each = workers_per_gpu or default_per_gpu(step_flops)
    count = workers or each * len(gpus)
    threads = max(1, cores() // count)
    most = -(-count // len(gpus))
    return tuple(
        WorkerSetup(threads=threads, gpu=gpus[number % len(gpus)], gpu_share=1 / most)
        for number in range(count)
    )


def describe(setups: tuple[WorkerSetup, ...]) -> str:
    """Say how workers share a machine: `2 workers of 1 thread`, `4 workers on GPU 0, 2 on GPU 1`."""
    count, first = len(setups), setups[0]
    workers = f"{count} worker{'s' if count != 1 else ''}"
    if first.gpu is None:
        return f"{workers} of {first.threads} thread{'s' if first.threads != 1 else ''}"
    gpus = dict.fromkeys(setup.gpu for setup in setups)
    shares = [f"{sum(setup.gpu == gpu for setup in setups)} on GPU {gpu}" for gpu in gpus]
    return f"{workers}: {', '.join(shares)}"
