"""Which backend trains: asked for, or the fastest one installed for the machine."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Final

from archsearch.errors import UserError
from archsearch.recipes.recipe import Precision
from archsearch.training.backends.base import Steps, Task
from archsearch.training.devices import gpu_numbers, has_bfloat16, has_cudnn

AUTO: Final = "auto"
NAMES: Final = ("tensorflow", "jax", "torch")
# Fastest first, as benchmarks/RESULTS.md has it.
_ON_ONE_THREAD: Final = ("torch", "tensorflow", "jax")
_ON_THREADS: Final = ("tensorflow", "torch", "jax")
_ON_GPU: Final = ("torch", "jax", "tensorflow")
_NO_CUDA: Final = (
    "none of them can use this machine's GPU; "
    "pip install 'tensorflow[and-cuda]', or a torch that is built for CUDA"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, and why it is this one, for the plan."""

    name: str
    why: str


def choose_backend(
    wanted: str = AUTO,
    *,
    threads: int = 1,
    gpus: tuple[str, ...] | None = None,
    found: Callable[[str], Path | None] | None = None,
) -> Choice:
    """Choose a backend without importing any.

    Args:
        wanted: a name, or `auto`.
        threads: of a worker.
        gpus: of the machine that trains; None: of this one.
        found: where a package is installed, None where it is not (tests bring their own).

    Raises:
        UserError: there is no such backend, or it is not installed.
    """
    place = found or _place
    installed = [name for name in NAMES if place(name) is not None]
    if wanted in NAMES:
        return _asked_for(wanted, installed)
    if wanted != AUTO:
        raise UserError(f"no backend {wanted!r}; there are {', '.join((AUTO, *NAMES))}")
    if gpus_for(wanted, gpus=gpus, found=found):
        name = next(name for name in _ON_GPU if name in installed and _uses_gpu(name, place))
        return Choice(name, f"the fastest on a GPU of {_listed(installed)}")
    there = gpu_numbers() if gpus is None else gpus
    for name in _ON_ONE_THREAD if threads == 1 else _ON_THREADS:
        if name in installed:
            how = "one CPU thread" if threads == 1 else "several CPU threads"
            why = f"the fastest on {how} of {_listed(installed)}"
            return Choice(name, f"{why}; {_NO_CUDA}" if there else why)
    raise UserError("no backend is installed; pip install tensorflow")


def _asked_for(wanted: str, installed: list[str]) -> Choice:
    if wanted in installed:
        return Choice(wanted, "asked for")
    what = "tensorflow" if wanted == "tensorflow" else f"'archsearch[{wanted}]'"
    raise UserError(
        f"backend {wanted} is not installed; pip install {what}, "
        f"or take {' or '.join(installed) or 'another'}"
    )


def gpus_for(
    wanted: str,
    *,
    gpus: tuple[str, ...] | None = None,
    found: Callable[[str], Path | None] | None = None,
) -> tuple[str, ...]:
    """Name the GPUs that a backend, or with `auto` any installed one, can train on.

    Args:
        wanted: a backend's name, or `auto`.
        gpus: of the machine that trains; None: of this one.
        found: as in `choose_backend`.
    """
    place = found or _place
    gpus = gpu_numbers() if gpus is None else gpus
    able = (_uses_gpu(name, place) for name in NAMES if wanted in (AUTO, name) and place(name))
    return gpus if gpus and any(able) else ()


def rivals(*, gpu: bool, found: Callable[[str], Path | None] | None = None) -> list[str]:
    """Name the installed backends that may be the fastest: which one is may be measured.

    On a GPU those built for it; on a processor not JAX: a quarter of the others' speed, and a minute until it
    has compiled (benchmarks/RESULTS.md).
    """
    place = found or _place
    there = [name for name in NAMES if place(name) is not None]
    if gpu:
        return [name for name in there if _uses_gpu(name, place)]
    return [name for name in there if name != "jax"]


def choose_compiled(wanted: bool | None, backend: str) -> bool:
    """Choose whether training steps are compiled: not where nothing was said and nothing measured.

    Raises:
        UserError: PyTorch's compiler needs another one, which is not there.
    """
    if backend == "jax":
        return True
    if wanted and backend == "torch" and not any(map(which, ("c++", "g++", "clang++"))):
        raise UserError("--compile: PyTorch's compiler needs a C++ compiler, g++ or clang++")
    return bool(wanted)


def choose_precision(
    wanted: str,
    backend: str,
    *,
    threads: int,
    gpus: tuple[str, ...] | None = None,
    found: Callable[[str], Path | None] | None = None,
) -> Precision:
    """Choose how precisely to compute: bfloat16 on GPUs and where it makes a processor's training faster.

    Args:
        wanted: a precision, or `auto`.
        backend: what trains.
        threads: of a worker.
        gpus: of the machine that trains; None: of this one.
        found: where a package is installed, None where it is not (tests bring their own).

    Raises:
        UserError: there is no such precision.
    """
    if wanted == "float32":
        return "float32"
    if wanted == "bfloat16":
        return "bfloat16"
    if wanted != AUTO:
        raise UserError(f"no precision {wanted!r}; there are {AUTO}, float32, bfloat16")
    # On processors only PyTorch's convolutions gain, and only with one thread: several wait for one
    # another more often than in float32 (benchmarks/RESULTS.md).
    on_gpu = bool(gpus_for(backend, gpus=gpus, found=found))
    pays = on_gpu or (backend == "torch" and threads == 1 and has_bfloat16())
    return "bfloat16" if pays else "float32"


def make_steps(backend: str, task: Task) -> Steps:
    """Build a task's network on a backend; imports it."""
    if backend == "torch":
        from archsearch.training.backends.torch import TorchSteps

        return TorchSteps(task)
    if backend == "jax":
        from archsearch.training.backends.jax import JaxSteps

        return JaxSteps(task)
    from archsearch.training.backends.tensorflow import TensorFlowSteps

    return TensorFlowSteps(task)


def _place(name: str) -> Path | None:
    spec = find_spec(name)
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _uses_gpu(name: str, place: Callable[[str], Path | None]) -> bool:
    """Tell whether an installed backend was built for NVIDIA GPUs, and has their libraries."""
    folder = place(name)
    if name == "torch":
        return folder is not None and (folder / "lib" / "libtorch_cuda.so").exists()
    if name == "jax":
        return any(place(f"jax_cuda{version}_plugin") is not None for version in (12, 13))
    # TensorFlow's package has its GPU kernels in it, but not what they call: `tensorflow[and-cuda]` puts
    # that beside it, others install it for all programs.
    return folder is not None and has_cudnn(folder.parent)


def _listed(installed: list[str]) -> str:
    return "those installed" if len(installed) > 1 else f"what is installed ({installed[0]})"
