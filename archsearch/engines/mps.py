"""NVIDIA's Multi-Process Service: processes that share a GPU compute side by side, not in turns.

It needs no rights and changes nothing on the GPU: https://docs.nvidia.com/deploy/mps. One that is there
already is left as it is.
"""

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from archsearch.training.setup import DEVICE_ORDER, WorkerSetup

CONTROL: Final = "nvidia-cuda-mps-control"
_OTHERS: Final = Path("/tmp/nvidia-mps")
"""The folder in which a service that somebody else has started listens."""
_START_S: Final = 20.0
_END_S: Final = 5.0
# `cat` ends when the process that started the service does, however it ends.
_SERVE: Final = f"""
timeout {_START_S:.0f} {CONTROL} -d >&2 || exit 1
echo started
cat >/dev/null
printf 'quit -t 2\nquit\n' | timeout {_END_S:.0f} {CONTROL} >&2
rm -r "$CUDA_MPS_PIPE_DIRECTORY"
"""
_PROBE: Final = """
import ctypes
cuda, device, context = ctypes.CDLL("libcuda.so.1"), ctypes.c_int(), ctypes.c_void_p()
for code in (
    cuda.cuInit(0),
    cuda.cuDeviceGet(ctypes.byref(device), 0),
    cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), device),
):
    assert code == 0, f"CUDA error {code}"
"""


class Service:
    """A service of this process's own, for the workers it starts.

    Attributes:
        folder: where it listens; what a worker's setup needs.
    """

    def __init__(self, log: Path) -> None:
        # Not in the study's folder: a socket's address has room for 107 characters.
        self.folder = tempfile.mkdtemp(prefix="archsearch-mps-")
        environment = self._environment()
        # It would number those GPUs anew, and the workers name them as the machine does.
        environment.pop("CUDA_VISIBLE_DEVICES", None)
        with log.open("ab") as to:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=to,
                env=environment,
                start_new_session=True,  # Ctrl-C is the driver's
            )

    def works(self) -> bool:
        """Wait until it has started, and tell whether a process can use a GPU through it."""
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"started\n":
            return False
        try:
            probe = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env=self._environment(),
                capture_output=True,
                timeout=_START_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        return probe.returncode == 0

    def close(self) -> None:
        """End it; the workers have ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2 * _END_S)
        self._process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        where = {"CUDA_MPS_PIPE_DIRECTORY": self.folder, "CUDA_MPS_LOG_DIRECTORY": self.folder}
        return {"CUDA_DEVICE_ORDER": DEVICE_ORDER, **os.environ, **where}


def start(setups: Sequence[WorkerSetup], log: Path) -> Service | None:
    """Start a service where workers share a GPU and return it; None where none do, or it is not to be had.

    Args:
        setups: of the workers.
        log: file for what it says.
    """
    gpus = [setup.gpu for setup in setups if setup.gpu is not None]
    others = "CUDA_MPS_PIPE_DIRECTORY" in os.environ or _OTHERS.exists()
    if len(set(gpus)) == len(gpus) or others or shutil.which(CONTROL) is None:
        return None
    service = Service(log)
    if service.works():
        return service
    service.close()
    logging.getLogger(__name__).warning("workers take turns on the GPU: %s, see %s", CONTROL, log)
    return None
