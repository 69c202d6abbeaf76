"""MLflow's server: started for real, talked to, killed under a running study."""

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from archsearch.errors import ArchsearchError, UserError
from archsearch.tracking import deletion
from archsearch.tracking.deletion import delete_study
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import Ending, StudyRecord, TrialRecord
from archsearch.tracking.saved_view import study_url
from archsearch.tracking.server import UiServer, serve_ui, start_ui

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture
def server(home: Path) -> Iterator[UiServer]:
    with start_ui(home, port=0) as server:
        yield server


def _request(url: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(url, headers=headers)
    try:
        with OPENER.open(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_study_over_a_server_that_dies_and_comes_back(
    server: UiServer,
    home: Path,
    tmp_path: Path,
    kept: Any,
    study: StudyRecord,
    trial: TrialRecord,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = int(server.url.rsplit(":", 1)[1])
    warnings: list[str] = []
    tracker = MlflowTracker(tmp_path / "mine", tracking_uri=server.url, warn=warnings.append)
    tracker.start_study(study)
    assert tracker.flush(600)
    tracker.start_trial(trial)
    tracker.epoch(trial.key, 1, {"val_accuracy": 0.1})
    assert tracker.flush(600)
    assert warnings == []

    # The page and its API answer to this machine's names only.
    api = f"{server.url}/api/2.0/mlflow/experiments/search?max_results=1"
    assert _request(api)[0] == 200
    assert _request(api, Host="evil.example")[0] == 403
    assert _request(api, Host="localhost:5000")[0] == 200
    status, body = _request(server.url)
    assert status == 200
    assert "<html" in body

    assert server.study_url() == study_url(server.url, tracker.experiment_id)
    assert server.study_url(study.name) == study_url(server.url, tracker.experiment_id)
    with pytest.raises(UserError, match="no runs of a study 'other' here"):
        server.study_url("other")

    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.wait()
    tracker.epoch(trial.key, 2, {"val_accuracy": 0.2})
    tracker.end_trial(trial.key, Ending(status="complete"))
    tracker.start_trial(dataclasses.replace(trial, key="next"))
    until = time.monotonic() + 120
    while not warnings and time.monotonic() < until:
        assert not tracker.flush(0.2)
    assert len(warnings) == 1
    assert "connection refused; training goes on, what is tracked waits in memory" in warnings[0]

    with start_ui(home, port=port):
        assert tracker.flush(600)
        assert len(warnings) == 2
        assert "answers again" in warnings[1]
        found = kept(home, study.name)
        assert set(found.trials) == {trial.key, "next"}
        assert found.history(trial.key, "val_accuracy") == [(1, 0.1), (2, 0.2)]
        assert found.trials[trial.key].info.status == "FINISHED"
        assert found.trials["next"].info.status == "RUNNING"

    tracker.end_trial("next", Ending(status="complete"))
    problem = tracker.close(4.0)  # the server is gone again, for good
    assert problem is not None
    assert "lacks 1 update of this study (first: next's end): connection refused" in problem
    monkeypatch.setattr(deletion, "_purge", lambda *asked: None)  # as tests of deletion have it
    assert delete_study(home, study.name) == 3


def test_a_taken_port_is_told(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"port {port} of 127.0.0.1 can't be taken .*--port"):
            start_ui(home, port=port)


@pytest.mark.parametrize(
    ("host", "port", "why"),
    [
        ("nosuchhost.invalid", 0, "unknown"),
        ("192.0.2.1", 0, "can't be taken"),
        ("127.0.0.1", 99999, "can't be taken"),
    ],
)
def test_a_wrong_host_or_port_is_told(home: Path, host: str, port: int, why: str) -> None:
    with pytest.raises(UserError, match=why):
        start_ui(home, host=host, port=port)


def test_a_server_has_a_page_of_its_own(home: Path) -> None:
    with pytest.raises(UserError, match=r"http://u:\*\*\*@h is a server with a page of its own"):
        start_ui(home, tracking_uri="http://u:secret@h")


def test_a_home_without_runs_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no runs in .*archsearch run"):
        serve_ui(tmp_path / "home", port=0)
    assert not (tmp_path / "home").exists()


def test_a_store_that_cannot_be_served(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look like one " * 20)
    with pytest.raises(ArchsearchError, match=r"did not start: .+"):
        start_ui(tmp_path, port=0)


# In the quick run tests/cli/test_read_only.py ends `archsearch ui` with the second.
@pytest.mark.slow
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_serving_ends_with_a_signal_and_leaves_nothing_behind(
    home: Path, sign: signal.Signals
) -> None:
    code = f"""if True:
        from pathlib import Path
        from archsearch.tracking.server import serve_ui
        serve_ui(Path({str(home)!r}), port=0, ready=lambda url: print(url, flush=True))
        print("over")
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    children = _children(process.pid)
    assert len(children) == 1
    assert url.startswith("http://127.0.0.1:")
    process.send_signal(sign)
    out, _ = process.communicate(timeout=300)
    assert (out, process.returncode) == ("over\n", 0)
    assert not _alive(children[0])


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children()]
