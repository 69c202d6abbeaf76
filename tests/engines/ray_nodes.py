"""A Ray cluster of several nodes on this machine, in a process of its own, which this one only speaks to."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TOKEN = "0" * 64
SCRIPT = """
import json, sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, shutdown_at_exit=True, head_node_args=json.loads(sys.argv[1]))
nodes = {}
print(cluster.address, flush=True)
for line in sys.stdin:
    what, name, *more = json.loads(line)
    if what == "add":
        nodes[name] = cluster.add_node(wait=True, **more[0])
    elif what == "remove":
        cluster.remove_node(nodes.pop(name), allow_graceful=False)
    elif what == "behead":
        cluster.head_node.kill_gcs_server(check_alive=False)
        cluster.head_node.kill_raylet(check_alive=False)
    print("done", flush=True)
cluster.shutdown()
"""


class Nodes:
    """The cluster, its head apart: nodes come and go by name."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.address = self._answer()

    def add(self, name: str, **resources: int) -> None:
        self._do("add", name, resources)

    def remove(self, name: str) -> None:
        """At once, as a machine that loses its power."""
        self._do("remove", name)

    def behead(self) -> None:
        self._do("behead", "")

    def _do(self, *what: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        assert self._answer() == "done"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.strip() == "done" or (line.count(":") == 1 and line[0].isdigit()):
                return line.strip()
        raise AssertionError("the cluster's process has ended")


def environment(folder: str) -> dict[str, str]:
    """Variables by which all of Ray's processes find one another and leave nothing anywhere else."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_TMPDIR": folder,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
    }


@contextmanager
def cluster(**head: int) -> Iterator[Nodes]:
    """Give a cluster with a head of these resources; its workers find this folder's modules."""
    folder = tempfile.mkdtemp(prefix="ray-test-")
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environ = {
        **os.environ,
        **environment(folder),
        "TMPDIR": folder,
        "PYTHONPATH": os.pathsep.join(paths),
    }
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, json.dumps(head)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, env=environ, cwd=folder,
    ) as process:  # fmt: skip
        try:
            yield Nodes(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
            shutil.rmtree(folder, ignore_errors=True)
