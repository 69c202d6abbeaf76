"""MLflow's web page for a home's runs, on this machine's loopback address by default."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from archsearch.errors import ArchsearchError, UserError, what_failed
from archsearch.tracking import connect
from archsearch.tracking.kinds import find_kind
from archsearch.tracking.mlflow_kind import MLFLOW
from archsearch.tracking.saved_view import TAG, study_url
from archsearch.uris import shown_uri

_START_S = 120.0  # a cold start on a busy machine; a warm one takes about 5 s


@dataclass(slots=True)
class UiServer:
    """A running server; leaving the `with` block stops it.

    Attributes:
        copy: the folder of the store it serves, gone with it, where the home's own may only be read.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    copy: "tempfile.TemporaryDirectory[str] | None" = None

    def study_url(self, study: str | None = None) -> str:
        """Return where a study's runs are listed; None: the study worked on last.

        Raises:
            UserError: there is no study of that name.
        """
        import urllib.request

        request = urllib.request.Request(
            f"{self.url}/api/2.0/mlflow/experiments/search",
            data=json.dumps({"max_results": 1000, "order_by": ["last_update_time DESC"]}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with _direct().open(request, timeout=60) as answer:
            found = json.load(answer).get("experiments", [])
        for experiment in found:
            tags = {tag["key"]: tag["value"] for tag in experiment.get("tags", [])}
            if TAG in tags and (study is None or experiment["name"] == study):
                return study_url(self.url, experiment["experiment_id"])
        if study is not None:
            raise UserError(f"no runs of a study {study!r} here; `archsearch studies` lists them")
        return self.url

    def stop(self) -> None:
        """Stop the server and everything it started."""
        for sign, wait_s in ((signal.SIGTERM, 10.0), (signal.SIGKILL, 10.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, sign)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(wait_s)
                break
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # a worker that outlived its parent
        self.log.close()
        if self.copy is not None:
            self.copy.cleanup()

    def __enter__(self) -> "UiServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start_ui(
    home: Path, *, tracking_uri: str | None = None, host: str = "127.0.0.1", port: int = 5000
) -> UiServer:
    """Start MLflow's server on a home's runs and return it when it answers.

    Args:
        home: the folder of `mlflow.db` and `artifacts/`.
        tracking_uri: a database to serve instead.
        host: where to listen. Anything but a loopback address lets others in: MLflow's server
            asks for no password.
        port: 0 takes a free one.

    Raises:
        UserError: the port is taken, the host is not this machine's, the store is a server that has a
            page of its own, or no store of MLflow's.
        ArchsearchError: the server did not start; the message ends with its last words.
    """
    if find_kind(tracking_uri) is not MLFLOW:
        raise UserError(f"{shown_uri(tracking_uri or '')} is no MLflow store: it has no such page")
    copy = None if tracking_uri else _copied(home)
    uri = f"sqlite:///{copy.name}/mlflow.db" if copy else connect.store_uri(home, tracking_uri)
    if connect.is_server(uri):
        shown = shown_uri(uri)
        raise UserError(f"{shown} is a server with a page of its own: open it in a browser")
    port = _free_port(host, port)
    command = ["--host", host, "--port", str(port)]
    command += ["--default-artifact-root", (home.resolve() / "artifacts").as_uri()]
    server = _launch(command, store=uri, url=f"http://{_url_host(host)}:{port}")
    server.copy = copy
    try:
        _wait(server)
    except BaseException:
        server.stop()
        raise
    return server


def _copied(home: Path) -> "tempfile.TemporaryDirectory[str] | None":
    """Return a folder with a copy of the home's store where that may only be read; None: it may be written.

    MLflow's server writes to its store, if only to say that it has been opened.

    Raises:
        UserError: there is no room for the copy, or the store can't be read.
    """
    store = home.resolve() / "mlflow.db"
    if not store.exists() or all(os.access(path, os.W_OK) for path in (store, store.parent)):
        return None
    copy = tempfile.TemporaryDirectory(prefix="archsearch-ui-")
    try:
        # With what a process that died, or one that writes now, has in files beside it.
        for path in (store, *(store.with_name(store.name + end) for end in ("-journal", "-wal"))):
            if path.exists():
                shutil.copyfile(path, Path(copy.name, path.name))
    except OSError as error:
        copy.cleanup()
        raise UserError(
            f"{store} may only be read, and a copy can't be made of it ({what_failed(error)}); "
            "set TMPDIR to a place with more room"
        ) from error
    return copy


def _launch(options: Sequence[str], *, store: str, url: str) -> UiServer:
    """Start `mlflow server` on a store with these options, and with what is the same for all."""
    command = [sys.executable, "-m", "mlflow", "server", *options]
    # One process is enough for one person, and three fewer copies of MLflow in memory.
    command += ["--workers", "1", "--uvicorn-opts", "--log-level warning"]
    log = tempfile.TemporaryFile(prefix="archsearch-ui-")  # noqa: SIM115  closed in stop
    process = subprocess.Popen(
        command,
        env={
            **os.environ,
            **connect.quiet_environment(),
            "MLFLOW_BACKEND_STORE_URI": store,  # every user of the machine can read command lines
            # It would start four more processes for features this project has no use for.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    return UiServer(url, process, log)


def serve_ui(
    home: Path,
    *,
    tracking_uri: str | None = None,
    host: str = "127.0.0.1",
    port: int = 5000,
    study: str | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Serve MLflow's page until Ctrl-C or SIGTERM.

    Args:
        home: the folder of `mlflow.db` and `artifacts/`.
        tracking_uri: a database to serve instead.
        host: where to listen; anything but a loopback address lets others in.
        port: 0 takes a free one.
        study: the study whose runs the URL opens; None: the one worked on last.
        ready: told the URL once the page can be opened.

    Raises:
        UserError: as `start_ui`, there are no runs, or there is no such study.
        ArchsearchError: the server did not start, or died.
    """
    if tracking_uri is None and not (home / "mlflow.db").exists():
        raise UserError(
            f"no runs in {home} yet: `archsearch run` makes some, --home says where to look"
        )
    with (
        _signals_as_interrupt(),
        contextlib.suppress(KeyboardInterrupt),
        start_ui(home, tracking_uri=tracking_uri, host=host, port=port) as server,
    ):
        ready(server.study_url(study))
        status = server.process.wait()
        raise ArchsearchError(f"MLflow's server ended by itself ({status}): {_tail(server)}")


def _wait(server: UiServer) -> None:
    opener = _direct()
    until = time.monotonic() + _START_S
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise ArchsearchError(f"MLflow's server did not start: {_tail(server)}")
        with contextlib.suppress(OSError):  # URLError is one
            opener.open(f"{server.url}/health", timeout=5).close()
            return
        time.sleep(0.1)
    raise ArchsearchError(f"MLflow's server did not answer in {_START_S:g} s: {_tail(server)}")


def _direct() -> Any:
    """Return an opener that asks no proxy: one knows nothing of this machine's ports."""
    import urllib.request  # 20 ms, of which most commands have no use

    return urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _tail(server: UiServer) -> str:
    server.log.seek(0)
    lines = server.log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it said nothing"


def _free_port(host: str, port: int) -> int:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except socket.gaierror as error:
        raise UserError(f"host {host!r} is unknown; 127.0.0.1 is this machine alone") from error
    except (OSError, OverflowError) as error:
        raise UserError(
            f"port {port} of {host} can't be taken ({getattr(error, 'strerror', None) or error}); "
            "choose another with --port, or --port 0 for any free one"
        ) from error


def _url_host(host: str) -> str:
    if host in {"0.0.0.0", "::"}:  # everywhere; a browser here finds it at the loopback
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


@contextlib.contextmanager
def _signals_as_interrupt() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the server too, which has a session of its own; main thread only."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # as nohup has it
        numbers.append(signal.SIGHUP)
    try:
        before = {number: signal.signal(number, interrupt) for number in numbers}
    except ValueError:  # not the main thread: there are no signals to take
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
