import logging
import warnings
from pathlib import Path

import pytest

from archsearch.errors import UserError
from archsearch.report.live import SilentView, View
from archsearch.report.log import StudyLog
from archsearch.settings import RunSettings
from archsearch.study.events import Notice, StudyStarted


def started(folder: Path) -> StudyStarted:
    return StudyStarted(
        study="s", settings=RunSettings(space="vgg", flops="20M", workers=1), folder=str(folder),
        distinct=9, input=(32, 32, 3), classes=2, images={"train": 3},
        notes=("a note",),
    )  # fmt: skip


def test_events_and_library_noise_go_into_the_studys_file_and_nowhere_else(tmp_path, capfd):
    seen = []

    class Seeing(View):
        def __call__(self, event):
            seen.append(event)

    before = logging.getLogger().handlers[:]
    with StudyLog(Seeing()) as log, warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.getLogger("a.library").warning("said before there was a file")
        log(started(tmp_path))
        log(Notice(text="50 % done"))
        logging.getLogger("another").error("a library's trouble")
        warnings.warn("a library's warning", stacklevel=1)
    text = (tmp_path / "driver.log").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert "WARNING a.library: said before there was a file" in lines[0]
    assert "INFO    Study s: 6 trials of vgg" in lines[1]
    assert all(line[:4].isdigit() for line in lines[:5])
    for wanted in ("a note", "50 % done", "ERROR   another: a library's trouble", "'s warning"):
        assert wanted in text
    assert capfd.readouterr() == ("", "")
    assert len(seen) == 2
    assert logging.getLogger().handlers == before


def test_verbose_shows_the_log_and_what_workers_say(tmp_path, capfd):
    (tmp_path / "workers").mkdir()
    worker = tmp_path / "workers" / "worker-0.log"
    worker.write_text("of an earlier run\n")
    with StudyLog(SilentView(), verbose=True) as log:
        log(started(tmp_path))
        with worker.open("a") as file:
            file.write("TensorFlow's start-up\n")
        log(Notice(text="next"))
    out, err = capfd.readouterr()
    assert out == ""
    assert "worker-0: TensorFlow's start-up" in err
    assert "earlier" not in err
    assert "Study s" in err
    assert "next" in err


def fail(folder, error):
    with StudyLog(View()) as log:
        log(started(folder))
        raise error


def test_how_a_run_ended_is_in_the_log(tmp_path):
    for error in (UserError("too little"), ZeroDivisionError("division")):
        with pytest.raises(type(error)):
            fail(tmp_path, error)
    text = (tmp_path / "driver.log").read_text(encoding="utf-8")
    assert "ERROR   ended: too little" in text
    assert "Traceback" in text.split("too little")[1]
