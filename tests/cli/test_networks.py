import json

import pytest

import archsearch
from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.exchange import model_process
from archsearch.exchange.latency import Latency, LatencyRequest
from archsearch.exchange.model_process import ModelProcess


class Gauge(ModelProcess):
    """A millisecond for each image and network before this one; no process."""

    made: list["Gauge"] = []  # noqa: RUF012  emptied by the fixture

    def __init__(self, **options):
        super().__init__(**options)
        self.requests: list[LatencyRequest] = []
        self.made.append(self)

    def measure(self, request):
        self.requests.append(request)
        ms = float(request.batch * len(self.requests))
        return Latency(
            median_ms=ms, p10_ms=0.9 * ms, p90_ms=1.5 * ms, calls=99, batch=request.batch,
            device=self._device or "cpu", threads=2,
        )  # fmt: skip


@pytest.fixture(autouse=True)
def gauges(monkeypatch):
    monkeypatch.setattr(model_process, "ModelProcess", Gauge)
    Gauge.made = []
    return Gauge.made


def test_one_network_with_its_latency(capsys):
    assert main(["profile", "lenet5", "--latency"]) == 0
    shown = capsys.readouterr().out
    assert "latency 1.00 ms for 1 image on cpu (a tenth of 99 calls below 0.900, " in shown


def test_networks_side_by_side_share_a_gauge(capsys, gauges):
    words = ["profile", "lenet5", "alexnet", "--latency", "--batch", "8", "--device", "gpu"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "8.00" in shown
    assert "16.0" in shown
    assert "a call of 8 images on gpu:0" in shown
    assert len(gauges) == 1
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["latency_ms"] for one in found] == [8.0, 16.0]
    assert found[0]["latency_p10_ms"] == pytest.approx(7.2)
    assert (found[1]["latency_p90_ms"], found[1]["latency_batch"]) == (24.0, 8)
    assert found[1]["latency_device"] == "gpu:0"


def test_without_latency_nothing_is_measured(capsys, gauges):
    assert main(["profile", "lenet5", "--json"]) == 0
    assert "latency_ms" not in json.loads(capsys.readouterr().out)
    assert main(["profile", "lenet5", "--batch", "8"]) == 2
    assert "--latency" in capsys.readouterr().err
    assert gauges == []


def test_in_python(gauges):
    assert archsearch.profile("lenet5", latency=True, batch=4)["latency_ms"] == 4.0
    with pytest.raises(UserError, match="at least 1 image"):
        archsearch.profile("lenet5", latency=True, batch=0)
    with pytest.raises(UserError, match="write cpu, gpu or gpu:1"):
        archsearch.profile("lenet5", latency=True, device="tpu")
