"""How trials that train at the same time share a machine, and what they train on."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.recipes.recipe import Precision
from archsearch.settings import RunSettings
from archsearch.training.backends.choice import (
    AUTO,
    choose_backend,
    choose_compiled,
    choose_precision,
    gpus_for,
    rivals,
)
from archsearch.training.setup import WorkerSetup
from archsearch.units import counted

BUSY_STEP_FLOPS: Final = 200_000_000_000
"""Training FLOPs of a step that keep a large GPU busy by themselves: a guess, until it is measured."""
GUESSED_PER_GPU: Final = 8
"""Trials that share a GPU at most, as long as nothing has been measured."""

MEASURED: Final = "the fastest measured"
"""Why a backend that no rule names trains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """A way to share a machine.

    Attributes:
        setups: of the workers, one each; all train on one backend.
        backend_why: why it is this one, for the plan.
        precision: that they compute in.
        compiled: whether training steps are compiled: longer starts, shorter steps.
    """

    setups: tuple[WorkerSetup, ...]
    backend_why: str = "asked for"
    precision: Precision = "float32"
    compiled: bool = False

    @property
    def workers(self) -> int:
        """Count the trials at the same time."""
        return len(self.setups)

    @property
    def backend(self) -> str:
        """What trains."""
        return self.setups[0].backend

    @property
    def devices(self) -> int:
        """Count the processes that train a network together."""
        return self.setups[0].devices

    @property
    def shares(self) -> str:
        """Say who gets what: `2 workers of 1 thread`, `6 workers: 4 on GPU 0, 2 on GPU 1`."""
        count, first = len(self.setups), self.setups[0]
        workers = counted(count, "worker")
        if first.devices > 1:
            where = f"{first.devices} GPUs" if first.gpus else f"{first.devices} processes"
            return f"{workers} of {where}, {counted(first.threads, 'thread')} each"
        if first.gpu is None:
            return f"{workers} of {counted(first.threads, 'thread')}"
        gpus = dict.fromkeys(setup.gpu for setup in self.setups)
        shares = [f"{sum(setup.gpu == gpu for setup in self.setups)} on GPU {gpu}" for gpu in gpus]
        return f"{workers}: {', '.join(shares)}"

    def __str__(self) -> str:
        how = "compiled, " if self.compiled and self.backend != "jax" else ""
        return f"{self.shares}, {self.backend}, {how}{self.precision}"


def first_sharing(settings: RunSettings, machine: Machine, *, step_flops: int) -> Sharing:
    """Return how to share the machine: as asked for, and by a rule of thumb where nothing is.

    Args:
        settings: what is asked for.
        machine: what the engine can train on.
        step_flops: training FLOPs of one step.

    Raises:
        UserError: workers for GPUs, where there are none; a backend that is not there.
    """
    gpus = gpus_for(settings.backend, gpus=machine.gpus)
    if settings.workers_per_gpu is not None and not gpus:
        lack = f"backend {settings.backend} uses no" if machine.gpus else "this machine shows no"
        raise UserError(
            f"--workers-per-gpu {settings.workers_per_gpu}: {lack} NVIDIA GPU; "
            "--workers says how many trials share its CPU"
        )
    return _sharing(settings, machine, _first_count(settings, machine, gpus, step_flops))


def _first_count(
    settings: RunSettings, machine: Machine, gpus: tuple[str, ...], step_flops: int
) -> int:
    """Return how many trainings run at the same time, as long as nothing has been measured."""
    if settings.workers is not None:
        return settings.workers
    if settings.devices is not None and settings.devices > 1:
        places = len(gpus) or machine.cores
        return max(1, min(places // settings.devices, _trainings(settings)))
    if not gpus:
        return min(default_workers(machine), _trainings(settings))
    count = (settings.workers_per_gpu or default_per_gpu(step_flops)) * len(gpus)
    return count if settings.network is None else min(count, _trainings(settings))


def _trainings(settings: RunSettings) -> int:
    """Return the trainings there are to share the machine."""
    return settings.trials if settings.network is None else settings.seeds


def other_sharings(settings: RunSettings, machine: Machine, this: Sharing) -> Iterator[Sharing]:
    """Yield the ways next to one, in what is left open: those that gain most often first.

    Twice or half as many workers; compiled steps, on a GPU; the other backends installed.
    """
    gpus = gpus_for(settings.backend, gpus=machine.gpus)
    if settings.workers is None and settings.workers_per_gpu is None:
        # A worker needs a core, to launch its GPU's work from, too. One that has a processor to itself
        # does not keep it busy.
        least = len(gpus) or min(2, machine.cores)
        most = max(machine.cores, len(gpus))
        for count in (2 * this.workers, this.workers // 2):
            if least <= count <= min(most, _trainings(settings)) and this.devices == 1:
                yield _sharing(
                    _with_measured(settings, this), machine, count, compiled=this.compiled
                )
    if settings.compile is None and gpus and not this.compiled and this.devices == 1:
        yield replace(this, compiled=True)
    # On one thread of a processor the order of the backends is known (benchmarks/RESULTS.md).
    several = gpus or this.setups[0].threads > 1
    if settings.backend == AUTO and several and this.devices == 1:
        for name in rivals(gpu=bool(gpus)):
            if name != this.backend:
                found = _sharing(replace(settings, backend=name), machine, this.workers)
                yield replace(found, backend_why=MEASURED)


def half_sharing(settings: RunSettings, machine: Machine, this: Sharing) -> Sharing | None:
    """Return half as many workers; None where their number is asked for, or there is one a GPU only."""
    least = len(gpus_for(settings.backend, gpus=machine.gpus)) or 1
    if (settings.workers, settings.workers_per_gpu) != (None, None) or this.workers <= least:
        return None
    count = max(least, this.workers // 2)
    return _sharing(_with_measured(settings, this), machine, count, compiled=this.compiled)


def settled(settings: RunSettings, this: Sharing) -> RunSettings:
    """Return the settings with how the machine is shared written down: a resumed study keeps to it."""
    found = replace(
        settings,
        workers=this.workers,
        backend=this.backend,
        precision=this.precision,
        compile=this.compiled,
    )
    return found if settings.network is None else replace(found, devices=this.devices)


def default_workers(machine: Machine) -> int:
    """Return how many trials run at the same time on a CPU where nothing is said.

    One for two cores, but two where there are only two: two trials of one thread each keep both cores busy
    where one trial of two threads does not (benchmarks/RESULTS.md).
    """
    return max(min(2, machine.cores), machine.cores // 2)


def default_per_gpu(step_flops: int) -> int:
    """Return how many trials share a GPU where nothing is said: few large ones, several small ones.

    Args:
        step_flops: training FLOPs of one step.
    """
    return max(1, min(GUESSED_PER_GPU, BUSY_STEP_FLOPS // max(1, step_flops)))


def worker_setups(
    workers: int, *, cores: int, gpus: tuple[str, ...], devices: int = 1
) -> tuple[WorkerSetup, ...]:
    """Return a setup for each of so many workers, CPU threads and GPUs shared equally.

    Args:
        workers: trainings at the same time.
        cores: of the processor.
        gpus: those there are.
        devices: processes that each training is spread over.
    """
    threads = max(1, cores // (workers * devices))
    if devices > 1:
        groups = [gpus[number * devices :][:devices] for number in range(workers)]
        return tuple(
            WorkerSetup(
                threads=threads, devices=devices, gpus=group, gpu=group[0] if group else None
            )
            for group in groups
        )
    if not gpus:
        return (WorkerSetup(threads=threads),) * workers
    most = -(-workers // len(gpus))
    return tuple(
        WorkerSetup(threads=threads, gpu=gpus[number % len(gpus)], gpu_share=1 / most)
        for number in range(workers)
    )


def _with_measured(settings: RunSettings, this: Sharing) -> RunSettings:
    """Return the settings with a backend that was measured to be faster; a rule's may yet change."""
    return replace(settings, backend=this.backend) if this.backend_why == MEASURED else settings


def _sharing(
    settings: RunSettings, machine: Machine, workers: int, *, compiled: bool = False
) -> Sharing:
    able = gpus_for(settings.backend, gpus=machine.gpus)
    devices = _devices(settings, machine, able, workers)
    setups = worker_setups(workers, cores=machine.cores, gpus=able, devices=devices)
    threads = setups[0].threads
    backend = choose_backend(settings.backend, threads=threads, gpus=machine.gpus)
    return Sharing(
        setups=tuple(replace(setup, backend=backend.name) for setup in setups),
        backend_why=backend.why,
        precision=choose_precision(
            settings.precision, backend.name, threads=threads, gpus=machine.gpus
        ),
        compiled=choose_compiled(settings.compile, backend.name) or compiled,
    )


def _devices(settings: RunSettings, machine: Machine, gpus: tuple[str, ...], workers: int) -> int:
    """Return how many processes a training is spread over: as asked for, or the GPUs there are.

    Raises:
        UserError: more are asked for than the machine has.
    """
    if settings.network is None:
        return 1
    if settings.devices is None:
        return max(1, len(gpus) // workers)
    places, what = (len(gpus), "GPU") if gpus else (machine.cores, "core")
    if settings.devices > 1 and settings.compile:
        raise UserError(
            f"--compile and --devices {settings.devices} are both given; steps that several devices "
            "take together are not compiled"
        )
    if settings.devices > 1 and settings.devices * workers > places:
        at_once = f" for each of {workers} trainings at a time" if workers > 1 else ""
        raise UserError(
            f"--devices {settings.devices}{at_once}: this machine has {counted(places, what)}"
        )
    return settings.devices
