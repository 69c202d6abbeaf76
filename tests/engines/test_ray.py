"""The engine on a Ray cluster: nodes that come and are lost, images that are brought, nothing left behind."""

import os
import re
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import psutil
import pytest

pytest.importorskip("ray")

from ray.exceptions import ActorUnavailableError, RayActorError

from archsearch.engines.ray_crew import Task, after_loss, why_lost
from archsearch.engines.ray_engine import RAY, Broker, RayEngine
from archsearch.engines.shared import LOSSES
from archsearch.errors import MachineError, UserError
from archsearch.recipes.recipe import Recipe
from archsearch.testing.engine_case import FAILING, EngineCase
from archsearch.training.job import EpochReport, Job, Outcome, WorkerLost
from archsearch.training.setup import WorkerSetup
from tests.engines.ray_nodes import AUTOSCALER_PORT, Nodes, autoscaling, cluster, environment
from tests.study.test_kill_training import Home, data, wait_for

__all__ = ["data"]
PATIENCE_S = 180.0


def job(key: str, epochs: int, graph: str = "ok", **more) -> Job:
    given = {"dataset": "", "recipe": Recipe(), "seed": 0, **more}
    return Job(key=key, graph=graph, images=epochs, **given)


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """What Ray's processes and ours may write into; the user's home stays as it is, and so does /tmp."""
    short = Path(f"/tmp/as-{os.getpid()}")  # a socket's address has room for 107 characters
    short.mkdir()
    for name, value in environment(str(short)).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(short))
    monkeypatch.setattr("tempfile.tempdir", None)
    home = tmp_path / "user"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    yield short
    shutil.rmtree(short, ignore_errors=True)
    assert not (home / ".ray").exists()


def trainers() -> list[int]:
    """The processes of workers on this machine's nodes."""
    found = []
    for process in psutil.process_iter(["name", "ppid"]):
        if process.info["name"].startswith("ray::RayWorker"):
            found += [
                p.pid for p in process.children() if "resource_tracker" not in str(p.cmdline())
            ]
    return found


def until(engine: RayEngine, wanted) -> list:
    """Listen until a message is as wanted; return all there were."""
    seen: list = []
    end = time.monotonic() + PATIENCE_S
    while not any(wanted(message) for message in seen):
        assert time.monotonic() < end, seen
        seen += engine.events(0.2)
    return seen


def reported(key: str):
    return lambda m: isinstance(m, EpochReport) and m.key == key


def ended(key: str):
    return lambda m: isinstance(m, Outcome) and m.key == key


def test_what_becomes_of_a_job_whose_worker_is_lost():
    kept = Task(job("trial-0000", 3, checkpoint="folder"), reported=True)
    assert [after_loss(kept, "gone") for _ in range(LOSSES - 1)] == [None] * (LOSSES - 1)
    last = after_loss(kept, "gone")
    assert last == Outcome(key="trial-0000", status="failed", reason="gone (3 times)")
    assert after_loss(Task(job("trial-0001", 3)), "gone") is None, "it has not begun"
    begun = after_loss(Task(job("trial-0001", 3), reported=True), "gone")
    assert begun == Outcome(key="trial-0001", status="failed", reason="gone")
    stopped = after_loss(Task(job("trial-0002", 3), stopping=True), "gone")
    assert stopped == Outcome(key="trial-0002", status="pruned", reason="gone")


def test_why_a_worker_was_lost_is_one_line():
    said = RayActorError(
        "01", "The actor died.\n\tname: x\nIts node was lost. Some common causes include: …"
    )
    assert why_lost(said) == "Its node was lost."
    assert why_lost(ActorUnavailableError("RpcError", b"1" * 16)) == "it does not answer"
    assert why_lost(MachineError("no GPU")) == "no GPU"
    assert why_lost(ImportError("no torch\nat all")) == "ImportError: no torch"


def test_a_cluster_of_its_own_leaves_nothing_behind(
    folder: Path, toys: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_TMPDIR", "RAY_worker_niceness"):
        monkeypatch.delenv(name)  # as a user's shell has none
    monkeypatch.setenv("PYTHONPATH", str(Path(toys.__file__).parent))
    before = set(psutil.pids())
    engine = RayEngine(Broker("local"), [WorkerSetup()], logs=tmp_path, main=toys.worker)
    try:
        engine.submit(job("trial-0000", 3, "setup"))
        engine.submit(job("trial-0001", 1000))
        seen = until(engine, reported("trial-0001"))
        assert [m.epoch for m in seen if reported("trial-0000")(m)] == [1, 2, 3]
        [outcome] = filter(ended("trial-0000"), seen)
        assert "gpu=None" in outcome.reason
        [pid, *_] = trainers()
        assert psutil.Process(pid).nice() == os.getpriority(os.PRIO_PROCESS, 0)
        ours = {p.pid for p in psutil.Process().children(recursive=True)} - before
    finally:
        engine.close()
    _, alive = psutil.wait_procs([psutil.Process(n) for n in ours if psutil.pid_exists(n)], 5)
    said = [" ".join(process.cmdline()) for process in alive]
    assert [line for line in said if "resource_tracker" not in line] == []  # which is Python's own
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left == []
    assert (tmp_path / "ray.log").exists()


@pytest.mark.slow
class TestRay(EngineCase):
    """On two nodes of one core each, which serve all tests and train nothing."""

    kind = RAY
    patience_s = PATIENCE_S

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _nodes(cls) -> Iterator[None]:
        with cluster(num_cpus=1) as nodes:
            nodes.add("other", num_cpus=1)
            cls.address = nodes.address
            yield

    @pytest.fixture(autouse=True)
    def _world(self, folder: Path, toys: ModuleType) -> None:
        self.toys = toys

    def job(self, key, epochs):
        return job(key, epochs)

    def failing(self):
        return job(FAILING, 1, "fail")

    def deadly(self):
        return job(FAILING, 1, "kill")

    def open(self, workers, folder):
        setups = [WorkerSetup()] * workers
        return RayEngine(Broker(self.address), setups, logs=folder, main=self.toys.worker)

    def machine(self, home):
        kind = RAY.at(self.address)
        found = kind.machine(home)
        assert found.cores == 2
        kind._drop()
        return found

    def processes(self, engine):
        return trainers()


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with cluster(num_cpus=0) as found:
        yield found


@pytest.mark.slow
def test_nodes_come_and_are_lost_and_the_head_last(
    nodes: Nodes, folder: Path, toys: ModuleType, tmp_path: Path
):
    with pytest.raises(UserError, match=r"has no cores now; `ray start --address"):
        Broker(nodes.address)
    nodes.add("one", num_cpus=1)
    engine = RayEngine(
        Broker(nodes.address), [WorkerSetup()] * 2, logs=tmp_path / "logs", main=toys.worker
    )
    try:
        kept, lost = str(tmp_path / "kept"), "trial-0001"
        engine.submit(job("trial-0000", 10**6, checkpoint=kept))
        engine.submit(job(lost, 10**6))
        until(engine, reported("trial-0000"))
        nodes.add("two", num_cpus=1)  # for which a worker has waited
        until(engine, reported(lost))
        nodes.remove("one")
        nodes.remove("two")
        seen = until(engine, ended(lost))
        if not any(isinstance(m, WorkerLost) for m in seen):
            seen += until(engine, lambda m: isinstance(m, WorkerLost))
        [outcome] = filter(ended(lost), seen)
        assert outcome.status == "failed"
        assert "was lost: " in outcome.reason
        assert {m.key for m in seen if isinstance(m, WorkerLost)} == {"trial-0000"}
        nodes.add("three", num_cpus=2)
        until(engine, reported("trial-0000"))
        engine.stop("trial-0000")
        [outcome] = filter(ended("trial-0000"), until(engine, ended("trial-0000")))
        assert outcome.status == "pruned"
        assert "was lost: " in outcome.worker_lost
        engine.submit(job("trial-0002", 10**6))
        until(engine, reported("trial-0002"))
        nodes.behead()
        with pytest.raises(MachineError, match=r"the Ray cluster at .* is lost \(") as caught:
            until(engine, ended("trial-0002"))
        assert "\n" not in str(caught.value)
    finally:
        engine.close()


@pytest.mark.slow
def test_a_killed_worker_takes_its_processes_with_it_and_its_job_goes_on(
    nodes: Nodes, folder: Path, toys: ModuleType, tmp_path: Path
):
    nodes.add("one", num_cpus=1)
    engine = RayEngine(Broker(nodes.address), [WorkerSetup()], logs=tmp_path, main=toys.worker)
    try:
        engine.submit(job("trial-0000", 10**6, checkpoint=str(tmp_path / "kept")))
        until(engine, reported("trial-0000"))
        [trainer] = map(psutil.Process, trainers())
        trainer.parent().kill()
        seen = until(engine, lambda m: isinstance(m, WorkerLost))
        [lost] = [m for m in seen if isinstance(m, WorkerLost)]
        assert lost.key == "trial-0000"
        assert re.fullmatch(r"worker on \S+ was lost: .*", lost.why)
        trainer.wait(60)
        until(engine, reported("trial-0000"))
    finally:
        engine.close()


@pytest.mark.slow
def test_a_worker_without_a_job_is_given_back_and_asked_for_anew(
    nodes: Nodes, folder: Path, toys: ModuleType, tmp_path: Path
):
    nodes.add("one", num_cpus=1)
    engine = RayEngine(Broker(nodes.address), [WorkerSetup()], logs=tmp_path, main=toys.worker)
    try:
        engine.submit(job("trial-0000", 3))
        until(engine, ended("trial-0000"))
        end = time.monotonic() + PATIENCE_S
        while trainers():
            assert time.monotonic() < end
            assert engine.events(1.0) == []
        engine.submit(job("trial-0001", 3))
        [outcome] = filter(ended("trial-0001"), until(engine, ended("trial-0001")))
        assert outcome.status == "complete"
    finally:
        engine.close()


@pytest.mark.slow
def test_an_autoscaler_brings_nodes_for_jobs_that_wait_and_takes_them_back(
    folder: Path, toys: ModuleType, tmp_path: Path
):
    with socket.socket() as tried:
        if not tried.connect_ex(("127.0.0.1", AUTOSCALER_PORT)):
            pytest.skip(f"port {AUTOSCALER_PORT}, which Ray's made-up machines look for, is taken")
    with autoscaling(folder, least=1, most=2) as address:
        broker = _once_there_is_room(address)
        engine = RayEngine(broker, [WorkerSetup()] * 2, logs=tmp_path, main=toys.worker)
        try:
            for key in ("trial-0000", "trial-0001"):
                engine.submit(job(key, 10**6))
            seen = until(engine, reported("trial-0000"))
            if not any(map(reported("trial-0001"), seen)):
                until(engine, reported("trial-0001"))
            assert _nodes(folder) == 2
            for key in ("trial-0000", "trial-0001"):
                engine.stop(key)
            end = time.monotonic() + PATIENCE_S
            while _nodes(folder) > 1:
                assert time.monotonic() < end
                engine.events(1.0)
        finally:
            engine.close()


def _once_there_is_room(address: str) -> Broker:
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return Broker(address)
        except UserError:  # the first node is on its way
            assert time.monotonic() < end
            time.sleep(1)


def _nodes(folder: Path) -> int:
    """Count nodes besides the head: each has a process of Ray's that places the work."""
    found = psutil.process_iter(["name", "cmdline"])
    ours = [p for p in found if str(folder) in " ".join(p.info["cmdline"] or ())]
    return sum(process.info["name"] == "raylet" for process in ours) - 1


@pytest.mark.slow
def test_images_that_a_node_lacks_are_brought_there_once(
    nodes: Nodes,
    folder: Path,
    toys: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    nodes.add("one", num_cpus=2)
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    (images / "dataset.json").write_text('{"digest": "1"}')
    (images / "train_images.npy").write_bytes(bytes(range(256)) * 1000)
    monkeypatch.chdir(tmp_path)  # the nodes have another folder, and so not these images
    engine = RayEngine(
        Broker(nodes.address), [WorkerSetup()] * 2, logs=tmp_path / "logs", main=toys.worker
    )
    try:
        for number in range(3):
            engine.submit(job(f"trial-{number:04d}", 1, "data", dataset="data/images"))
        seen: list = []
        for number in range(3):
            key = f"trial-{number:04d}"
            if not any(map(ended(key), seen)):
                seen += until(engine, ended(key))
        found = {m.reason for m in seen if isinstance(m, Outcome)}
        assert len(found) == 1
        place, _, names = found.pop().partition(": ")
        assert names == "['dataset.json', 'train_images.npy']"
        assert "/ray-test-" in place
        copy = Path(place) / "train_images.npy"
        assert copy.read_bytes() == (images / "train_images.npy").read_bytes()
        assert copy.stat().st_mode & 0o777 == 0o400
    finally:
        engine.close()


@pytest.mark.slow
@pytest.mark.keras
def test_a_study_comes_to_the_same_table_although_a_node_is_lost(
    nodes: Nodes, folder: Path, tmp_path: Path, data: Path
):
    here = Home(tmp_path / "here", data)
    with here.run(trials=2, backend="torch", workers="2") as driver:
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
    there = Home(tmp_path / "there", data)
    nodes.add("one", num_cpus=1)
    nodes.add("two", num_cpus=1)
    asked = {"engine": "ray", "address": nodes.address, "workers": "2"}
    with there.run(trials=2, backend="torch", **asked) as driver:
        wait_for(driver, r"trial-000\d: epoch 1/3")
        nodes.remove("one")
        nodes.add("three", num_cpus=1)
        said, _ = driver.communicate()
        assert driver.returncode == 0, said
    assert there.result() == here.result()
    assert there.checkpoints() == []


@pytest.mark.slow
@pytest.mark.keras
def test_a_lost_head_costs_a_study_no_more_than_a_resume(
    folder: Path, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    home = Home(tmp_path / "home", data)
    asked = {"backend": "torch", "engine": "ray", "epochs": "100", "fidelity": "none"}
    with cluster(num_cpus=1) as first:
        monkeypatch.setenv("RAY_ADDRESS", first.address)
        with home.run(trials=1, **asked) as driver:
            wait_for(driver, "trial-0000: epoch 2/100")
            first.behead()
            said, _ = driver.communicate()
            last = said.splitlines()[-1]
            assert driver.returncode == MachineError.status, said
            assert re.match(
                r"archsearch: the Ray cluster at .* is lost \(.*\); when that is mended, "
                r"`archsearch resume killed --home .*` goes on from here$",
                last,
            )
    begun = home.checkpoints()
    assert begun != []
    with cluster(num_cpus=1) as second:
        monkeypatch.setenv("RAY_ADDRESS", second.address)
        with home.started("resume", "killed") as driver:
            wait_for(driver, "trial-0000: epoch 5/100")
            driver.send_signal(signal.SIGINT)
            said, _ = driver.communicate()
    assert home.checkpoints() > begun
