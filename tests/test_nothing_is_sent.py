"""A whole run, its model read again, its page made: no process of it speaks to anyone but this machine."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = Path(__file__).parent / "watched"
HERE = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "", None}


def addresses(log: Path) -> set[str | None]:
    """Return the hosts of all addresses in a log; those of sockets in files are none."""
    found = set()
    for line in log.read_text(encoding="utf-8").splitlines():
        _, _, text = line.partition("\t")
        address = ast.literal_eval(text)
        if isinstance(address, tuple):
            found.add(address[0])
        elif not (isinstance(address, str) and address.startswith(("/", "\0"))) and not isinstance(
            address, bytes
        ):
            found.add(address)
    return found


@pytest.fixture
def ask(tmp_path: Path):
    """Run a command of archsearch with every Python process of it watched."""
    environment = os.environ | {
        "PYTHONPATH": str(WATCHED),
        "WATCHED_BY": str(tmp_path / "addresses.txt"),
        "HOME": str(tmp_path),
    }

    def run(*words: str) -> None:
        command = [sys.executable, "-m", "archsearch", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    (tmp_path / "addresses.txt").touch()
    return run


def test_a_watched_process_is_found_out(tmp_path: Path):
    log = tmp_path / "addresses.txt"
    speak = "import socket; s = socket.socket(); s.settimeout(0.01); s.connect(('192.0.2.1', 9))"
    environment = os.environ | {"PYTHONPATH": str(WATCHED), "WATCHED_BY": str(log)}
    subprocess.run([sys.executable, "-c", speak], env=environment, check=False, capture_output=True)
    assert addresses(log) == {"192.0.2.1"}


@pytest.mark.slow
def test_nothing_is_sent(tmp_path: Path, ask):
    ask(
        "run",
        "--space",
        "vgg",
        "--flops",
        "4M",
        "--trials",
        "2",
        "--epochs",
        "1",
        "--seeds",
        "1",
        "--name",
        "s",
    )
    ask("report", "s")
    ask("export", "s", "--out", "net.keras", "--format", "keras")
    ask("profile", "resnet50")
    assert addresses(tmp_path / "addresses.txt") <= HERE
