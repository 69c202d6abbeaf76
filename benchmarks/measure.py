"""What every benchmark prints: the machine, the versions, n, median and spread."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path


def machine() -> str:
    """Return processor, usable cores, memory and Python in one line."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.partition(":")[2].strip()
            for line in info.read_text().splitlines()
            if "model name" in line
        ]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{model}, {cores} cores, {platform.system()}, Python {platform.python_version()}"


def versions(names: Iterable[str]) -> str:
    """Return the versions of installed packages in one line."""
    return ", ".join(f"{name} {version(name)}" for name in names)


def spread(values: Sequence[float], *, digits: int = 1) -> str:
    """Return median, extremes and n: `412.0 (388.1 to 430.9, n = 5)`."""
    middle = statistics.median(values)
    return f"{middle:,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f}, n = {len(values)})"


def seconds(step: Callable[[], object], *, runs: int, budget_s: float = 1.0) -> list[float]:
    """Time a call, in seconds, once a run; a run is as many calls as fit its share of the budget."""
    step()
    begin = time.perf_counter()
    step()
    calls = max(1, int(budget_s / runs / (time.perf_counter() - begin)))
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        for _ in range(calls):
            step()
        times.append((time.perf_counter() - begin) / calls)
    return times
