"""How the process ends: never by a signal of its own, whatever a thread of it does."""

import os
import subprocess
import sys
import textwrap

import pytest

from archsearch.cli.app import main
from tests.small_study import NAME, Small

DRAWS = """
    import sys, threading
    from archsearch.tracking.curves import learning_curves_png
    curve = {"loss": {step: 1 / step for step in range(1, 30)}}
    learning_curves_png(curve, title="once, so that all is imported")

    def work():
        while True:
            learning_curves_png(curve, title="again and again")

    threading.Thread(target=work, daemon=True).start()
"""


@pytest.mark.parametrize(
    "words",
    [["rules", "--json"], pytest.param(["rules"], marks=pytest.mark.slow), ["nonsense"]],
)
def test_a_thread_that_draws_at_the_end_does_not_abort_the_process(words: list[str]):
    # A plain end of the interpreter came to SIGABRT about every other time.
    code = textwrap.dedent(DRAWS) + textwrap.dedent(f"""
        from archsearch.cli import main
        sys.argv = ["archsearch", *{words!r}]
        sys.exit(main())
    """)
    expected = 2 if words == ["nonsense"] else 0
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], check=False, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr.count("terminate called")) == (expected, 0)
        assert bool(done.stdout) == (expected == 0)
        assert done.stdout.endswith("\n" if expected == 0 else "")


TRACKS = """
    import threading, time
    from archsearch.tracking import mlflow_tracker
    from archsearch.tracking.curves import learning_curves_png
    from archsearch.tracking.mlflow_tracker import MlflowTracker
    from archsearch.tracking.records import StudyRecord
    from pathlib import Path
    curve = {"loss": {step: 1 / step for step in range(1, 30)}}
    learning_curves_png(curve, title="once")
    until = time.monotonic() + 2

    class Store:
        experiment_id = ""

        def __init__(self, uri, home):
            while time.monotonic() < until:
                learning_curves_png(curve, title="as at the end of a training")
            raise ValueError("no store")

    mlflow_tracker.MlflowStore = Store
    tracker = MlflowTracker(Path("."), tracking_uri="http://localhost:9", warn=lambda text: None)
    tracker.start_study(StudyRecord(name="s", space="vgg", budget="20M"))
    time.sleep(0.3)
    print(tracker.close(0.1))
"""


def test_a_script_whose_tracker_was_not_through_ends_well(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(TRACKS)],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "lacks 1 update of this study" in done.stdout


@pytest.mark.parametrize("words", ["studies", "run --space vgg --flops 20M", "rules"])
def test_a_working_directory_that_is_gone_is_one_line(tmp_path, words: str):
    gone = tmp_path / "gone"
    gone.mkdir()
    code = f"import os; os.rmdir({str(gone)!r}); from archsearch.cli import main; main({words.split()!r})"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=gone
    )
    line = "archsearch: the working directory is gone; change into one that is there\n"
    assert done.stderr == line


@pytest.fixture
def read_only(tmp_path):
    """A home on a file system that is mounted for reading."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    home = tmp_path / "home"
    home.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", str(home)], check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        Small(home).run(trials=2, finalists=1)
        for lock in home.glob(".*.lock"):
            lock.unlink()
        subprocess.run(["mount", "-o", "remount,ro", str(home)], check=True)
        yield home
    finally:
        subprocess.run(["umount", "--lazy", str(home)], check=True)


def test_commands_that_read_do_so_on_a_home_that_is_only_read(read_only, tmp_path, capsys):
    home = ["--home", str(read_only)]
    for words in (
        ["studies"], ["leaderboard", NAME], ["compare", NAME], ["check", NAME],
        ["report", NAME, "--out", str(tmp_path / "report")],
    ):  # fmt: skip
        status = main([*words, *home])
        assert status == 0, capsys.readouterr().err
    capsys.readouterr()  # the verdict of `check`
    for words in (
        ["delete", NAME, "--yes", "--keep-runs"],
        ["run", "--space", "vgg", "--flops", "20M"],
    ):
        assert main([*words, *home]) in (1, 2)
        (line,) = capsys.readouterr().err.splitlines()
        assert "fault of archsearch" not in line
