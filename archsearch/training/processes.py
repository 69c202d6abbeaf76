"""Processes of the driver: born deaf to Ctrl-C, and asked why they ended."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def no_signals() -> Iterator[None]:
    """Have processes started in the block ignore Ctrl-C and SIGTERM from birth: the driver decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def size_of(log: Path) -> int:
    """Return how long a log is before a process writes to it, in bytes."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def why_ended(exit_code: int | None, log: Path, *, since: int = 0) -> str:
    """Say why a process ended, with the last line of its log where that helps.

    Args:
        exit_code: of the process; None: it has not ended.
        log: to which it wrote, as others did before it.
        since: how long the log was when the process began, in bytes.
    """
    if exit_code is None:
        return "it closed its pipe"
    if exit_code < 0:
        hint = "; perhaps the memory ran out" if -exit_code == signal.SIGKILL else ""
        return f"signal {-exit_code} ({signal.Signals(-exit_code).name}){hint}"
    try:
        lines = log.read_bytes()[since:].decode("utf-8", "replace").split("\n")
    except OSError:
        lines = []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f"exit status {exit_code}" + (f", {last[:200]}" if last else "")
