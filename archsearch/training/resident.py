"""How much memory this process has had resident."""

import ctypes
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

_M_TRIM_THRESHOLD: Final = -1  # of glibc's malloc.h
_M_MMAP_THRESHOLD: Final = -3


def reset_peak_rss() -> None:
    """Count the peak from here on, where the system can (Linux)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def keep_freed_memory() -> None:
    """Have the C library keep large blocks for the next step instead of giving them back (glibc).

    A framework without a pool of its own asks for the same maps in every step; given back each time,
    they come as new pages, which the system clears. On PyTorch networks of small convolutions trained
    up to 1.4 times as fast without (benchmarks/RESULTS.md).
    """
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        library.mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        library.mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)


def held_bytes() -> int:
    """Return this process's own resident memory: pages of mapped files are the system's to take back."""
    if (told := _status_bytes("RssAnon")) is not None:
        return told
    import psutil

    return int(psutil.Process().memory_info().rss)


def peak_rss_bytes() -> int:
    """Return the largest resident memory since the reset, or since the process began."""
    if (told := _status_bytes("VmHWM")) is not None:
        return told
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _status_bytes(field: str) -> int | None:
    """Read a figure of this process from the system; None where it does not tell (Linux does)."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) * 1024
    return None
