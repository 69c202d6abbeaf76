"""How the process ends: never by a signal of its own, whatever a thread of it does."""

import subprocess
import sys
import textwrap

import pytest

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


@pytest.mark.parametrize("words", [["rules"], ["rules", "--json"], ["nonsense"]])
def test_a_thread_that_draws_at_the_end_does_not_abort_the_process(words: list[str]):
    # A plain end of the interpreter came to SIGABRT about every other time.
    code = textwrap.dedent(DRAWS) + textwrap.dedent(f"""
        from archsearch.cli import main
        sys.argv = ["archsearch", *{words!r}]
        sys.exit(main())
    """)
    expected = 2 if words == ["nonsense"] else 0
    for _ in range(3):
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
