"""How much main memory this process may use: the machine's, or less where a container sets a limit."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_NONE_BYTES: Final = 2**60
"""What version 1 says where there is no limit is a number as large as this or larger."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory, in bytes: all that may be used, and what of it is free now."""

    total_bytes: int
    free_bytes: int


def main_memory(*, mount: Path = Path("/sys/fs/cgroup"), group: Path | None = None) -> Memory:
    """Return the memory this process may use.

    Args:
        mount: where control groups are mounted (tests bring their own).
        group: the file that names this process's groups; None: the system's.
    """
    import psutil

    found = psutil.virtual_memory()
    total, free = found.total, found.available
    for limit, used in _limits(mount, group or Path("/proc/self/cgroup")):
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Memory(total, free)


def memory_kills(counts: Path = Path("/proc/vmstat")) -> int:
    """Count the processes of this machine that the system has ended as memory ran out; 0 where it tells none.

    Args:
        counts: what the system has counted (tests bring their own).
    """
    return _counted(counts, "oom_kill")


def _limits(mount: Path, group: Path) -> Iterator[tuple[int, int]]:
    """Give the limit of every control group this process is in, and what is used of it.

    A group's limit holds for the groups in it; so do the files at the mount itself, which in a container are
    its own group's (https://docs.kernel.org/admin-guide/cgroup-v2.html, section memory).
    """
    try:
        lines = group.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if not kinds:
            names = ("memory.max", "memory.current", "inactive_file")
            yield from _of_levels(mount, path, names)
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            yield from _of_levels(mount / "memory", path, names)


def _of_levels(root: Path, path: str, names: tuple[str, str, str]) -> Iterator[tuple[int, int]]:
    parts = [part for part in path.split("/") if part not in ("", "..")]
    for count in range(len(parts) + 1):
        folder = root.joinpath(*parts[:count])
        limit, used = _number(folder / names[0]), _number(folder / names[1])
        if limit is not None and used is not None and limit < _NONE_BYTES:
            # Pages of files that nobody uses are given back when memory is asked for.
            yield limit, max(0, used - _counted(folder / "memory.stat", names[2]))


def _number(path: Path) -> int | None:
    """Return the number in a file; None where there is none, or it says `max`."""
    try:
        return int(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _counted(path: Path, name: str) -> int:
    """Return a figure of a file with one a line, after its name; 0 where it is not there."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return next(int(line.split()[1]) for line in lines if line.split()[:1] == [name])
    except (OSError, ValueError, IndexError, StopIteration):
        return 0
