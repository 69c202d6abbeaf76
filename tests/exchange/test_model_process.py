import errno
import importlib
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest

from archsearch.errors import ArchsearchError, MachineError, UserError
from archsearch.exchange.device_choice import checked_device
from archsearch.exchange.export import ExportRequest
from archsearch.exchange.latency import LatencyRequest
from archsearch.exchange.model_process import ModelProcess, _Answers
from archsearch.ir.codec import to_json
from tests.networks import vgg_like


def test_names_of_devices():
    assert [checked_device(text) for text in (None, "CPU", "gpu", "gpu:3")] == [
        None, "cpu", "gpu:0", "gpu:3",
    ]  # fmt: skip
    for text in ("", "cpu:0", "gpu:", "gpu:x", "tpu", "gpu:²"):
        with pytest.raises(UserError, match="write cpu, gpu or gpu:1"):
            checked_device(text)


@pytest.fixture
def gauge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A gauge whose process is a toy; spawned processes import it by name, with this one's path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    toys = importlib.import_module("toy_processes")
    with ModelProcess(log=tmp_path / "log", threads=1, main=toys.answering, silence_s=20) as made:
        yield made


def ask(text: str, **more) -> LatencyRequest:
    return LatencyRequest(graph=text, **more)


def test_questions_and_answers_one_at_a_time(gauge: ModelProcess):
    assert gauge.process_id is None  # nothing is started before it is needed
    first = gauge.measure(ask("2.5", batch=8))
    assert (first.median_ms, first.p90_ms, first.batch, first.threads) == (2.5, 5.0, 8, 1)
    process = gauge.process_id
    gauge.ask(ask("3"))
    with pytest.raises(ValueError, match="under way"):
        gauge.ask(ask("4"))
    assert gauge.wait().median_ms == 3
    with pytest.raises(ValueError, match="nothing was asked"):
        gauge.poll()
    with pytest.raises(ArchsearchError, match="no such luck"):
        gauge.measure(ask("fail"))
    with pytest.raises(UserError, match="no device"):
        gauge.measure(ask("refuse"))
    with pytest.raises(MachineError, match="No space left"):
        gauge.measure(ask("full"))
    assert gauge.process_id == process


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "machine"),
        (RuntimeError("models/variables; No space left on device"), "machine"),
        (ValueError("shapes differ"), "failed"),
    ],
)
def test_a_full_disk_is_not_the_networks(tmp_path: Path, monkeypatch, error, kind: str):
    def fails(self, request):
        raise error

    monkeypatch.setattr(_Answers, "_measure", fails)
    answers = _Answers(None, 1, tmp_path / "log")
    assert answers.to("measure", asdict(ask("")))[0] == kind


def test_it_may_be_started_before_it_is_needed(gauge: ModelProcess):
    gauge.warm_up()
    process = gauge.process_id
    assert process is not None
    gauge.warm_up()
    assert gauge.measure(ask("1")).median_ms == 1
    gauge.warm_up([ask("3"), ask("4")])
    assert gauge.measure(ask("4")).median_ms == 4
    assert gauge.process_id == process


def test_getting_ready_that_ends_the_process_costs_the_next_question_nothing(gauge: ModelProcess):
    gauge.warm_up([ask("die")])
    assert gauge.measure(ask("1")).median_ms == 1


@pytest.mark.keras
def test_a_network_that_was_got_ready_is_not_built_again(tmp_path, monkeypatch):
    from archsearch.exchange import model_process

    built = []
    monkeypatch.setattr(
        model_process, "exported_call", lambda request, folder: built.append(request) or (lambda: 0)
    )
    answers = model_process._Answers("cpu", 1, tmp_path / "log")
    first, second = (asdict(ask(text, seconds=0.01)) for text in ("1", "2"))
    assert answers.to("prepare", first) == ("done", None)
    for asked in (first, second, first):
        kind, found = answers.to("measure", asked)
        assert (kind, found["device"]) == ("done", "cpu"), found
    assert [request.graph for request in built] == ["1", "2", "1"]  # kept once, for one question


def kill(gauge: ModelProcess, request: LatencyRequest | ExportRequest, times: int):
    """Ask something, and kill the process over it so many times."""
    if isinstance(request, LatencyRequest):
        if (
            gauge.process_id is not None
        ):  # one that is there would have answered before it is killed
            os.kill(gauge.process_id, signal.SIGSTOP)
        gauge.ask(request)
    for _ in range(times):
        process = gauge.process_id
        assert process is not None
        os.kill(process, signal.SIGKILL)
        while gauge.process_id == process:
            assert gauge.poll(0.1) is None


def test_a_process_that_is_killed_once_costs_nothing(gauge: ModelProcess):
    kill(gauge, ask("2"), times=1)
    assert gauge.wait().median_ms == 2
    kill(gauge, ask("3"), times=1)  # each question has its second try
    assert gauge.wait().median_ms == 3


def test_an_export_whose_process_is_killed_once_is_made(gauge: ModelProcess, tmp_path: Path):
    out = str(tmp_path / "models" / "saved_model")
    request = ExportRequest(graph="die once", weights="w", dataset="d", out=out)
    assert gauge.export(request).path == Path(out)


def test_a_process_that_dies_is_an_error_and_the_next_question_starts_another(
    gauge: ModelProcess, tmp_path: Path
):
    with pytest.raises(ArchsearchError, match=r"died: exit status 3, what it said last$"):
        gauge.measure(ask("die"))
    # It was tried once more, by another process.
    log = (tmp_path / "log").read_text()
    assert log.count("what it said last") == 2
    with pytest.raises(ArchsearchError, match="SIGKILL"):
        kill(gauge, ask("hang"), times=2)
    assert gauge.measure(ask("1")).median_ms == 1
    os.kill(gauge.process_id, signal.SIGKILL)  # between two questions
    os.waitid(os.P_PID, gauge.process_id, os.WEXITED | os.WNOWAIT)
    assert gauge.measure(ask("2")).median_ms == 2


def test_a_process_that_hangs_is_given_up(gauge: ModelProcess):
    gauge.measure(ask("1"))
    gauge._silence_s = 0.2
    with pytest.raises(ArchsearchError, match="no answer within"):
        gauge.measure(ask("hang"))
    gauge._silence_s = 20
    assert gauge.measure(ask("2")).median_ms == 2


def test_each_process_has_a_folder_of_its_own_and_dead_ones_leave_none(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    toys = importlib.import_module("toy_processes")
    log = tmp_path / "models.log"
    dead, strange = tmp_path / f"models.{2**31 - 2}.model", tmp_path / "models.x.model"
    alive = tmp_path / f"models.{os.getpid()}.model"
    for folder in (dead, strange, alive):
        folder.mkdir()
    with ModelProcess(log=log, main=toys.answering) as first:
        first.measure(ask("1"))
        assert not dead.exists()
        assert not strange.exists()
        own = tmp_path / f"models.{first.process_id}.model"
        own.mkdir()
        with ModelProcess(log=log, main=toys.answering) as second:
            second.measure(ask("1"))
        assert own.exists()
    assert not own.exists()
    assert alive.exists()


def test_an_export_that_dies_leaves_what_was_there(gauge: ModelProcess, tmp_path: Path):
    def request(graph: str, **more) -> ExportRequest:
        out = str(tmp_path / "models" / "saved_model")
        return ExportRequest(graph=graph, weights="w", dataset="d", out=out, **more)

    folder = tmp_path / "models"
    # The model before it has been put aside, the new one is not whole.
    (folder / ".saved_model.77.old").mkdir(parents=True)
    (folder / ".saved_model.77.old" / "fingerprint.pb").write_text("before")
    (folder / ".saved_model.77.part").mkdir()
    with pytest.raises(ArchsearchError, match="exit status 3"):
        gauge.export(request("die"))
    assert [path.name for path in folder.iterdir()] == ["saved_model"]
    assert (folder / "saved_model" / "fingerprint.pb").read_text() == "before"
    with pytest.raises(UserError, match="exists"):
        gauge.export(request("1"))
    with pytest.raises(UserError, match="archsearch did not write, and --force leaves that alone"):
        gauge.export(request("1", overwrite=True))
    (folder / "saved_model" / "archsearch.json").write_text("{}")
    assert gauge.export(request("1", overwrite=True)).path == folder / "saved_model"


def test_an_interrupted_export_is_ended(gauge: ModelProcess, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gauge, "_answer", lambda timeout_s: signal.raise_signal(signal.SIGINT))
    out = str(tmp_path / "model")
    with pytest.raises(KeyboardInterrupt):
        gauge.export(ExportRequest(graph="hang", weights="w", dataset="d", out=out))
    assert gauge.process_id is None  # it does not go on writing


# It starts TensorFlow four times. In the quick run tests/exchange/test_export.py measures in a real process,
# and toys above die and refuse.
@pytest.mark.slow
@pytest.mark.keras
def test_a_real_gauge(tmp_path, capfd):
    request = LatencyRequest(graph=to_json(vgg_like()), seconds=0.1)
    with (
        ModelProcess(log=tmp_path / "log", device="gpu:7") as gauge,
        pytest.raises(UserError, match=r"no device 'gpu:7'.*; there are: cpu"),
    ):
        gauge.measure(request)
    with ModelProcess(log=tmp_path / "log", device="cpu", threads=1) as gauge:
        found = gauge.measure(request)
        assert found.calls > 0
        assert found.median_ms > 0
        process = gauge.process_id
        wrong = LatencyRequest(graph=request.graph, weights=str(tmp_path / "none.npz"))
        with pytest.raises(ArchsearchError, match=r"none\.npz"):
            gauge.measure(wrong)
        assert gauge.process_id == process
        with pytest.raises(ArchsearchError, match="died: signal 9"):
            kill(gauge, LatencyRequest(graph=request.graph, seconds=60), times=2)
    assert [path.name for path in tmp_path.iterdir()] == ["log"]  # no network is left over
    assert capfd.readouterr() == ("", "")  # what libraries say goes into the log
