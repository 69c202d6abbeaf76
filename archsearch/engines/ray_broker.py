"""The process that is connected to a Ray cluster, so that the driver is not: a lost cluster ends its drivers.

In goes an `Open`, then jobs and words to stop; out come the machine, then messages as JSON.
"""

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from archsearch.engines.local import Main
from archsearch.engines.ray_places import Node, machine_of, places_of
from archsearch.errors import ArchsearchError, MachineError, UserError, what_failed
from archsearch.training.devices import cores
from archsearch.training.job import Job, from_json, to_json
from archsearch.training.setup import WorkerSetup
from archsearch.training.worker import JOB, end_at_once, redirect_output

AUTO: Final = "auto"
LOCAL: Final = "local"
_POLL_S: Final = 0.1
_REACH_S: Final = 10.0
_GIBIBYTE: Final = 2**30


@dataclass(frozen=True, slots=True)
class Open:
    """Workers that are wanted.

    Attributes:
        setups: one each.
        main: what they run.
    """

    setups: tuple[WorkerSetup, ...]
    main: Main


@dataclass(frozen=True, slots=True)
class Refused:
    """Why there is nothing, or nothing any more.

    Attributes:
        why: in one line.
        by_user: whether the user's input is wrong.
    """

    why: str
    by_user: bool = False

    def error(self) -> ArchsearchError:
        """Return it as an error."""
        return UserError(self.why) if self.by_user else MachineError(self.why)


def main(pipe: Connection, address: str, folder: str, log: str) -> None:
    """Connect, say what is there, and serve one engine until the pipe closes: where the driver dies, too.

    Args:
        pipe: this process's end.
        address: of the cluster; `auto`: one that runs on this machine; `local`: a new one, for this process.
        folder: for files of a new one.
        log: file for all that Ray prints.
    """
    redirect_output(Path(log))
    refused = None
    try:
        _serve(pipe, address, folder)
    except ArchsearchError as error:
        refused = Refused(str(error), by_user=isinstance(error, UserError))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    except OSError as error:  # the driver's disk
        refused = Refused(what_failed(error))
    if refused is not None:
        with suppress(OSError):
            pipe.send(refused)
    _disconnect()
    end_at_once()


def _serve(pipe: Connection, address: str, folder: str) -> None:
    nodes = connect(address, folder)
    machine = machine_of(nodes)
    if not machine.cores:
        raise UserError(
            f"--engine ray: the cluster at {address} has no cores now; `ray start --address=HEAD:6379` "
            "on a machine adds them"
        )
    pipe.send(machine)
    wanted: Open = pipe.recv()

    from archsearch.engines.ray_dispatcher import Dispatcher

    dispatcher = Dispatcher(places_of(wanted.setups, nodes), main=wanted.main)
    try:
        while True:
            while pipe.poll():
                kind, text = pipe.recv()
                if kind != JOB:
                    dispatcher.stop(text)
                    continue
                job = from_json(text)
                assert isinstance(job, Job)
                dispatcher.submit(job)
            for message in dispatcher.listen(_POLL_S):
                pipe.send(to_json(message))
    finally:
        dispatcher.close()


def connect(address: str, folder: str) -> list[Node]:
    """Connect this process to a cluster and return its nodes.

    Raises:
        UserError: there is none, or it lets nobody in.
    """
    # Nothing is sent to Ray's makers, no project of the user's is packed and sent to the nodes.
    os.environ.update(RAY_USAGE_STATS_ENABLED="0", RAY_ENABLE_UV_RUN_RUNTIME_ENV="0")
    more: dict[str, Any] = {}
    if address == LOCAL:
        # A token of its own: Ray would write one into the user's home. Its workers are the run's
        # work and no background.
        os.environ.update(
            RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32), RAY_worker_niceness="0"
        )
        more = {"num_cpus": cores(), "include_dashboard": False, "_temp_dir": folder}
        more["object_store_memory"] = _GIBIBYTE
    elif address != AUTO:
        _check_there(address)

    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning", **more)
    except Exception as error:  # of many kinds, and each of them says that there is no cluster
        said = " ".join(str(error).split())[:300]
        raise UserError(
            f"--engine ray: no cluster at {address} ({said}); `ray start --head` starts one, "
            "--address local is one for this run alone"
        ) from error
    return [
        Node(int(there.get("CPU", 0)), int(there.get("GPU", 0)), int(there.get("memory", 0)))
        for there in (node["Resources"] for node in ray.nodes() if node["Alive"])
    ]


def _check_there(address: str) -> None:
    """Refuse an address where nobody answers: Ray would ask for a minute."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        raise UserError(
            f"--address {address}: wanted auto, local, or HOST:PORT of a Ray cluster's head, such as "
            "10.0.0.1:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address}: nobody answers there ({error}); `ray start --head` prints a cluster's "
            "address"
        ) from error


def _disconnect() -> None:
    import ray

    with suppress(Exception):  # what is lost needs no farewell
        ray.shutdown()
