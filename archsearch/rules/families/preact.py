"""Pre-activation: BN → ReLU → convolution, and nothing but the addition on the shortcut's path.

He et al. 2016, "Identity mappings", arXiv 1603.05027; the lecture's pre-activation part.
"""

from collections.abc import Iterator
from functools import partial

from archsearch.ir import ops
from archsearch.ir.tracer import Tensor
from archsearch.rules.patterns import Block, View, and_more
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source

_IMPEDING = {"batch_norm": "BN", "rescale": "a constant factor", "dropout": "dropout"}
"""What a shortcut trains worse with: sections 3.1 and 3.3, and 4.1 for BN."""
_BETWEEN = frozenset({"dropout", "pad", "pool"})
"""What may stand between ReLU and convolution."""
_UNIT = _BETWEEN | {"batch_norm", "activation"}


def _starts_normalised(view: View, block: Block) -> bool:
    first = block.branch[0]
    if view.kind(first) == "batch_norm":
        return True
    # A projecting block may branch off after its BN-ReLU, which both sides then share.
    entry = view.nodes[block.entry]
    return view.kind(first) == "conv" and (
        entry.op.kind == "activation"
        and view.kind(entry.inputs[0]) == "batch_norm"
        and view.kind(view.nodes[entry.inputs[0]].inputs[0]) != "conv"
    )


def _is_post(view: View, block: Block) -> bool:
    """Say whether an activation stands behind the addition, on the way to the next block."""
    after = view.only_user(block.add)
    return after is not None and view.kind(after) == "activation"


def _look(view: View) -> Iterator[Breach]:
    blocks = view.blocks
    pre = [b for b in blocks if _starts_normalised(view, b)]
    if 2 * len(pre) <= len(blocks):
        return  # it does not use pre-activation
    for block in blocks:
        if _is_post(view, block):
            after = view.only_user(block.add)
            assert after is not None
            yield Breach(
                block.add,
                "an activation on the shortcut's path, where the other blocks keep it clean",
                "nothing after the addition does it",
                {after: Edit((block.add,), _nothing)},
            )
    yield from _impeded(view)
    yield from _misordered(view)
    last = blocks[-1].add
    after = view.only_user(last)
    if after is not None and view.kind(after) in {"global_pool", "flatten", "dense"}:
        yield Breach(
            last,
            "the last block's sum is classified as it is",
            "a last BN and ReLU make it comparable, as in every branch,",
            {last: Edit(view.nodes[last].inputs, _finished)},
        )


def _impeded(view: View) -> Iterator[Breach]:
    found: dict[str, list[int]] = {}
    edits: dict[int, Edit] = {}
    for block in view.blocks:
        if any(view.is_conv(i) for i in block.shortcut):
            continue  # a projection is no identity anyway
        for index in block.shortcut:
            if view.kind(index) in _IMPEDING:
                found.setdefault(_IMPEDING[view.kind(index)], []).append(index)
                edits[index] = Edit(view.nodes[index].inputs, _nothing)
        before = _sum_before_unit(view, block)
        if before is not None and not block.shortcut:
            found.setdefault("BN and ReLU", []).append(block.add)
            ends = view.nodes[block.add].inputs
            edits[block.add] = Edit(tuple(before if i == block.entry else i for i in ends), _sum)
    for what, nodes in found.items():
        yield Breach(
            nodes[0],
            f"{what} on the shortcut's path{and_more(len(nodes))}",
            "nothing but the addition does it",
            {index: edits[index] for index in nodes},
        )


def _sum_before_unit(view: View, block: Block) -> int | None:
    """Return the sum that a block is entered with after BN and ReLU, or None if it is entered bare."""
    entry = view.nodes[block.entry]
    if entry.op.kind != "activation" or view.kind(entry.inputs[0]) != "batch_norm":
        return None
    before = view.nodes[entry.inputs[0]].inputs[0]
    return before if view.kind(before) == "add" else None


def _misordered(view: View) -> Iterator[Breach]:
    found: dict[str, list[tuple[Block, int]]] = {}
    for block in view.blocks:
        for conv in view.branch_convs(block):
            fault = _fault(view, conv)
            if fault:
                found.setdefault(fault, []).append((block, conv))
    for fault, places in found.items():
        edits: dict[int, Edit] = {}
        for block, conv in places:
            edits |= _ordered(view, block, conv)
        yield Breach(
            places[0][1],
            f"{fault}{and_more(len(places))}",
            "BN, ReLU, convolution in this order do it",
            edits,
        )


def _fault(view: View, conv: int) -> str | None:
    """Say what is wrong with what a branch's convolution is given, if anything is."""
    before = view.back(view.nodes[conv].inputs[0], _BETWEEN)
    if view.kind(before) == "add":
        return "a convolution of the sum as it is"
    if view.kind(before) == "conv":
        # The two halves of a separable convolution are one.
        return None if view.is_depthwise(before) else "neither BN nor ReLU before the convolution"
    if view.kind(before) not in {"batch_norm", "activation"}:
        return None
    first = view.kind(view.back(view.nodes[before].inputs[0], _BETWEEN))
    if view.kind(before) == "batch_norm":
        return "ReLU before BN" if first == "activation" else "no ReLU between BN and convolution"
    return "no BN before ReLU and convolution" if first in {"conv", "add"} else None


def _ordered(view: View, block: Block, conv: int) -> dict[int, Edit]:
    """Return what writes BN and ReLU before a convolution, and no BN behind it if it stood there instead."""
    at, between = view.nodes[conv].inputs[0], list[ops.Op]()
    while at != block.entry and view.kind(at) in _UNIT:
        if view.kind(at) in _BETWEEN:
            between.insert(0, view.nodes[at].op)
        at = view.nodes[at].inputs[0]
    write = partial(_preactivated, between=between, op=view.nodes[conv].op)
    edits = {conv: Edit((at,), write)}
    if view.nodes[conv].inputs[0] == block.entry:
        ends = (i for i in view.nodes[block.add].inputs if i in block.branch)
        end = view.back(next(ends), frozenset({"dropout", "drop_path", "rescale"}))
        if view.kind(end) == "batch_norm":
            edits[end] = Edit(view.nodes[end].inputs, _nothing)
    return edits


def _preactivated(net: Pen, x: Tensor, *, between: list[ops.Op], op: ops.Op) -> Tensor:
    x = net.relu(net.batch_norm(x))
    for other in between:
        x = net.write(other, x)
    return net.write(op, x)


def _nothing(net: Pen, x: Tensor) -> Tensor:
    return x


def _sum(net: Pen, *xs: Tensor) -> Tensor:
    return net.add(*xs)


def _finished(net: Pen, *xs: Tensor) -> Tensor:
    return net.relu(net.batch_norm(net.add(*xs)))


RULES = (
    Rule(
        name="pre-activation",
        statement="In a pre-activation network write BN, ReLU, convolution in every branch, keep "
        "the shortcut's path clean, and end in a last BN and ReLU.",
        source=Source(
            "ResNet v2",
            "He et al. 2016, arXiv 1603.05027",
            "sections 3 and 4; appendix for the last",
        ),
        look=_look,
    ),
)
