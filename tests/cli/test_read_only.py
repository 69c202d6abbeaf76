"""A home that one may only read, as a user who really may not write: what reads does, what writes says so."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
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


ANSWERS = """
import contextlib, io, json, sys
from archsearch.cli import main
for words in json.loads(sys.argv[1]):
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        status = main(words)
    print(json.dumps([status, out.getvalue(), error.getvalue()]), file=sys.__stdout__)
"""


def answers(nobody: list[str], own: Path, commands: list[list[str]]) -> list[tuple[int, str, str]]:
    """What the commands of one process come to: their status, what they print, what they say."""
    prefix = nobody[: nobody.index(sys.executable)]
    process = begun([*prefix, sys.executable, "-c", ANSWERS, json.dumps(commands)], own)
    out, error = process.communicate(timeout=120)
    assert (process.returncode, error) == (0, "")
    return [tuple(json.loads(line)) for line in out.splitlines()]


READING = [
    ["studies"], ["leaderboard", NAME, "--json"], ["compare", NAME], ["check", NAME],
    ["report", NAME, "--out", "report"],
]  # fmt: skip
WRITING = [
    (["report", NAME], "can't be written (Permission denied); choose another --out"),
    (["delete", NAME, "--yes", "--keep-runs"], "nothing of the study can be changed here"),
    (["track", NAME], "nothing of the study can be changed here"),
]


def test_what_reads_does_and_what_writes_says_so(home, nobody, own):
    before = held(home)
    asked = [*READING, *(words for words, _ in WRITING)]
    found = answers(nobody, own, [[*words, "--home", str(home)] for words in asked])
    assert held(home) == before
    for words, (status, out, error) in zip(READING, found, strict=False):
        assert status == 0, error
        assert out or words[0] == "check"  # whose verdict is for people
    assert (own / "report").is_dir()
    for (_, line), (status, _, error) in zip(WRITING, found[len(READING) :], strict=True):
        assert status == 2, error
        (said,) = error.splitlines()
        assert line in said


def test_a_home_that_one_may_not_even_look_into_is_no_fault(tmp_path, home, nobody, own):
    closed = tmp_path / "closed"
    shutil.copytree(home, closed / "home")
    closed.chmod(0o700)
    if not runs(AS_USER, ""):
        pytest.skip("another user can't run this Python without a right to read all")
    prefix = [word for word in nobody if word not in READS]
    asked = [["studies"], ["leaderboard", NAME], ["delete", NAME, "--yes"]]
    commands = [[*words, "--home", str(closed / "home")] for words in asked]
    for status, _, error in answers(prefix, own, commands):
        (said,) = error.splitlines()
        assert (status, "fault of archsearch" in said) == (2, False), said


def test_the_page_shows_a_copy_that_goes_with_it(another, nobody, own, empty_store):
    tmp_path = another / "tracked"
    tmp_path.mkdir()
    shutil.copy(empty_store, tmp_path / "mlflow.db")
    store = MlflowStore(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    store.start_study(StudyRecord(name="s", space="toy", budget="1M"), 0)
    before = held(tmp_path)
    process = begun([*nobody, "ui", "--port", "0", "--home", str(tmp_path)], own)
    try:
        said = process.stdout.readline() or process.stderr.read()
        assert said.startswith("MLflow is at http://127.0.0.1:"), said
        assert list(own.glob("archsearch-ui-*/mlflow.db"))
        (server,) = psutil.Process(process.pid).children()
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert not server.is_running()
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
