from itertools import pairwise

import pytest

from archsearch.ir import ops
from archsearch.ir.tracer import Tracer
from archsearch.readings.memory import kept_bytes, training_memory
from archsearch.space.budget import Budget, Request
from archsearch.space.registry import find_space
from archsearch.space.solve import solve
from tests.networks import deep, everything, modern, resnext_like, vgg_like
from tests.training.lowering.test_every_op import TWO, USES, around, used

SIZE = (32, 32, 3)
FAMILIES = ("vgg", "resnet", "densenet", "mobilenet", "mobilenet_v2", "efficientnet", "inception")


def classic(family):
    space = find_space(family)
    request = Request(budget=Budget.parse("20M", SIZE), input=SIZE, classes=10)
    return solve(space, space.classic_knobs(request), request).graph


def small():
    net = Tracer("n", (8, 8, 3))
    x = net.conv(net.input, 4, kernel=3, bias=False)
    x = net.relu(net.batch_norm(x))
    return net.finish(net.dense(net.flatten(x), 10))


def saved_bytes(graph, *, batch):
    """What PyTorch keeps of a forward pass for its backward pass: each memory once, weights left out."""
    torch = pytest.importorskip("torch")
    from archsearch.training.initial import initial_weights
    from archsearch.training.lowering.torch_network import Network

    weights = initial_weights(graph, seed=0)
    network = Network(graph, weights, auxiliary=True, device=torch.device("cpu"))
    lasting = (network.kernels, network.others, network.moving, network.latest)
    own = {tensor.data_ptr() for tensors in lasting for tensor in tensors}
    kept = {}

    def keep(tensor):
        memory = tensor.untyped_storage()
        if memory.data_ptr() not in own:
            kept[memory.data_ptr()] = (
                memory.nbytes(),
                tensor,
            )  # held, so that its place is its own
        return tensor

    images = torch.zeros(batch, *graph.input).permute(0, 3, 1, 2)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = network(images, training=True)
    assert outputs[0].requires_grad or not network.kernels
    return sum(size for size, _ in kept.values())


def test_what_is_kept_is_what_gradients_need():
    # The image (the convolution's), its output (the normalization's), what ReLU gave (its own, the dense
    # layer's): neither the normalization's output nor the scores.
    assert kept_bytes(small(), batch=2) == 2 * 4 * (192 + 256 + 256)


def test_the_peak_has_the_gradients_of_maps_and_each_parameter_by_what_is_kept_of_it():
    memory = training_memory(small(), batch=2, states=2)
    params = 3 * 3 * 3 * 4 + 2 * 4 + 8 * 8 * 4 * 10 + 10
    assert memory.weight_bytes == 4 * params
    assert memory.gradient_bytes == memory.optimizer_bytes == 2 * memory.weight_bytes
    assert memory.fixed_bytes == 5 * memory.weight_bytes
    # Beside what is kept, and the scores: as ReLU's gradient is taken, those of its output and of its input.
    assert memory.activation_bytes == 2 * 4 * (192 + 256 + 256 + 10 + 2 * 256)
    assert memory.total_bytes == memory.activation_bytes + memory.fixed_bytes


def test_it_grows_with_the_batch_alone_and_with_the_width_of_a_number():
    sizes = [training_memory(small(), batch=batch) for batch in (1, 2, 3)]
    assert len({size.fixed_bytes for size in sizes}) == 1
    assert len({b.activation_bytes - a.activation_bytes for a, b in pairwise(sizes)}) == 1
    half = training_memory(small(), batch=2, element_bytes=2)
    assert 2 * half.activation_bytes == sizes[1].activation_bytes


@pytest.mark.keras
@pytest.mark.parametrize("family", FAMILIES)
def test_pytorch_keeps_as_much_for_a_familys_backward_pass(family):
    graph = classic(family)
    assert saved_bytes(graph, batch=2) == pytest.approx(kept_bytes(graph, batch=2), rel=0.01)


@pytest.mark.keras
@pytest.mark.parametrize(
    "graph", [resnext_like(), vgg_like(), deep(), modern(), everything(1), everything(2)], ids=str
)
def test_so_it_does_for_other_networks(graph):
    assert saved_bytes(graph, batch=2) == pytest.approx(kept_bytes(graph, batch=2), rel=0.1)


OPS = [used(kind) for kind in sorted(USES) if kind not in ("input", "reshape")]
OPS += [
    around(TWO[:1], ops.Activation(function))
    for function in ("elu", "gelu", "linear", "relu", "relu6", "sigmoid", "softmax", "tanh")
]
OPS += [around(TWO[:1], ops.Pool("max", (2, 2), (2, 2))), around(TWO[:1], ops.Dropout(0.5, True))]


@pytest.mark.keras
@pytest.mark.parametrize("graph", OPS, ids=lambda graph: graph.name)
def test_so_it_does_for_each_op(graph):
    # A layer that pads by itself, or gives its axes another order, keeps a copy for its input.
    assert saved_bytes(graph, batch=4) == pytest.approx(kept_bytes(graph, batch=4), rel=0.25)
