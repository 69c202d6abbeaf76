"""Every op in every lowering: what one cannot run fails here, and not in the middle of somebody's search."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest

from archsearch.ir import ops
from archsearch.ir.graph import Graph, Node
from archsearch.ir.tracer import Tracer
from archsearch.training.initial import initial_weights
from archsearch.training.lowering.layer_names import layers_of

pytestmark = pytest.mark.keras

LOWERINGS = [
    "plain",
    "train",
    pytest.param(
        "torch",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("torch") is None, reason="torch is not installed"
        ),
    ),
]
TWO = (ops.Conv(6, (3, 3), padding=(1, 1, 1, 1)), ops.Conv(6, (1, 1)))

# A use of each op: what it is given (ops on the image, of which there may be several), and itself.
USES: dict[str, tuple[tuple[ops.Op, ...], ops.Op]] = {
    "input": ((), ops.Flatten()),
    "conv": (TWO[:1], ops.Conv(4, (3, 2), (2, 1), (1, 2, 0, 1), 2, True)),
    "pool": (TWO[:1], ops.Pool("avg", (3, 3), (2, 2), (1, 1, 1, 1))),
    "global_pool": (TWO[:1], ops.GlobalPool("max")),
    "flatten": (TWO[:1], ops.Flatten()),
    "dense": ((ops.Flatten(),), ops.Dense(7)),
    "batch_norm": (TWO[:1], ops.BatchNorm()),
    "layer_norm": (TWO[:1], ops.LayerNorm()),
    "group_norm": (TWO[:1], ops.GroupNorm(3)),
    "prelu": (TWO[:1], ops.PRelu()),
    "layer_scale": (TWO[:1], ops.LayerScale(0.3)),
    "local_response_norm": (TWO[:1], ops.LocalResponseNorm(3, 0.1)),
    "activation": (TWO[:1], ops.Activation("leaky_relu", 0.1)),
    "rescale": (TWO[:1], ops.Rescale((0.5, 1.0, 2.0, 3.0, 4.0, 5.0), 0.25)),
    "log": (TWO[:1], ops.Log(0.01)),
    "dropout": (TWO[:1], ops.Dropout(0.5)),
    "drop_path": (TWO[:1], ops.DropPath(0.5)),
    "add": (TWO, ops.Add()),
    "mean": (TWO, ops.Mean(0.2)),
    "multiply": (TWO, ops.Multiply()),
    "concat": (TWO, ops.Concat()),
    "pad": (TWO[:1], ops.Pad((1, 2, 0, 3))),
    "crop": (TWO[:1], ops.Crop((2, 0, 1, 1))),
    "pad_channels": (TWO[:1], ops.PadChannels(1, 2)),
    "reshape": ((ops.GlobalPool(),), ops.Reshape((1, 1, 3))),
    "resize": (TWO[:1], ops.Resize((12, 10))),
    "mirror": (TWO[:1], ops.Mirror()),
    "permute": (TWO[:1], ops.Permute((2, 3, 1))),
}


# Ops whose settings make another layer of them.
OTHERS: tuple[ops.Op, ...] = (
    ops.LayerNorm(whole=True),
    ops.LayerNorm(scale=False, whole=True),
    ops.GroupNorm(6, center=False),
    ops.PRelu(each=True),
    ops.Activation("elu", 0.3),
    ops.Dropout(0.5, channels=True),
    ops.Resize((5, 16), "nearest"),
    ops.Permute((2, 1, 3)),
)


def used(kind: str) -> Graph:
    """A network of the op: it runs on what the image gives, and ends in a vector."""
    return around(*USES[kind])


def around(before: tuple[ops.Op, ...], op: ops.Op) -> Graph:
    kind = op.kind
    nodes = [Node("image", ops.Input((9, 8, 3)), (), (9, 8, 3))]
    nodes += [Node(f"before{i}", b, (0,), b.infer((9, 8, 3))) for i, b in enumerate(before)]
    given = tuple(range(1, len(nodes))) or (0,)
    nodes.append(Node("used", op, given, op.infer(*[nodes[i].shape for i in given])))
    if len(nodes[-1].shape) == 3:
        nodes.append(
            Node("scores", ops.Flatten(), (len(nodes) - 1,), ops.Flatten().infer(nodes[-1].shape))
        )
    return Graph(kind, tuple(nodes))


def answers(graph: Graph, lowering: str, images, *, seed: int = 0):
    """Logits, and the weights by which they come, as Keras has them."""
    if lowering == "torch":
        import torch

        from archsearch.training.lowering.torch_network import Network

        weights = initial_weights(graph, seed=seed)
        network = Network(graph, weights, auxiliary=False, device=torch.device("cpu"))
        x = torch.from_numpy(images).permute(0, 3, 1, 2)
        (logits,) = network(x, training=False)
        return logits.detach().numpy(), list(network.weights().values())
    from archsearch.training.lowering.keras_model import build_model

    model = build_model(graph, lowering=lowering, seed=seed)
    layers = layers_of(model, graph).values()
    listed = [np.array(v) for layer in layers for v in layer.weights if "seed" not in v.path]
    return np.asarray(model(images, training=False)), listed


def test_every_op_has_a_use_here():
    assert set(USES) == set(ops.OPS), "write a use of the op into USES"


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("kind", sorted(ops.OPS))
def test_it_is_lowered_and_has_the_weights_it_says(kind, lowering):
    graph = used(kind)
    images = np.random.default_rng(0).standard_normal((2, 9, 8, 3)).astype("float32")
    got, weights = answers(graph, lowering, images)
    assert got.shape == (2, *graph.nodes[-1].shape)
    wanted, _ = answers(graph, "plain", images)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    said = [w for n in graph for w in n.op.weights(graph.input_shapes(n))]
    assert [w.size for w in weights] == [np.prod(w.shape) for w in said]


@pytest.mark.parametrize("lowering", LOWERINGS)
@pytest.mark.parametrize("op", OTHERS, ids=str)
def test_so_are_their_other_forms(op, lowering):
    graph = around(TWO[:1], op)
    images = np.random.default_rng(0).standard_normal((2, 9, 8, 3)).astype("float32")
    got, weights = answers(graph, lowering, images)
    wanted, _ = answers(graph, "plain", images)
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
    said = [w for n in graph for w in n.op.weights(graph.input_shapes(n))]
    assert [w.shape for w in weights] == [w.shape for w in said]


@pytest.mark.parametrize("lowering", LOWERINGS)
def test_an_op_without_a_lowering_fails_here(lowering, monkeypatch):
    class Odd(ops.Free):
        kind = "odd"

        def infer(self, *inputs):
            return inputs[0]

    monkeypatch.setitem(USES, "odd", ((), Odd()))
    with pytest.raises(AttributeError, match="_odd"):
        answers(used("odd"), lowering, np.zeros((1, 9, 8, 3), "float32"))


@pytest.mark.parametrize("lowering", LOWERINGS[1:])
def test_every_nonlinearity_pytorch_knows_is_keras_own(lowering):
    pytest.importorskip("torch", reason="torch is not installed")
    from archsearch.training.lowering.torch_network import _ACTIVATIONS

    images = np.random.default_rng(1).standard_normal((4, 9, 8, 3)).astype("float32") * 4
    for function in (*_ACTIVATIONS, "leaky_relu"):
        net = Tracer(function, (9, 8, 3))
        graph = net.finish(net.global_avg_pool(net.activation(net.input, function)))
        wanted, _ = answers(graph, "plain", images)
        got, _ = answers(graph, lowering, images)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5, err_msg=function)


def test_the_tracer_has_a_method_for_the_usual_nonlinearities():
    net = Tracer("n", (4, 4, 2))
    for function in ("relu", "gelu", "silu", "hard_swish"):
        getattr(net, function)(net.input)
    graph = net.finish(net.flatten(net.input))
    assert [n.op.function for n in graph if n.op.kind == "activation"] == [
        "relu", "gelu", "silu", "hard_swish",
    ]  # fmt: skip


def test_the_recipe_names_the_files_that_there_are():
    named = re.findall(r"`((?:ir|training|tests)/[\w/]+\.py)`", ops.__doc__)
    assert len(named) == 4
    root = Path(ops.__file__).parents[2]
    for name in named:
        assert (root / name).is_file() or (root.parent / name).is_file(), name
