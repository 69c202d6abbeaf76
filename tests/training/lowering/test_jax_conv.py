import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest

from tests.training.lowering.test_grouped_conv import SHAPES

pytestmark = [
    pytest.mark.keras,
    pytest.mark.skipif(find_spec("jax") is None, reason="jax is not installed"),
]

DENSE = [
    # channels, filters, groups, stride, side
    (6, 9, 1, 1, 4),  # a map as small as this is made of windows
    (6, 9, 1, 2, 3),
    (6, 9, 1, 2, 9),
]


# JAX compiles each for half a second: the quick run has each shape once, with the paddings in turn.
@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        pytest.param(
            shape,
            padding,
            marks=() if (number + other) % 2 else pytest.mark.slow,
            id=f"{padding}-{shape}",
        )
        for number, shape in enumerate(SHAPES + DENSE)
        for other, padding in enumerate(("SAME", "VALID"))
    ],
)
def test_equals_xlas_own_convolution_forward_and_backward(shape, padding):
    import jax
    import jax.numpy as jnp

    from archsearch.training.lowering.jax_conv import grouped_conv2d

    channels, filters, groups, stride, side = shape
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.standard_normal((3, side, side + 1, channels)), jnp.float32)
    size = (3, 3, channels // groups, filters)
    weights = jnp.asarray(rng.standard_normal(size), jnp.float32)

    def theirs(x, weights):
        return jax.lax.conv_general_dilated(
            x, weights, (stride, stride), padding, feature_group_count=groups,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    def ours(x, weights):
        return grouped_conv2d(x, weights, groups=groups, strides=(stride, stride), padding=padding)

    def both(convolve):
        def loss(x, weights):
            y = convolve(x, weights)
            return (y * jnp.cos(jnp.arange(y.shape[-1])) + y * y).sum()

        return convolve(x, weights), *jax.grad(loss, (0, 1))(x, weights)

    for got, wanted in zip(
        *(jax.jit(both, static_argnums=0)(way) for way in (ours, theirs)), strict=True
    ):
        assert got.shape == wanted.shape
        np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4 * float(abs(wanted).max()))


MODEL = """
import jax, keras
from archsearch.training.lowering.keras_model import build_model
from archsearch.ir.tracer import Tracer

net = Tracer("grouped and depthwise", (16, 16, 3))
x = net.conv(net.input, 16, kernel=3, bias=True)
x = net.relu(net.conv(x, 16, kernel=3, groups=4, bias=True))
x = net.conv(x, 16, kernel=3, groups=16, bias=True, stride=2)
graph = net.finish(net.dense(net.global_avg_pool(x), 5))
images = keras.random.normal((2, 16, 16, 3), seed=0)
train, plain = (build_model(graph, lowering=lowering, seed=3) for lowering in ("train", "plain"))
difference = float(abs(train(images) - plain(images)).max())
assert difference < 1e-5, difference
grouped = str(jax.make_jaxpr(lambda x: train(x, training=True))(images))
assert "feature_group_count=1 " in grouped.replace(chr(10), " ")
assert "feature_group_count=4" not in grouped and "feature_group_count=16" not in grouped
assert "feature_group_count=4" in str(jax.make_jaxpr(lambda x: plain(x, training=True))(images))
"""


def test_a_network_for_training_has_none_of_what_xla_is_slow_at():
    done = subprocess.run(
        [sys.executable, "-c", MODEL],
        env={**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
