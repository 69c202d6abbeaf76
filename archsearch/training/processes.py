"""Processes of the driver: born deaf to Ctrl-C, and asked why they ended."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import current_process, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final

from archsearch.errors import UserError

NAME: Final = "archsearch-"
"""The names of these processes begin so."""
_NO_GUARD: Final = 93
"""Exit status of one in which the calling script called archsearch anew: no library's own."""
_WRITE_GUARD: Final = (
    "archsearch starts processes, and each imports the script that calls it; put the call under "
    '`if __name__ == "__main__":`, so that they do not call it again'
)


def leave_if_imported() -> None:
    """End this process where it is one that archsearch started, and the script it imports calls archsearch.

    Raises:
        UserError: it is a process that somebody else started, and imports such a script.
    """
    process = current_process()
    if getattr(process, "_inheriting", False):  # true while the script is imported
        if process.name.startswith(NAME):
            os._exit(_NO_GUARD)  # in silence: whoever started it tells the user, once
        raise UserError(_WRITE_GUARD)


@dataclass(frozen=True, slots=True)
class Child:
    """A process of the driver, its pipe, and the log to which it writes.

    Attributes:
        process: it.
        pipe: the driver's end; the process has the other one.
        log: to which it writes, as others did before it.
        log_before: how long that was when it began, in bytes.
    """

    process: SpawnProcess
    pipe: Connection
    log: Path
    log_before: int

    def why_ended(self) -> str:
        """Return why it ended, with the last line of its log where that helps.

        Raises:
            UserError: its script called archsearch anew; says what to write.
        """
        if self.process.exitcode == _NO_GUARD:
            raise UserError(_WRITE_GUARD) from None
        return _why_ended(self.process.exitcode, self.log, since=self.log_before)


def start(main: Callable[..., None], *args: Any, name: str, log: Path) -> Child:
    """Start a process and return it: `main` is given its end of a pipe, these values and the log's path.

    Spawned, not forked: a driver with threads (the tracker's) does not survive a fork well.
    """
    context = get_context("spawn")
    mine, theirs = context.Pipe()
    before = _size_of(log)
    process = context.Process(
        target=main, args=(theirs, *args, str(log)), name=f"{NAME}{name}", daemon=True
    )
    with _no_signals():
        process.start()
    theirs.close()
    return Child(process, mine, log, before)


@contextmanager
def _no_signals() -> Iterator[None]:
    """Have processes started in the block ignore Ctrl-C, SIGTERM and SIGHUP from birth: it decides."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _size_of(log: Path) -> int:
    """Return how long a log is before a process writes to it, in bytes."""
    try:
        return log.stat().st_size
    except OSError:
        return 0


def _why_ended(exit_code: int | None, log: Path, *, since: int = 0) -> str:
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
    if not lines:  # it did not come so far as to write its log
        last = "while it imported the script that calls archsearch: what that does at its top is done again"
    return f"exit status {exit_code}" + (f", {last[:200]}" if last else "")
