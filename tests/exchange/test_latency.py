import numpy as np
import pytest

from archsearch.exchange import latency
from archsearch.exchange.latency import LEAST_CALLS, LatencyRequest, calmest, timed
from archsearch.ir.codec import to_json
from tests.networks import resnext_like


class Clock:
    """Time passes in calls only."""

    def __init__(self, call_s: float) -> None:
        self.now, self.call_s, self.calls = 0.0, call_s, 0

    def __call__(self) -> float:
        return self.now

    def call(self) -> None:
        self.calls += 1
        self.now += self.call_s


@pytest.mark.parametrize(
    ("call_s", "calls"),
    [(0.001, 1000), (0.1, LEAST_CALLS), (1.0, 5), (10.0, 3)],
)
def test_many_calls_of_the_quick_and_few_of_the_slow(call_s, calls):
    clock = Clock(call_s)
    times = timed(clock.call, 1.0, clock=clock)
    assert len(times) == pytest.approx(calls, abs=1)
    assert times == pytest.approx([call_s] * len(times))
    assert 2 <= clock.calls - len(times) <= LEAST_CALLS  # warm-up is not counted


def test_a_disturbed_measurement_is_repeated_and_the_calmest_counts():
    def of(*times):
        made = [list(ms) for ms in times]
        return calmest(lambda: made.pop(0), 3), len(made)

    calm, busy, busier = [1.0] * 30, [1.0] * 10 + [2.0] * 20, [1.0] * 10 + [5.0] * 20
    assert of(calm, busy, busy) == (calm, 2)
    assert of(busier, calm, busy) == (calm, 1)
    assert of(busier, busy, busier) == (busy, 0)
    assert calmest(lambda: busier, 1) is busier


@pytest.mark.keras
def test_what_is_timed_is_the_exported_network(tmp_path, monkeypatch):
    answers = []

    def counted(call, seconds):
        # A clock of its own: how many calls fit into a time is the machine's affair.
        clock = Clock(0.001)

        def timed_call():
            answers.append(call())
            clock.call()

        return timed(timed_call, seconds, clock=clock)

    monkeypatch.setattr(latency, "timed", counted)
    graph = to_json(resnext_like())
    request = LatencyRequest(graph=graph, batch=8, seconds=0.05)
    call = latency.exported_call(request, tmp_path / "net.model")
    found = latency.measure(request, call, device="cpu", threads=2)
    assert list(tmp_path.iterdir()) == []
    assert found.calls == pytest.approx(50, abs=1)
    assert len(answers) > found.calls
    assert all(answer.shape == answers[0].shape for answer in answers)
    assert answers[0].shape[0] == 8
    np.testing.assert_allclose(answers[0].sum(axis=1), 1, rtol=1e-4)
    assert (found.p10_ms, found.median_ms, found.p90_ms) == pytest.approx((1, 1, 1))
    assert (found.batch, found.device, found.threads) == (8, "cpu", 2)
