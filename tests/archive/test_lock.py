import json
import multiprocessing
import os
from pathlib import Path

import pytest

from archsearch.archive.lock import holder, locked
from archsearch.errors import UserError

pytestmark = pytest.mark.faults


def test_another_process_is_named_and_its_death_frees_the_lock(tmp_path: Path, toys):
    path = tmp_path / "driver.lock"
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=toys.hold_lock, args=(str(path), theirs))
    process.start()
    try:
        assert mine.recv() == "held"
        assert holder(path).pid == process.pid
        message = rf"'s' is being driven by process {process.pid} \("
        with pytest.raises(UserError, match=message), locked(path, study="s"):
            pass
        assert holder(path).pid == process.pid
    finally:
        process.kill()
        process.join()
        process.close()
        mine.close()
        theirs.close()
    assert holder(path) is None
    with locked(path, study="s"):
        assert holder(path).pid == os.getpid()
    assert holder(path) is None


def test_a_reused_pid_is_no_holder(tmp_path: Path):
    path = tmp_path / "driver.lock"
    path.write_text(json.dumps({"pid": os.getpid(), "started": 1.0, "command": "x"}))
    assert holder(path) is None
    with locked(path, study="s"):
        pass


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"pid": 1}', '{"pid": "x", "started": 0, "command": ""}']
)
def test_damaged_locks_are_taken_over(tmp_path: Path, text: str):
    path = tmp_path / "driver.lock"
    path.write_text(text)
    with locked(path, study="s"):
        assert holder(path).pid == os.getpid()


def test_what_to_try_is_said_by_whoever_wants_the_lock(tmp_path: Path):
    path = tmp_path / "driver.lock"
    with locked(path, study="s"):
        with pytest.raises(UserError, match=r"; wait for it or end it$"), locked(path, study="s"):
            pass
        other = locked(path, study="s", hint="give another --name")
        with pytest.raises(UserError, match=r"; give another --name$"), other:
            pass
