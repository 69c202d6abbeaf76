"""A Keras model as Python code that builds it again, one statement a layer, formatted as ruff does it."""

import inspect
import json
import keyword
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from archsearch.errors import UserError

_WIDTH: Final = 88
"""Characters a line has at most: ruff's and Black's own."""
_INDENT: Final = "    "
_UNSAID: Final = re.compile(
    r".*_(initializer|regularizer|constraint)|dtype|trainable|data_format|seed|autocast|axis"
)
"""Arguments that building a trained network again needs not, or that are Keras's own where they matter."""


class Statements(NamedTuple):
    """Lines of a function's body, the variable that they begin with, and the one they end with."""

    lines: list[str]
    first: str
    last: str


def statements(model: Any, *, comment: Callable[[str], str | None]) -> Statements:
    """Return the lines, indented, that compute a model's output.

    Args:
        model: a functional model of Keras's layers, of one input and one output.
        comment: is asked for every layer, by its name, what is to be said before it.

    Raises:
        UserError: the model holds what cannot be written as code; names it.
    """
    nodes = list(_in_order(model))
    uses, names = _uses(nodes), _Names()
    [given], [result] = model.inputs, model.outputs
    # A map that the next statement alone reads needs no name of its own.
    first = "x" if uses[id(given)] == [0] else names.of("normalized")
    variables = {id(given): first}
    lines: list[str] = []
    for index, node in enumerate(nodes):
        operation = node.operation
        if (said := comment(operation.name)) is not None:
            lines += ["", f"{_INDENT}# {said}"]
        [output] = node.outputs
        alone = output is result or uses[id(output)] == [index + 1]
        target = "x" if alone else names.of(operation.name)
        lines += _statement(target, operation, node, variables)
        variables[id(output)] = target
    return Statements(lines, first, variables[id(result)])


def _in_order(model: Any) -> Iterator[Any]:
    """Give the nodes that compute the output, each after those it reads: block after block, as one writes."""
    done: set[int] = {id(tensor) for tensor in model.inputs}
    left = [model.outputs[0]]
    while left:
        tensor = left[-1]
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        missing = [each for each in node.input_tensors if id(each) not in done]
        if missing:
            left.append(missing[0])
            continue
        left.pop()
        if id(tensor) not in done:
            done.add(id(tensor))
            yield node


def _uses(nodes: list[Any]) -> dict[int, list[int]]:
    """Return by tensor the numbers of the statements that read it."""
    uses: dict[int, list[int]] = {}
    for index, node in enumerate(nodes):
        for tensor in dict.fromkeys(map(id, node.input_tensors)):
            uses.setdefault(tensor, []).append(index)
    return uses


class _Names:
    """Names of variables, each given once."""

    def __init__(self) -> None:
        self._taken = {"x", "images", "keras", "layers", "ops", "model"}

    def of(self, layer: str) -> str:
        """Return one after a layer: of `stage1-conv1` it is `stage1_conv1`."""
        wanted = re.sub(r"\W+", "_", layer, flags=re.ASCII).strip("_").lower() or "x1"
        wanted = f"n{wanted}" if wanted[0].isdigit() or keyword.iskeyword(wanted) else wanted
        name, number = wanted, 1
        while name in self._taken:
            number += 1
            name = f"{wanted}_{number}"
        self._taken.add(name)
        return name


def _statement(target: str, operation: Any, node: Any, variables: dict[int, str]) -> list[str]:
    kind = type(operation)
    values = _values(node.arguments.args, variables)
    if hasattr(operation, "get_weights"):  # a layer
        if not kind.__module__.startswith("keras."):
            raise UserError(f"--format python holds Keras's own layers; {operation.name} is none")
        return layer_call(target, kind.__name__, layer_arguments(operation), values[0])
    return [f"{_INDENT}{target} = {_operation(operation, node, values)}"]


def _values(arguments: Any, variables: dict[int, str]) -> list[str]:
    """Write what an operation is called with: tensors by their names."""

    def text(value: Any) -> str:
        if id(value) in variables:
            return variables[id(value)]
        if isinstance(value, list | tuple) and any(id(each) in variables for each in value):
            return "[" + ", ".join(map(text, value)) + "]"
        return literal(value)

    return [text(value) for value in arguments]


def _operation(operation: Any, node: Any, values: list[str]) -> str:
    """Write a call of a function of `keras.ops`."""
    kind = type(operation).__name__
    if kind == "GetItem":
        return f"{values[0]}[{', '.join(map(_slice, node.arguments.args[1]))}]"
    if kind == "Pad":
        pads = literal(tuple(tuple(pair) for pair in operation.pad_width))
        fill = node.arguments.kwargs.get("constant_values")
        more = "" if fill is None else f", constant_values={literal(fill)}"
        return f"ops.pad({values[0]}, {pads}{more})"
    if kind == "Flip":
        return f"ops.flip({values[0]}, axis={operation.axis})"
    name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind).lower()
    return f"ops.{name}({', '.join(values)})"


def _slice(part: Any) -> str:
    if part is ...:
        return "..."
    return ":".join("" if end is None else str(end) for end in (part.start, part.stop))


def layer_arguments(layer: Any) -> list[str]:
    """Return the arguments that make a layer again: those that are not the class's own, its name last."""
    config = layer.get_config()
    parameters = inspect.signature(type(layer).__init__).parameters
    said: list[str] = []
    for position, (name, parameter) in enumerate(parameters.items()):
        if name in {"self", "name"} or name not in config or _unsaid(name, layer):
            continue
        value = _plain(config[name])
        if parameter.default is not inspect.Parameter.empty and _same(value, parameter.default):
            continue
        if name == "activation" and value == "linear" and parameter.default is None:
            continue
        first = position == len(said) + 1 and parameter.default is inspect.Parameter.empty
        said.append(literal(value) if first else f"{name}={literal(value)}")
    return [*said, f"name={json.dumps(layer.name, ensure_ascii=False)}"]


def _unsaid(name: str, layer: Any) -> bool:
    # What a normalisation goes over is said where it is not the channels.
    if name == "axis" and type(layer).__name__ == "LayerNormalization":
        return layer.axis in (-1, [-1])
    return _UNSAID.fullmatch(name) is not None


def _plain(value: Any) -> Any:
    """Return a pair of equal numbers as one number, lists as tuples."""
    if isinstance(value, list | tuple):
        parts = tuple(_plain(each) if isinstance(each, list | tuple) else each for each in value)
        if len(parts) == 2 and parts[0] == parts[1] and isinstance(parts[0], int):
            return parts[0]
        return parts
    return value


def _same(value: Any, default: Any) -> bool:
    return bool(value == _plain(default)) and type(value) is type(_plain(default))


def literal(value: Any) -> str:
    """Write a value as code, as ruff writes it."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple | list):
        inner = ", ".join(map(literal, value))
        return f"({inner}{',' if len(value) == 1 else ''})"
    return repr(value).replace("e+", "e")


def layer_call(target: str, kind: str, arguments: list[str], argument: str) -> list[str]:
    """Return the lines of `target = layers.Kind(arguments)(argument)`."""
    head, inner = f"{_INDENT}{target} = layers.{kind}(", ", ".join(arguments)
    one = f"{head}{inner})({argument})"
    if len(one) <= _WIDTH:
        return [one]
    if len(inner) > 4 * _WIDTH:  # a table of numbers; one a line would be no better to read
        return [f"{one}  # fmt: skip"]
    last = [f"{_INDENT})({argument})"]
    if len(f"{head}{inner})(") > _WIDTH and len(last[0]) <= _WIDTH:
        if len(inner) + 2 * len(_INDENT) <= _WIDTH:
            return [head, f"{_INDENT * 2}{inner}", *last]
        return [head, *(f"{_INDENT * 2}{each}," for each in arguments), *last]
    if argument.startswith("["):
        if len(argument) + 2 * len(_INDENT) <= _WIDTH:
            return [f"{head}{inner})(", f"{_INDENT * 2}{argument}", f"{_INDENT})"]
        parts = [f"{_INDENT * 3}{each}," for each in argument.strip("[]").split(", ")]
        return [f"{head}{inner})(", f"{_INDENT * 2}[", *parts, f"{_INDENT * 2}]", f"{_INDENT})"]
    return [head, *(f"{_INDENT * 2}{each}," for each in arguments), *last]
