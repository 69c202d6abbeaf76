"""A real PostgreSQL of the tests' own, where one is installed."""

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

BINARIES = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)), None)
_MISSING = [
    name
    for name, missing in (
        ("PostgreSQL's server", BINARIES is None and shutil.which("initdb") is None),
        (
            "psycopg or psycopg2",
            all(importlib.util.find_spec(name) is None for name in ("psycopg", "psycopg2")),
        ),
    )
    if missing
]
NEEDED = pytest.mark.skipif(bool(_MISSING), reason=f"not installed: {', '.join(_MISSING)}")
"""Marks a test that asks for `server`."""


class Server:
    """A PostgreSQL of our own, on a socket in a folder."""

    def __init__(self, folder: Path) -> None:
        self.data, self.folder = folder / "data", folder
        self.user = "nobody" if os.geteuid() == 0 else None  # it refuses to run as root
        folder.mkdir()
        if self.user:
            shutil.chown(folder, self.user)
        self._run("initdb", "-D", str(self.data), "-U", "me", "-A", "trust", "--no-sync")

    @property
    def url(self) -> str:
        return f"postgresql://me@/postgres?host={self.folder}"

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -F"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    def stop(self) -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def _run(self, name: str, *words: str) -> None:
        program = str(BINARIES / name) if BINARIES else name
        subprocess.run(
            [program, *words], check=True, stdout=subprocess.DEVNULL, user=self.user, cwd="/"
        )


@pytest.fixture
def server() -> Iterator[Server]:
    # Not below pytest's folder, which is closed to others, and a socket's path is short.
    folder = Path(f"/tmp/archsearch-pg-{os.getpid()}")
    made = Server(folder)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(folder)
