"""Starting processes that leave it to the driver what Ctrl-C means."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


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
