"""A home that one may only read, as a user who really may not write: what reads does, what writes says so."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from archsearch.cli.app import main
from archsearch.tracking.mlflow_store import MlflowStore
from archsearch.tracking.records import StudyRecord
from tests.small_study import NAME, Small

NOBODY = 65534
AS_USER = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
READS = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
"""Where Python itself lies in a folder of root's: it may read all, and write nothing."""


@pytest.fixture(scope="module")
def nobody() -> list[str]:
    """What a command begins with that is run by a user without any right of its own."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root may become another user, with setpriv")
    for prefix in (AS_USER, [*AS_USER, *READS]):
        if runs(
            prefix, "import subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
        ):
            return [*prefix, sys.executable, "-m", "archsearch"]
    pytest.skip("another user can't run this Python")


def runs(prefix: list[str], script: str) -> bool:
    tried = [*prefix, sys.executable, "-c", f"import archsearch.cli.app; {script}"]
    return not subprocess.run(tried, capture_output=True, check=False).returncode


@pytest.fixture
def own():
    """A folder of that user's."""
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, NOBODY, NOBODY)
        yield Path(place)


def begun(words: list[str], own: Path, **more) -> subprocess.Popen:
    environment = {**os.environ, "HOME": str(own), "TMPDIR": str(own)}
    return subprocess.Popen(
        words, cwd=own, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        **more,
    )  # fmt: skip


def held(home: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in home.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def another() -> Iterator[Path]:
    """A folder of root's that everybody may read; pytest's are closed to others."""
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        yield Path(place)


@pytest.fixture(scope="module")
def home(another: Path) -> Path:
    home = another / "home"
    Small(home).run()
    for lock in home.glob(".*.lock"):
        lock.unlink()
    return home


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["studies"], ""),
        (["leaderboard", NAME, "--json"], ""),
        # The quick run reads these on a file system mounted for reading: tests/cli/test_exit.py.
        pytest.param(["compare", NAME], "", marks=pytest.mark.slow),
        pytest.param(["check", NAME], "", marks=pytest.mark.slow),
        (["report", NAME, "--out", "report"], ""),
        (["report", NAME], "can't be written (Permission denied); choose another --out"),
        (["delete", NAME, "--yes", "--keep-runs"], "nothing of the study can be changed here"),
        (["track", NAME], "nothing of the study can be changed here"),
    ],
)
def test_what_reads_does_and_what_writes_says_so(home, nobody, own, words, line):
    before = held(home)
    process = begun([*nobody, *words, "--home", str(home)], own)
    out, error = process.communicate(timeout=120)
    assert held(home) == before
    if not line:
        assert process.returncode == 0, error
        assert out or words[0] == "check"  # whose verdict is for people
        return
    assert process.returncode == 2, error
    (said,) = error.splitlines()
    assert line in said


def test_a_home_that_one_may_not_even_look_into_is_no_fault(tmp_path, home, nobody, own):
    closed = tmp_path / "closed"
    shutil.copytree(home, closed / "home")
    closed.chmod(0o700)
    if not runs(AS_USER, ""):
        pytest.skip("another user can't run this Python without a right to read all")
    prefix = [word for word in nobody if word not in READS]
    for words in (["studies"], ["leaderboard", NAME], ["delete", NAME, "--yes"]):
        process = begun([*prefix, *words, "--home", str(closed / "home")], own)
        _, error = process.communicate(timeout=120)
        (said,) = error.splitlines()
        assert (process.returncode, "fault of archsearch" in said) == (2, False), said


def test_the_page_shows_a_copy_that_goes_with_it(another, nobody, own):
    tmp_path = another / "tracked"
    tmp_path.mkdir()
    store = MlflowStore(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    store.start_study(StudyRecord(name="s", space="toy", budget="1M"), 0)
    before = held(tmp_path)
    process = begun([*nobody, "ui", "--port", "0", "--home", str(tmp_path)], own)
    try:
        said = process.stdout.readline() or process.stderr.read()
        assert said.startswith("MLflow is at http://127.0.0.1:"), said
        assert list(own.glob("archsearch-ui-*/mlflow.db"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert held(tmp_path) == before
    assert not list(own.glob("archsearch-ui-*"))


@pytest.mark.slow
def test_a_model_is_exported_to_a_place_of_ones_own(another, nobody, own, capsys):
    asked = "--space vgg --flops 4M --trials 1 --epochs 1 --finalists 1 --seeds 1 --no-export"
    kept = another / "trained"
    home = ["--home", str(kept)]
    assert main(["run", *asked.split(), "--name", "s", *home]) == 0, capsys.readouterr().err
    before = held(kept)
    process = begun([*nobody, "export", "s", "--out", "model", *home], own)
    _, error = process.communicate(timeout=300)
    assert (process.returncode, error) == (0, "")
    assert (own / "model" / "saved_model.pb").is_file()
    assert held(kept) == before
