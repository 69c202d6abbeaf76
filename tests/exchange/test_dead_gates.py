"""Gates without a living unit: the same answers, and a file of 8-bit integers that loads."""

from dataclasses import replace

import numpy as np
import pytest

from archsearch.exchange.export import trained_probabilities
from archsearch.exchange.formats.dead_gates import gates, without_dead_gates
from archsearch.exchange.formats.litert_file import LITERT_INT8
from archsearch.ir.tracer import Tracer
from archsearch.testing.format_case import FormatCase
from tests.networks import resnext_like

pytestmark = pytest.mark.keras


class Gated(FormatCase):
    def network(self):
        net = Tracer("gated", (16, 16, 3))
        x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3, stride=2)))
        gate = net.global_avg_pool(x, keep_map=True)
        gate = net.relu(net.conv(gate, 4, kernel=1, bias=True, name="squeeze"), name="hidden")
        gate = net.conv(gate, 8, kernel=1, bias=True, name="excite")
        x = net.multiply(x, net.activation(gate, "sigmoid"))
        return net.finish(net.dense(net.global_avg_pool(x), 5))


@pytest.fixture(scope="module")
def dead():
    """A network whose gate's hidden units are 0 whatever the image."""
    trained = Gated().example()
    rng = np.random.default_rng(0)
    squeezed = np.full_like(trained.weights["squeeze:1"], -1000)
    excited = rng.normal(size=trained.weights["excite:1"].shape).astype(np.float32)
    weights = {**trained.weights, "squeeze:1": squeezed, "excite:1": excited}
    return replace(trained, weights=weights)


def test_a_dead_gate_is_mended_and_answers_as_before(dead):
    [gate] = gates(dead.graph)
    assert [node.name for node in gate] == ["squeeze", "hidden", "excite"]
    mended = without_dead_gates(dead)
    assert mended.weights["squeeze:1"][0] > 0
    wanted = trained_probabilities(dead, dead.sample)
    np.testing.assert_allclose(trained_probabilities(mended, dead.sample), wanted, atol=1e-5)


def test_living_gates_and_networks_without_any_stay_as_they_are(dead):
    alive = replace(
        dead, weights={**dead.weights, "squeeze:1": np.ones_like(dead.weights["squeeze:1"])}
    )
    assert without_dead_gates(alive).weights == alive.weights
    assert not list(gates(resnext_like()))


@pytest.mark.slow
def test_litert_in_8_bits_loads_and_answers(dead, tmp_path):
    out = tmp_path / "model.tflite"
    LITERT_INT8.write(dead, out)
    wanted = trained_probabilities(dead, dead.sample[:8])
    np.testing.assert_allclose(LITERT_INT8.call(out, dead.sample[:8]), wanted, atol=0.1)
