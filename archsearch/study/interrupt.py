"""Ctrl-C: once to stop where it hurts least, twice to stop at once; and what it raises."""

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from archsearch.errors import ArchsearchError


class Interrupted(ArchsearchError):  # noqa: N818  nothing is wrong: the user asked for it
    """The user stopped the run; all is saved."""

    status = 130


class Interrupts:
    """While active, the first SIGINT or SIGTERM sets `requested`; another one raises.

    So does SIGHUP, but for `nohup`, which has it ignored: a terminal that closes may send it more than once,
    and nobody is there to be in a hurry.

    Outside the main thread signals cannot be caught; then nothing is ever requested.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._hang_up)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True

    def _hang_up(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        for stream in (1, 2):
            try:
                os.write(stream, b"")
            except OSError:  # the terminal is gone: what would be shown there must not fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
