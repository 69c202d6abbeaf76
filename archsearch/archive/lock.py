"""Locks: one driver a study, named by the lock and gone with it; and a short one to wait for."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TextIO

from archsearch.errors import UserError
from archsearch.uris import shown_uri


@dataclass(frozen=True, slots=True)
class Holder:
    """The process that drives a study."""

    pid: int
    started: float
    """When the process began, in seconds since 1970: a pid alone is reused."""
    command: str


def holder(path: Path) -> Holder | None:
    """Return the living process that holds the lock at `path`, if there is one."""
    import psutil

    try:
        found = Holder(**json.loads(path.read_text(encoding="utf-8")))
        alive = abs(psutil.Process(found.pid).create_time() - found.started) < 2
    except (OSError, ValueError, TypeError, psutil.Error):
        return None
    return found if alive else None


@contextmanager
def locked(path: Path, *, study: str, hint: str = "wait for it or end it") -> Iterator[None]:
    """Hold the lock at `path` while the block runs; a dead process's lock is taken over.

    The operating system's own lock decides, so that two drivers cannot both take over; what is
    written in the file is for people. `hint` says what to try where another process has it.

    Raises:
        UserError: another process drives the study; it is named. Or the lock can't be written.
    """
    import psutil

    with _opened(path) as file:
        other = holder(path)
        if not _try_lock(file.fileno(), unsupported=other is None):
            who = f"process {other.pid} ({other.command})" if other else "another process"
            raise UserError(f"study {study!r} is being driven by {who}; {hint}")
        try:
            words = map(shown_uri, sys.argv)  # the storage's password may be among them
            me = Holder(os.getpid(), psutil.Process().create_time(), " ".join(words)[:200])
            file.truncate(0)
            file.write(json.dumps(asdict(me)))
            file.flush()
            yield
        finally:
            file.truncate(0)  # the folder may be gone by now; the open file is not


def _opened(path: Path) -> TextIO:
    try:
        return open(path, "a+", encoding="utf-8", opener=_private)
    except OSError as error:
        raise UserError(
            f"{path} can't be written ({error.strerror}): nothing of the study can be changed here; try it "
            "as the user whose study it is"
        ) from error


def _private(path: str, flags: int) -> int:
    """Open a file that nobody else reads, where the command line has a secret: it is no file's business."""
    secret = any(shown_uri(word) != word for word in sys.argv)
    return os.open(path, flags, 0o600 if secret else 0o666)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Let one process at a time run the block; the others wait for it at the lock at `path`."""
    with ExitStack() as stack:
        # Windows, a file system without locks, a folder that is only read: nobody waits there.
        with suppress(ImportError, OSError):
            import fcntl

            file = stack.enter_context(path.open("a", encoding="utf-8"))
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


def _try_lock(descriptor: int, *, unsupported: bool) -> bool:
    """Lock the file while it is open here and tell whether that worked; `unsupported` without such locks."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        # Windows, or a file system without locks: what the file says must do.
        return unsupported
    return True
