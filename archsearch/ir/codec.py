"""A Graph as JSON and back, and its content hash.

The JSON says all there is to a network, so that a stored one can be rebuilt without the code of its space.
Reading checks everything again: an unknown op or field, or a shape that does not follow, is an error.
"""

import hashlib
import json
from dataclasses import MISSING, fields
from math import isfinite
from typing import Any, Literal, get_args, get_origin, get_type_hints

from archsearch.errors import GraphError
from archsearch.ir.graph import Graph, Node
from archsearch.ir.ops import OPS, Op, Pair

FORMAT = "archsearch.graph/1"


def to_dict(graph: Graph) -> dict[str, Any]:
    """Return the network as plain JSON values; fields at their default are left out."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": graph.name,
        "nodes": [
            {"name": n.name, "op": n.op.kind, "inputs": n.inputs, "shape": n.shape}
            | _settings(n.op)
            for n in graph.nodes
        ],
    }
    if graph.auxiliary:
        document["auxiliary"] = graph.auxiliary
    return document


def to_json(graph: Graph) -> str:
    """Return the network as a JSON text."""
    return json.dumps(to_dict(graph), separators=(",", ":"))


def from_dict(document: Any) -> Graph:
    """Read what `to_dict` wrote.

    Raises:
        GraphError: it is no such document, or the network in it does not fit together.
    """
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise GraphError(f'this is no archsearch graph: its "format" is not "{FORMAT}"')
    try:
        name = str(document["name"])
        nodes: list[Node] = []
        for entry in document["nodes"]:
            nodes.append(_read_node(entry, nodes))
        auxiliary = tuple(int(i) for i in document.get("auxiliary", ()))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise GraphError(f"the graph is damaged: {type(error).__name__}: {error}") from None
    if not nodes or nodes[0].op.kind != "input" or len(nodes[-1].shape) != 1:
        raise GraphError("the graph is damaged: it must start with an input and end in a vector")
    if any(not 0 < i < len(nodes) or len(nodes[i].shape) != 1 for i in auxiliary):
        raise GraphError("the graph is damaged: an auxiliary output is no vector of scores")
    return Graph(name, tuple(nodes), auxiliary)


def from_json(text: str) -> Graph:
    """Read what `to_json` wrote.

    Raises:
        GraphError: the text is no JSON, or no network.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"the graph is no JSON: {error}") from None
    return from_dict(document)


def content_hash(graph: Graph) -> str:
    """Return 16 hex digits that are equal for networks of equal layers, whatever their names."""
    content = [(n.op.kind, n.inputs, n.shape, sorted(_settings(n.op).items())) for n in graph.nodes]
    text = json.dumps([content, graph.auxiliary])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


_FIELDS = {op: tuple((f.name, f.default) for f in fields(op)) for op in OPS.values()}


_HINTS = {op: get_type_hints(op) for op in OPS.values()}


def _fits(value: Any, hint: Any) -> bool:
    """Say whether a value read from JSON is what the field's type says: no count below zero, no NaN."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is tuple and arguments[-1] is Ellipsis:
        return isinstance(value, tuple) and all(_fits(v, arguments[0]) for v in value)
    if origin is tuple:
        return (
            isinstance(value, tuple)
            and len(value) == len(arguments)
            and all(_fits(v, a) for v, a in zip(value, arguments, strict=True))
            # Kernels, strides and dilations come in pairs, and none of them can be 0.
            and (hint != Pair or min(value) > 0)
        )
    if origin is Literal:
        return value in arguments
    if arguments:  # a union
        return any(_fits(value, a) for a in arguments)
    if hint is bool or hint is str:
        return isinstance(value, hint)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isfinite(value) and (
        hint is float or (hint is int and isinstance(value, int) and value >= 0)
    )


def _settings(op: Op) -> dict[str, Any]:
    """Return the op's fields that are not at their default."""
    out = {}
    for name, default in _FIELDS[type(op)]:
        value = getattr(op, name)
        # An input's own shape is the node's shape already.
        if op.kind != "input" and (default is MISSING or value != default):
            out[name] = value
    return out


def _read_node(entry: dict[str, Any], before: list[Node]) -> Node:
    values = dict(entry)
    name, kind = str(values.pop("name")), values.pop("op")
    inputs = tuple(int(i) for i in values.pop("inputs"))
    shape = tuple(int(n) for n in values.pop("shape"))
    if kind not in OPS:
        raise GraphError(f"{name}: unknown op {kind!r}; known are {', '.join(OPS)}")
    if (kind == "input") != (not before) or any(not 0 <= i < len(before) for i in inputs):
        raise GraphError(f"{name}: inputs {inputs} do not come before it")
    known = {field for field, _ in _FIELDS[OPS[kind]]}
    if unknown := set(values) - known:
        raise GraphError(f"{name}: {kind} has no {', '.join(sorted(unknown))}")
    if kind == "input":
        values["shape"] = shape
    settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for field, hint in _HINTS[OPS[kind]].items():
        if field in settings and not _fits(settings[field], hint):
            raise GraphError(f"{name}: {field} = {settings[field]!r} does not fit a {kind}")
    op = OPS[kind](**settings)
    if len(inputs) != op.arity if op.arity is not None else len(inputs) < 2:
        raise GraphError(f"{name}: {len(inputs)} inputs do not fit a {kind}")
    try:
        inferred = op.infer(*[before[i].shape for i in inputs])
    except GraphError as error:
        raise GraphError(f"{name}: {error}") from None
    if inferred != shape:
        raise GraphError(f"{name}: its shape is stored as {shape} but follows as {inferred}")
    return Node(name, op, inputs, shape)
