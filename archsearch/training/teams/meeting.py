"""Where the processes that train one network together find one another: an address each, in a file each."""

import socket
import time
from pathlib import Path
from typing import Final

from archsearch.training.setup import WorkerSetup
from archsearch.whole_files import write_whole

_PATIENCE_S: Final = 600.0
"""The others may still import what takes long; one that has died is noticed by the driver."""
_LOOK_EVERY_S: Final = 0.02


def addresses(setup: WorkerSetup) -> list[str]:
    """Tell the others a free address of this machine's loopback, and return everyone's, by rank.

    Raises:
        TimeoutError: not all have come.
    """
    assert setup.meeting is not None
    files = [Path(f"{setup.meeting}.{rank}") for rank in range(setup.devices)]
    write_whole(files[setup.rank], f"127.0.0.1:{_free_port()}")
    end = time.monotonic() + _PATIENCE_S
    while not all(file.exists() for file in files):
        if time.monotonic() > end:
            raise TimeoutError(f"{setup.devices} processes were to meet; not all have come")
        time.sleep(_LOOK_EVERY_S)
    return [file.read_text() for file in files]


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
