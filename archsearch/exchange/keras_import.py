"""Read a Keras model back into a Graph, from its config alone: nothing in it is run, no weights are read.

A layer that is not understood is refused by name, never counted as nothing. Every shape the config
records is compared with the one inferred here, so that a misread layer cannot pass unnoticed.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from archsearch.errors import GraphError
from archsearch.exchange.keras_call import Call, Writer
from archsearch.exchange.keras_fold import tidied
from archsearch.exchange.keras_layers import LAYERS, OPERATIONS
from archsearch.ir import ops
from archsearch.ir.codec import from_dict, to_dict
from archsearch.ir.graph import Graph
from archsearch.readings.cost import node_params
from archsearch.training.lowering.layer_names import MODEL_NAME, node_name

FROM_KERAS_2: Final = (
    "load it with Keras 3, or with its own version, and save it with Keras 3 as .keras"
)
_WITH_CODE: Final = frozenset(
    {"Lambda", "TFOpLambda", "SlicingOpLambda", "TFSMLayer", "TorchModuleWrapper"}
)
_NEUTRAL_ARGUMENTS: Final = frozenset({"training", "mask"})


def from_keras(model: Any, *, input: tuple[int, int, int] | None = None) -> Graph:
    """Read a functional or Sequential Keras model.

    Args:
        model: a `keras.Model` whose layers are connected by the functional API.
        input: the image's (height, width, channels), for a model that leaves its size open.

    Returns:
        The network up to its class scores: a last softmax is left out, as a Graph ends in logits.
        Its parameters are all that training could change; a frozen layer's count too.

    Raises:
        GraphError: a layer is not understood, or used twice with one set of weights, or the model
            is no functional one, or does not map one image to one vector.
    """
    try:
        text = model.to_json()
    except (AttributeError, NotImplementedError, TypeError, ValueError) as error:
        raise GraphError(
            f"{type(model).__name__} is no functional Keras model: {first_line(error)}"
        ) from None
    return from_config(json.loads(text), input=input)


def from_config(document: Any, *, input: tuple[int, int, int] | None = None) -> Graph:
    """Return the network in `model.to_json()`, or in a `.keras` file's `config.json` (see `from_keras`)."""
    if not isinstance(document, Mapping) or not isinstance(document.get("config"), Mapping):
        raise GraphError("this is no Keras model's config")
    config = document["config"]
    name = str(config.get("name", "model"))
    if "layers" not in config:
        raise GraphError(
            f"{name} is a {document.get('class_name')}, whose layers are connected by code; only "
            "functional and Sequential models can be read"
        )
    reader = _Reader(input)
    try:
        out = reader.model(config, (), prefix="")
        graph = tidied(name, reader.net.nodes, out, reader.net.lowest)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise GraphError(
            f"{name}: the config is damaged: {type(error).__name__}: {first_line(error)}"
        ) from None
    # A config can say anything: what holds for every stored graph is checked field by field.
    return from_dict(to_dict(graph))


class _Tensor(NamedTuple):
    """A tensor in a config: the layer it comes from, which call of it, its shape with the batch."""

    layer: str
    call: int
    shape: tuple[int | None, ...] | None


class _Reader:
    """Reads models, one inside another, into one list of nodes."""

    def __init__(self, input: tuple[int, int, int] | None) -> None:
        self.net = Writer()
        self.input = input
        self.weighted: dict[str, int] = {}
        self.named: Callable[[str], str] = str  # from a layer's name to its node's

    def model(self, config: Mapping[str, Any], inputs: tuple[int, ...], *, prefix: str) -> int:
        """Read a model called on `inputs`, () for the outermost; return its output."""
        before = self.named
        self.named = node_name if config.get("name") == MODEL_NAME else str
        try:
            return self._model(config, inputs, prefix)
        finally:
            self.named = before

    def _model(self, config: Mapping[str, Any], inputs: tuple[int, ...], prefix: str) -> int:
        if "output_layers" in config:
            return self._functional(config, inputs, prefix)
        return self._sequential(config, inputs, prefix)

    def _sequential(self, config: Mapping[str, Any], inputs: tuple[int, ...], prefix: str) -> int:
        layers = list(config["layers"])
        if not layers:
            raise GraphError(f"{config['name']}: the Sequential model has no layers")
        if any("batch_input_shape" in layer["config"] for layer in layers):
            raise GraphError(f"{config['name']} was written by Keras 2; {FROM_KERAS_2}")
        if layers[0]["class_name"] != "InputLayer" and not inputs:
            shape = config.get("build_input_shape")
            if shape is None:
                raise GraphError(
                    f"{config['name']}: the model does not know its input; build it first"
                )
            layers.insert(
                0, {"class_name": "InputLayer", "config": {"batch_shape": shape, "name": "input"}}
            )
        at = inputs
        for entry in layers:
            at = (self._layer(entry, at, (), prefix=prefix),)
        return at[0]

    def _functional(self, config: Mapping[str, Any], inputs: tuple[int, ...], prefix: str) -> int:
        layers = {entry["config"]["name"]: entry for entry in config["layers"]}
        sources = _references(config["input_layers"])
        outputs = _references(config["output_layers"])
        for ends, what in ((sources, "inputs"), (outputs, "outputs")):
            if len(ends) != 1:
                raise GraphError(f"{config['name']} has {len(ends)} {what}; a Graph has one")
        done: dict[tuple[str, int], int] = {}
        if inputs:
            done[sources[0]] = inputs[0]
        stack = [outputs[0]]
        while stack:
            key = stack[-1]
            if key in done:
                stack.pop()
                continue
            entry = layers[key[0]]
            nodes = entry.get("inbound_nodes") or [{"args": [], "kwargs": {}}]
            arguments = _Arguments(entry, nodes[key[1]])
            wanted = [(t.layer, t.call) for t in arguments.tensors]
            if missing := next((w for w in wanted if w not in done), None):
                # One at a time, so that the stack is the way here: whatever is on it leads back.
                if missing in stack:
                    raise GraphError(f"{key[0]}: the model's layers form a cycle")
                stack.append(missing)
                continue
            for tensor in arguments.tensors:
                self._compare(key[0], tensor, done[tensor.layer, tensor.call])
            given = tuple(done[w] for w in wanted)
            done[key] = self._layer(
                entry, given, arguments.constants, prefix=prefix, first=arguments.constant_first
            )
        return done[outputs[0]]

    def _layer(
        self,
        entry: Mapping[str, Any],
        inputs: tuple[int, ...],
        constants: tuple[float, ...],
        *,
        prefix: str,
        first: bool = False,
    ) -> int:
        config, kind, module = (
            entry["config"],
            str(entry["class_name"]),
            str(entry.get("module", "keras")),
        )
        path = prefix + self.named(str(config.get("name", entry.get("name", kind))))
        if kind == "InputLayer":
            return inputs[0] if inputs else self._image(config)
        if kind in _WITH_CODE:
            raise GraphError(
                f"{path}: a {kind} layer carries code, which is not run; write it as layers"
            )
        if module.partition(".")[0] not in ("keras", "archsearch"):
            raise GraphError(
                f"{path}: {module}.{kind} is code of your own, which is not understood"
            )
        before = len(self.net.nodes)
        if "layers" in config:
            out = self.model(config, inputs, prefix=f"{path}.")
        else:
            readers = OPERATIONS if ".ops." in module else LAYERS
            if kind not in readers:
                raise GraphError(f"{path}: {kind} layers are not understood")
            out = readers[kind](Call(path, kind, config, inputs, constants, first, self.net))
        self._refuse_sharing(path, before)
        return out

    def _refuse_sharing(self, path: str, before: int) -> None:
        added = self.net.nodes[before:]
        if any(node_params(n.op, tuple(self.net.nodes[i].shape for i in n.inputs)) for n in added):
            self.weighted[path] = self.weighted.get(path, 0) + 1
            if self.weighted[path] > 1:
                raise GraphError(
                    f"{path}: the layer is used twice with one set of weights; a Graph shares none"
                )

    def _image(self, config: Mapping[str, Any]) -> int:
        shape = config.get("batch_shape")
        if shape is None or len(shape) != 4:
            raise GraphError(
                f"the model's input is {shape}; wanted images (batch, height, width, channels)"
            )
        own = tuple(shape[1:])
        if self.input is None and None in own:
            raise GraphError(
                f"the model leaves its image size open {own}; give one, e.g. 224x224x{own[2] or 3}"
            )
        wanted = self.input or own
        if any(o is not None and o != w for o, w in zip(own, wanted, strict=True)):
            raise GraphError(f"the model takes images of {own}, not {wanted}")
        return self.net.add("input", ops.Input(tuple(int(n) for n in wanted)))  # type: ignore[arg-type]

    def _compare(self, layer: str, tensor: _Tensor, index: int) -> None:
        stored, inferred = tensor.shape, self.net.shape(index)
        if stored is None:
            return
        rest = stored[1:]
        if len(rest) != len(inferred) or any(
            s is not None and s != i for s, i in zip(rest, inferred, strict=True)
        ):
            raise GraphError(
                f"{layer}: its input {tensor.layer} is read as {inferred}, but the model says {rest}"
            )


class _Arguments:
    """What a layer is called on: tensors and numbers, in order; anything else is refused."""

    def __init__(self, entry: Mapping[str, Any], node: Any) -> None:
        self.tensors: list[_Tensor] = []
        self.numbers: list[float] = []
        self.constant_first = False
        if not isinstance(node, Mapping):
            raise GraphError(f"the file was written by Keras 2; {FROM_KERAS_2}")
        kwargs = {k: v for k, v in node["kwargs"].items() if k not in _NEUTRAL_ARGUMENTS}
        name, kind = entry["config"].get("name"), entry["class_name"]
        for value in _flat([*node["args"], *kwargs.values()]):
            if isinstance(value, Mapping) and value.get("class_name") == "__keras_tensor__":
                history = value["config"]["keras_history"]
                if history[2]:
                    raise GraphError(
                        f"{name}: takes output {history[2]} of {history[0]}; a Graph's layers have one"
                    )
                shape = value["config"].get("shape")
                self.tensors.append(
                    _Tensor(history[0], history[1], tuple(shape) if shape else None)
                )
            elif isinstance(value, int | float) and not isinstance(value, bool):
                self.constant_first = self.constant_first or not self.tensors
                self.numbers.append(float(value))
            elif value is not None:
                raise GraphError(
                    f"{name}: this {kind} layer is called with {_short(value)}, which is not understood"
                )
        if self.numbers and ".ops." not in str(entry.get("module")):
            raise GraphError(
                f"{name}: this {kind} layer is called with numbers, which is not understood"
            )
        self.constants = tuple(self.numbers)


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _references(value: Any) -> list[tuple[str, int]]:
    """Return (layer, call) pairs: Keras writes one as a list, several as a list of lists."""
    if value and isinstance(value[0], str):
        value = [value]
    return [(str(layer), int(call)) for layer, call, _ in value]


def _short(value: Any) -> str:
    text = f"a {value.get('class_name')}" if isinstance(value, Mapping) else repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def first_line(error: Exception) -> str:
    """Return what an error says, on one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
