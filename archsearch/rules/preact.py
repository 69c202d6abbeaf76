"""Pre-activation: BN → ReLU → convolution, and nothing but the addition on the shortcut's path.

He et al. 2016, "Identity mappings", arXiv 1603.05027; the lecture's pre-activation part.
"""

from collections.abc import Iterator

from archsearch.ir.tracer import Tensor
from archsearch.rules.patterns import Block, View
from archsearch.rules.rewrite import Edit, Pen
from archsearch.rules.rule import Breach, Rule, Source


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
    last = blocks[-1].add
    after = view.only_user(last)
    if after is not None and view.kind(after) in {"global_pool", "flatten", "dense"}:
        yield Breach(
            last,
            "the last block's sum is classified as it is",
            "a last BN and ReLU make it comparable, as in every branch,",
            {last: Edit(view.nodes[last].inputs, _finished)},
        )


def _nothing(net: Pen, x: Tensor) -> Tensor:
    return x


def _finished(net: Pen, *xs: Tensor) -> Tensor:
    return net.relu(net.batch_norm(net.add(*xs)))


RULES = (
    Rule(
        name="pre-activation",
        statement="In a pre-activation network write BN, ReLU, convolution in every branch, keep "
        "the shortcut's path clean, and end in a last BN and ReLU.",
        source=Source(
            "ResNet v2", "He et al. 2016, arXiv 1603.05027", "section 4; appendix for the last"
        ),
        look=_look,
    ),
)
