"""Ray clusters of several nodes on this machine, in processes of their own, which this one only speaks to."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

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


AUTOSCALER_PORT = 6379
"""Ray's own: where its provider of made-up machines looks for the head."""
_HEAD_ID = "f" * 51 + "00000"
_HEAD_TYPE = "ray.head.default"
_NOTHING = (
    "cluster_synced_files", "head_setup_commands", "head_start_ray_commands", "initialization_commands",
    "rsync_exclude", "rsync_filter", "setup_commands", "worker_setup_commands", "worker_start_ray_commands",
)  # fmt: skip


def _autoscaling(*, least: int, most: int) -> dict[str, Any]:
    """Return a cluster file: nodes of one core, an empty head, machines that are processes of this one."""
    made_up = "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider"
    one = {
        "resources": {"CPU": 1, "object_store_memory": 80 * 2**20}, "node_config": {},
        "min_workers": least, "max_workers": most,
    }  # fmt: skip
    return {
        **{name: [] for name in _NOTHING},
        "cluster_name": "made-up", "max_workers": most, "idle_timeout_minutes": 0.05,
        "upscaling_speed": 1.0, "auth": {}, "docker": {}, "file_mounts": {},
        "file_mounts_sync_continuously": False,
        "provider": {
            "type": "external", "module": made_up, "launch_multiple": True, "head_node_id": _HEAD_ID,
        },
        "head_node_type": _HEAD_TYPE,
        "available_node_types": {
            _HEAD_TYPE: {"resources": {}, "node_config": {}, "max_workers": 0}, "one": one,
        },
    }  # fmt: skip


@contextmanager
def autoscaling(folder: Path, *, least: int, most: int) -> Iterator[str]:
    """Give the address of a cluster that Ray's autoscaler grows and shrinks between so many nodes.

    Args:
        folder: of its processes; its path is short.
        least: nodes of one core, besides an empty head.
        most: likewise.
    """
    file = folder / "cluster.json"
    file.write_text(json.dumps(_autoscaling(least=least, most=most)))
    # As ray.cluster_utils.AutoscalingCluster has them, which ends everybody's Ray on this machine.
    environ = {
        **os.environ, "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1", "RAY_CLOUD_INSTANCE_ID": _HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": _HEAD_ID,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    words = [
        f"--port={AUTOSCALER_PORT}", "--num-cpus=0", f"--temp-dir={folder}", "--include-dashboard=false",
        f"--autoscaling-config={file}",
    ]  # fmt: skip
    ray = Path(sys.executable).with_name("ray")
    subprocess.run([ray, "start", "--head", *words], env=environ, check=True, capture_output=True)
    try:
        yield f"127.0.0.1:{AUTOSCALER_PORT}"
    finally:
        for process in psutil.process_iter(["cmdline"]):
            if any(str(folder) in word for word in process.info["cmdline"] or ()):
                with suppress(psutil.NoSuchProcess):
                    process.kill()


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
