"""A new process asks a model: what it answers, what it cannot load, what it leaves."""

import os
import signal
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from archsearch.errors import ArchsearchError
from archsearch.exchange.checking.reloading import answers_afresh
from archsearch.exchange.formats.format import Need

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)


class Told:
    """A format whose file says what to do."""

    name = "told"
    suffix = ".told"
    exact = True
    needs = (Need("numpy", "numpy"),)

    def write(self, trained, out):
        raise NotImplementedError

    def call(self, out, images):
        text = out.read_text()
        if text == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if text == "raise":
            raise ValueError("no such operation\nmore of it")
        if text == "modules":
            return np.array([name in sys.modules for name in ("tensorflow", "keras", "torch")])
        return images.mean(axis=(1, 2))


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # As a third party's format is: the new process imports it by its name, from this one's path.
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    from test_reloading import Told as Imported

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))

    def asked(text: str):
        (tmp_path / "model.told").write_text(text)
        return answers_afresh(Imported(), tmp_path / "model.told", IMAGES)

    yield asked
    assert list((tmp_path / "temporary").iterdir()) == []


def test_it_answers_and_nothing_of_the_writers_is_there(ask):
    np.testing.assert_array_equal(ask("mean"), IMAGES.mean(axis=(1, 2)))
    assert not ask("modules").any()


def test_what_goes_wrong_is_said_in_one_line(ask):
    with pytest.raises(ArchsearchError, match=r"as told: ValueError: no such operation$"):
        ask("raise")
    with pytest.raises(ArchsearchError, match="the process that tried it ended with status -9"):
        ask("die")
