"""What this machine can train on, found without importing a framework."""

import contextlib
import os
import platform
import subprocess
import sys
from ctypes.util import find_library
from pathlib import Path


def cores() -> int:
    """Return how many CPU cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def gpu_numbers(devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Name the NVIDIA GPUs this process may use, as `CUDA_VISIBLE_DEVICES` would.

    Args:
        devices: folder of device files (tests bring their own).
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = tuple(name for name in map(str.strip, visible.split(",")) if name)
        return () if names[:1] == ("-1",) else names
    found = [path.name.removeprefix("nvidia") for path in devices.glob("nvidia[0-9]*")]
    # CUDA counts those it sees: a container given the machine's fourth GPU has /dev/nvidia3 and device 0.
    return tuple(map(str, range(sum(name.isdigit() for name in found))))


def gpu_memory_bytes() -> int | None:
    """Return the memory of the first GPU this process may use; None where NVIDIA's tool does not tell."""
    names = gpu_numbers()
    if not names:
        return None
    asked = ["nvidia-smi", f"--id={names[0]}", "--query-gpu=memory.total"]
    try:
        told = subprocess.run(
            [*asked, "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return int(told.stdout) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def has_cudnn(packages: Path) -> bool:
    """Tell whether NVIDIA's library of neural networks is there, for a framework among these packages.

    Args:
        packages: the folder Python's packages are installed in.
    """
    named = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    folders = [
        packages / "nvidia/cudnn/lib",
        Path(sys.prefix) / "lib",
        *map(Path, filter(None, named)),
    ]
    there = any(any(folder.glob("libcudnn.so*")) for folder in folders)
    return there or find_library("cudnn") is not None


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Tell whether the processor multiplies bfloat16 numbers by itself (AVX-512 BF16 or AMX)."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


def processor(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Return the processor's name as it calls itself; where nothing says it, its kind (`x86_64`)."""
    with contextlib.suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
