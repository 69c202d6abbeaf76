"""Files that are there whole or not at all: written beside their place, then renamed."""

import os
from pathlib import Path


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o666) -> None:
    """Write a file; what was there before stays until all of the new one is on the disk.

    Args:
        path: its folder is there.
        content: a text is written as UTF-8.
        mode: permissions, less what the process masks.

    Raises:
        OSError: it can't be written; nothing is left of it then.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)  # of a killed process that had this number: it keeps its mode
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
