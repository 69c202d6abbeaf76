"""A folder with the network as plain Keras code, and its weights: for whoever goes on by hand."""

import json
import runpy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.ir.channels import known
from archsearch.ir.graph import Graph, Node
from archsearch.readings.cost import cost, node_params, training_only
from archsearch.training.lowering.layer_names import LayerNames
from archsearch.training.weights import Weights, get_weights
from archsearch.units import format_count, format_size

CODE_FILE: Final = "network.py"
WEIGHTS_FILE: Final = "network.weights.h5"

_HEAD: Final = '''\
"""{title}

{flops} FLOPs (multiply-adds) an image, {params} parameters; trained on {dataset}.

    from network import CLASSES, build

    model = build()  # images (n, {size}) to probabilities (n, {classes})

Pixels are 0 to 255; an image with none above 1 has pixels of 0 to 1. Maps have their
channels last, as Keras has them unless it is configured otherwise.
"""

from pathlib import Path

import keras
from keras import layers, ops

CLASSES = (
{names}
)


def build(weights=Path(__file__).parent / "{file}"):
    """Return the network with its trained weights; None: with fresh ones."""
    images = keras.Input({shape}, name="images")
    most = ops.max(images, axis=(1, 2, 3), keepdims=True)
    x = ops.where(most <= 1, images * 255, images)
'''
_TAIL: Final = """
    model = keras.Model(images, x, name="network")
    if weights is not None:
        model.load_weights(weights)
    return model
"""


class PythonCode:
    """A folder: CODE_FILE, which needs Keras alone; WEIGHTS_FILE beside it; FACTS_FILE."""

    name = "python"
    suffix = ""
    exact = True
    usage = MappingProxyType(
        {
            "Keras": """
import sys

sys.path.insert(0, path)
from network import build

model = build()
probabilities = np.asarray(model(images, training=False))
"""
        }
    )
    needs = (Need("keras", "keras"),)

    def write(self, trained: Trained, out: Path) -> None:
        """Write the folder.

        Raises:
            UserError: the network has a layer that is none of Keras's own.
        """
        from archsearch.exchange.formats.keras_network import keras_network

        network = keras_network(trained, lowering="plain")
        out.mkdir(exist_ok=True)
        (out / CODE_FILE).write_text(code_of(trained, network), encoding="utf-8")
        built = _build(out)(weights=None)
        for layer in network.layers:
            if layer.weights:
                built.get_layer(layer.name).set_weights(layer.get_weights())
        with _as_numpy_likes():
            built.save_weights(out / WEIGHTS_FILE)
        (out / FACTS_FILE).write_text(trained.facts(), encoding="utf-8")

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Run the file, build the network and return its answers."""
        return np.asarray(self.load(out)(images))

    def load(self, out: Path) -> Answers:
        """Run the file and build the network, which answers."""
        with _as_numpy_likes():
            model = _build(out)()
        return lambda images: np.asarray(model(images, training=False))

    def read_weights(self, out: Path, graph: Graph) -> Weights:
        """Run the file and return the weights of the network it builds."""
        with _as_numpy_likes():
            return get_weights(_build(out)(), graph)


def code_of(trained: Trained, network: Any) -> str:
    """Return the text of CODE_FILE.

    Args:
        trained: the network.
        network: it, of Keras's own layers, from preprocessed floats to logits.

    Raises:
        UserError: it has a layer that is none of Keras's own.
    """
    from archsearch.exchange.formats.keras_code import layer_call, literal, statements

    graph, (shift, scale) = trained.graph, trained.preprocessing()
    body = statements(network, comment=_Costs(graph).before)
    numbers = [literal(_short(values)) for values in (1 / scale, -shift / scale)]
    rescaling = [*numbers, 'name="preprocessing"']
    softmax = ['name="probabilities"']
    lines = [
        *layer_call(body.first, "Rescaling", rescaling, "x"),
        *body.lines,
        *layer_call("x", "Softmax", softmax, body.last),
    ]
    found = cost(graph)
    head = _HEAD.format(
        title=_one_line(graph.name),
        flops=format_count(found.flops),
        params=f"{found.params:,}",
        dataset=_one_line(trained.dataset),
        size=", ".join(map(str, graph.input)),
        classes=graph.classes,
        names="\n".join(f"    {literal(name)}," for name in trained.classes),
        file=WEIGHTS_FILE,
        shape=literal(tuple(graph.input)),
    )
    return head + "\n".join(lines) + _TAIL


def _short(values: npt.NDArray[Any]) -> list[float]:
    """Return 32-bit floats by the digits that tell them apart."""
    return [float(f"{value:.9g}") for value in values]


class _Costs:
    """What is said before a block's first layer: its output and what it costs."""

    def __init__(self, graph: Graph) -> None:
        layers = LayerNames(graph).of_nodes
        skip = training_only(graph) if graph.auxiliary else frozenset()
        kept = [node for index, node in enumerate(graph.nodes) if index not in skip and node.inputs]
        self._block_of: dict[str, int] = {}
        self._said: list[str] = []
        for number, (block, run) in enumerate(groupby(kept, lambda node: _block(node.name))):
            nodes = list(run)
            self._block_of |= {layers[node.name]: number for node in nodes}
            self._said.append(_costs(graph, block, nodes))
        self._last: int | None = None

    def before(self, layer: str) -> str | None:
        number = self._block_of.get(layer)
        if number is None or number == self._last:  # padding has no costs and no block
            return None
        self._last = number
        return self._said[number]


def _block(node: str) -> str:
    return node.rpartition(".")[0]


def _costs(graph: Graph, block: str, nodes: list[Node]) -> str:
    flops = params = 0
    for node in nodes:
        before = graph.input_shapes(node)
        product = node.op.product(before, node.shape)
        flops += 0 if product is None else product.flops()
        params += node_params(node.op, before)
    size = format_size(tuple(map(known, nodes[-1].shape)))
    text = f"{size}, {format_count(flops)} FLOPs, {params:,} parameters"
    return f"{_one_line(block)}: {text}" if block else f"No block: {text}"


def _build(folder: Path) -> Any:
    return runpy.run_path(str(folder / CODE_FILE))["build"]


def _one_line(text: str) -> str:
    """Return a text that may stand in a comment or docstring."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)[1:-1]


@contextmanager
def _as_numpy_likes() -> Iterator[None]:
    with warnings.catch_warnings():
        # Keras 3.15 saves variables through np.array(), which NumPy 2.4 warns about.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        yield


PYTHON: Final[Format] = PythonCode()
