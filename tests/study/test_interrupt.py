"""Signals in real processes, one of them in a terminal that closes."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.faults

PROGRAM = """
import sys, time
from pathlib import Path
from archsearch.study.interrupt import Interrupts
place = Path(sys.argv[1])
with Interrupts() as interrupts:
    (place / "ready").touch()
    begun = time.monotonic()
    while not interrupts.requested and time.monotonic() < begun + 100:
        time.sleep(0.01)
    (place / "asked").touch()
    print("saving", flush=True)
    print("saving", file=sys.stderr, flush=True)
    time.sleep(0.3)  # what comes again meanwhile
    print("saved", flush=True)
    (place / "saved").touch()
"""


def wait_for(path):
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} never came"
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_leaves_time_to_save(number, tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    assert said == "saving\nsaved\n"
    assert process.returncode == 0


def test_a_second_hang_up_is_none_in_a_hurry(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)]) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path / "asked")
        process.send_signal(signal.SIGHUP)
        assert process.wait(timeout=120) == 0
    assert (tmp_path / "saved").exists()


def test_a_terminal_that_closes_does_not_keep_it_from_saving(tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, str(tmp_path)])
    wait_for(tmp_path / "ready")
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert (tmp_path / "saved").exists()


def test_nohup_is_respected(tmp_path):
    command = ["nohup", sys.executable, "-c", PROGRAM, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert not (tmp_path / "asked").exists()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=120)
    assert (tmp_path / "saved").exists()
