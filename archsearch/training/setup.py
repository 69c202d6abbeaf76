"""What a worker process is given to train with; decided by the driver before it starts."""

import os
from dataclasses import dataclass, replace
from typing import Final

from archsearch.lean_imports import import_lean

DEVICE_ORDER: Final = "PCI_BUS_ID"
"""How GPUs are numbered: as nvidia-smi does."""
_USABLE: Final = 0.9
"""The part of a GPU's memory that frameworks are let take: a process needs some besides, and latency is
measured in one more."""
_NOT_OURS: Final = (
    "JAX_DEBUG_NANS", "JAX_DEFAULT_DTYPE_BITS", "JAX_DISABLE_JIT", "JAX_ENABLE_X64",
    "JAX_NUMPY_DTYPE_PROMOTION", "JAX_NUMPY_RANK_PROMOTION", "JAX_PLATFORMS", "JAX_PLATFORM_NAME",
    "JAX_TRANSFER_GUARD", "KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED",
    "TF_USE_LEGACY_KERAS", "TF_XLA_FLAGS",
)  # fmt: skip
"""Variables by which somebody suits frameworks to programs of their own: numbers of another width, no
compiler, checks that stop a training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """A worker's share of the machine.

    Attributes:
        backend: what it trains on (archsearch.training.backends).
        threads: CPU threads it may compute with.
        gpu: the number of its GPU; None: the processor alone.
        gpu_share: its part of that GPU.
        mps: folder of the service through which workers share a GPU (archsearch.engines.mps).
        cache: folder for compiled programs, so that a network is compiled once, however many workers
            train it and however often; None: nothing is kept.
        devices: processes that train its jobs together, each on its share of every batch.
        gpus: of these processes, one each; empty: the processor.
        rank: the number of this process among them; only the first one is spoken to.
        meeting: file by which they find one another; None: it is alone.
    """

    backend: str = "tensorflow"
    threads: int = 1
    gpu: str | None = None
    gpu_share: float = 1.0
    mps: str | None = None
    cache: str | None = None
    devices: int = 1
    gpus: tuple[str, ...] = ()
    rank: int = 0
    meeting: str | None = None

    def member(self, rank: int, *, meeting: str) -> "WorkerSetup":
        """Return the setup of one of the processes that train together."""
        gpu = self.gpus[rank] if self.gpus else self.gpu
        return replace(self, gpu=gpu, rank=rank, meeting=meeting)

    @property
    def memory_share(self) -> float:
        """The part of its GPU's memory that its framework may take."""
        return _USABLE * self.gpu_share

    def apply(self) -> None:
        """Set what frameworks read as they are imported: call it before that."""
        import_lean()
        # Keras is not asked to compute on PyTorch: what trains there is no Keras model.
        os.environ["KERAS_BACKEND"] = "jax" if self.backend == "jax" else "tensorflow"
        # No file of the user's: ~/.keras/keras.json may ask for channels first, float16 or another backend.
        # Nothing is read in a folder that is none, and nothing written.
        os.environ["KERAS_HOME"] = os.devnull
        for name in _NOT_OURS:
            os.environ.pop(name, None)
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
        os.environ["CUDA_VISIBLE_DEVICES"] = self.gpu or ""
        os.environ.setdefault("CUDA_DEVICE_ORDER", DEVICE_ORDER)
        if self.mps is not None:
            os.environ["CUDA_MPS_PIPE_DIRECTORY"] = self.mps
        if self.backend == "jax" and self.gpu is None:
            os.environ["JAX_PLATFORMS"] = "cpu"
        for name in (
            "OMP_NUM_THREADS",
            "TF_NUM_INTRAOP_THREADS",
            "TF_NUM_INTEROP_THREADS",
            "NPROC",
        ):
            os.environ[name] = str(self.threads)
        # Threads that wait for work spin by default, in the way of the other workers': torch with two
        # threads took ten times as long on two busy cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
        # Nobody takes all of a GPU's memory at the start: other workers share it, and latency is measured
        # beside them.
        os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
        os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
        os.environ["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{self.memory_share:.3f}"
        if self.cache is not None:  # TensorFlow has none
            os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", self.cache)
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "1")
            os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", self.cache)
