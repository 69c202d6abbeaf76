"""A picture of each design rule: a network that breaks it, beside the same one with the rule followed.

Both are drawn from their Graphs, by one function for all rules: the layers that differ and those around.
"""

import io
import textwrap
from collections.abc import Callable, Iterator, Sequence
from math import log2
from typing import Any, Final, NamedTuple

import archsearch
from archsearch.drawing import own_style
from archsearch.ir.graph import Graph, Node
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.readings.cost import cost
from archsearch.report.catalog import rule_rows
from archsearch.rules.audit import audit
from archsearch.rules.registry import find_rule
from archsearch.rules.rule import Finding
from archsearch.space.registry import load_baselines, load_spaces
from archsearch.units import format_count

_KNOWN: Final = (
    "alexnet", "vgg16", "googlenet", "resnet50", "resnet110_cifar", "resnext101_32x8d", "densenet40_12",
    "squeezenet1_0", "mobilenet_v2", "regnetx_006",
)  # fmt: skip
"""Networks that findings are shown on first: those that people know."""
_MOST: Final = 9
"""Layers written out; of more that differ the whole network is drawn, a line a layer."""
_LINES: Final = 72
_RED, _GREEN, _GREY = "#c0392b", "#2e7d4f", "#c3c9d1"


class Example(NamedTuple):
    """A network that breaks a rule: what it is, itself, and where it does."""

    name: str
    graph: Graph
    finding: Finding
    command: str = ""


def examples() -> dict[str, Example]:
    """Return a network that breaks each rule: one that people know, of a space that frees it, or ours."""
    found: dict[str, Example] = {}
    baselines = load_baselines()
    for name in (*_KNOWN, *(n for n in sorted(baselines) if n not in _KNOWN)):
        graph = baselines[name].build()
        for one in audit(graph):
            command = f"archsearch check {name} --rule {one.rule}"
            found.setdefault(one.rule, Example(name, graph, one, command))
    for row in rule_rows(load_spaces()):
        if row["name"] not in found and (one := next(_freed(row["name"], row["freed_in"]), None)):
            found[row["name"]] = one
    for rule, graph in _written():
        if rule not in found:
            found[rule] = Example(graph.name, graph, find_rule(rule).check(graph)[0])
    return found


def _freed(rule: str, spaces: Sequence[str]) -> Iterator[Example]:
    """Yield candidates of spaces that free a rule, and that break it."""
    for space in spaces:
        for candidate in archsearch.sample(space, "20M", relax=(rule,), count=12):
            for finding in find_rule(rule).check(candidate.graph)[:1]:
                yield Example(candidate.title, candidate.graph, finding)


def picture(example: Example) -> str:
    """Return the picture as SVG: the rule broken, and followed at the right; what differs in colour."""
    with own_style(svg__fonttype="none", svg__hashsalt="archsearch", font__size=9):
        return _drawn(example)


def _drawn(example: Example) -> str:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    graph, finding = example.graph, example.finding
    pair = (graph, finding.followed)
    nodes = _shown(*pair), _shown(*reversed(pair))
    rows = max(map(len, nodes))
    named = rows <= _MOST + 3
    figure = Figure(figsize=(9.6, 1.5 + (0.24 * rows if named else 2.4)))
    FigureCanvasSVG(figure)
    figure.suptitle(example.name, x=0.02, y=0.99, ha="left", fontsize=10)
    texts = finding.found, f"{finding.wanted} {finding.effect}"
    for n, axes in enumerate(figure.subplots(1, 2)):
        colour, word = (_RED, "broken") if n == 0 else (_GREEN, "followed")
        changed = _differing(pair[n], pair[1 - n])
        _draw_layers(axes, nodes[n], changed, colour, named=named)
        axes.set_ylim(0.6 - rows, 0.6)
        axes.set_title(f"{word}: {_costs(pair[n])}", fontsize=9, loc="left", color=colour)
        told = "\n".join(textwrap.wrap(texts[n], 72)[:4])
        axes.text(0, -0.03, told, transform=axes.transAxes, va="top", fontsize=8)
    inches = figure.get_figheight()
    figure.subplots_adjust(
        left=0.02, right=0.98, top=1 - 0.5 / inches, bottom=0.7 / inches, wspace=0.06
    )
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", metadata={"Date": None})
    return drawn.getvalue()


def _costs(graph: Graph) -> str:
    price = cost(graph)
    return f"{format_count(price.flops)} FLOPs, {format_count(price.params)} parameters"


def _shown(graph: Graph, other: Graph) -> list[Node]:
    """Return the layers to draw of a network: those around what another one has otherwise, or all."""
    changed, others = _differing(graph, other), _differing(other, graph)
    if max(len(changed), len(others)) > _MOST:
        return _weighted(graph)
    if changed:
        places = [at for at, node in enumerate(graph.nodes) if node.name in changed]
    else:  # the other has more: where that would stand
        first = min(at for at, node in enumerate(other.nodes) if node.name in others)
        before = other.nodes[first - 1].name
        places = [at for at, node in enumerate(graph.nodes) if node.name == before]
    first, last = min(places), max(places)
    return list(graph.nodes[max(1, first - 2) : last + 3][: _MOST + 3])


def _differing(graph: Graph, other: Graph) -> set[str]:
    """Return the names of the layers that another network does not have, or has otherwise."""
    kept = {(n.name, n.op, other.input_shapes(n)) for n in other}
    return {n.name for n in graph.nodes[1:] if (n.name, n.op, graph.input_shapes(n)) not in kept}


def _weighted(graph: Graph) -> list[Node]:
    nodes = [node for node in graph.nodes if node.op.kind in ("conv", "dense")]
    step = -(-len(nodes) // _LINES)
    return nodes[::step]


def _draw_layers(
    axes: Any, nodes: Sequence[Node], changed: set[str], colour: str, *, named: bool
) -> None:
    """Draw layers from top to bottom, each as wide as it has channels."""
    widest = max(_channels(node) for node in nodes)
    for at, node in enumerate(nodes):
        width = log2(1 + _channels(node)) / log2(1 + widest) if named else _channels(node) / widest
        axes.barh(
            -at, max(width, 0.02), height=0.78 if named else 1.0,
            color=colour if node.name in changed else _GREY, alpha=0.75,
        )  # fmt: skip
        if named:
            shape = "×".join(map(str, node.shape))
            axes.text(0.01, -at, f"{node.name}: {_label(node)}", va="center", fontsize=8)
            axes.text(1.0, -at, shape, va="center", ha="right", fontsize=8, color="#555555")
    axes.set_xlim(0, 1.02)
    axes.axis("off")


def _channels(node: Node) -> int:
    last = node.shape[-1]
    return last if isinstance(last, int) else 1


def _label(node: Node) -> str:
    """Return a layer in a few words: `conv 3×3 /2, 4 groups`."""
    op = node.op
    words = [
        str(getattr(op, "function", "") or getattr(op, "name", "") or op.kind).replace("_", " ")
    ]
    kernel, stride = getattr(op, "kernel", None), getattr(op, "stride", (1, 1))
    if kernel is not None:
        words.append("×".join(map(str, kernel)))
    if kernel is not None and stride != (1, 1):
        words.append(f"/{stride[0]}")
    groups, rate = getattr(op, "groups", 1), getattr(op, "rate", None)
    tail = f", {groups} groups" if groups != 1 else f" {rate:g}" if isinstance(rate, float) else ""
    return " ".join(words) + tail


# --- networks of our own, for rules that no known one breaks and no space frees ----------------------------


def _written() -> Iterator[tuple[str, Graph]]:
    yield "cost-profile", _network("a dense head", (32, 32, 3), _dense_head)
    yield "aggressive-stem", _network("a slow stem", (128, 128, 3), _slow_stem)
    yield "pre-activation", _network("ReLU after a sum", (32, 32, 3), _relu_after_sum)
    yield "depthwise-separable", _network("one full 3×3", (32, 32, 3), _full_convolution)


def _network(
    name: str, shape: tuple[int, int, int], write: Callable[[Tracer, Tensor], Tensor]
) -> Graph:
    net = Tracer(name, shape)
    x = write(net, net.input)
    return net.finish(net.dense(net.global_avg_pool(x) if len(x.shape) == 3 else x, 10))


def _unit(net: Tracer, x: Tensor, filters: int, *, kernel: int = 3, groups: int = 1) -> Tensor:
    return net.relu(net.batch_norm(net.conv(x, filters, kernel=kernel, groups=groups)))


def _dense_head(net: Tracer, x: Tensor) -> Tensor:
    x = net.flatten(net.max_pool(net.relu(net.conv(x, 8, kernel=3)), kernel=2))
    return net.relu(net.dense(x, 2048))


def _slow_stem(net: Tracer, x: Tensor) -> Tensor:
    for _ in range(3):
        x = _unit(net, x, 32)
    return _unit(net, net.max_pool(net.max_pool(x, kernel=2), kernel=2), 64)


def _relu_after_sum(net: Tracer, x: Tensor) -> Tensor:
    x = net.conv(x, 16, kernel=3)
    for block in range(4):
        with net.scope(f"block{block + 1}"):
            y = net.conv(net.relu(net.batch_norm(x)), 16, kernel=3)
            y = net.conv(net.relu(net.batch_norm(y)), 16, kernel=3)
            x = net.add(y, x)
            x = net.relu(x) if block == 1 else x
    return net.relu(net.batch_norm(x))


def _full_convolution(net: Tracer, x: Tensor) -> Tensor:
    x = _unit(net, x, 32)
    for layer in range(4):
        x = x if layer == 2 else _unit(net, x, 32, groups=32)
        x = _unit(net, x, 32, kernel=3 if layer == 2 else 1)
    return x
