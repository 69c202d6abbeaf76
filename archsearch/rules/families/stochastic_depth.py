"""Stochastic depth: drop whole residual blocks in training, the deeper the more often.

Huang et al. 2016, arXiv 1603.09382; the lecture's stochastic depth part.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from archsearch.ir import ops
from archsearch.rules.patterns import View, and_more
from archsearch.rules.rule import Breach, Rule, Source


def survival(block: int, blocks: int, last: float = 0.5) -> float:
    """Return the probability that a block (1 is the first) survives: 1 − l/L·(1 − p_L).

    >>> survival(54, 54), survival(27, 54)
    (0.5, 0.75)
    """
    return 1 - block / blocks * (1 - last)


def expected_blocks(survivals: Sequence[float]) -> float:
    """Return how many blocks a training step runs on average."""
    return sum(survivals)


def _look(view: View) -> Iterator[Breach]:
    paths = []
    for block in view.blocks:
        for i in block.branch:
            op = view.nodes[i].op
            if isinstance(op, ops.DropPath):
                paths.append((i, op.survival))
    found = [p for _, p in paths]
    if len(found) < 3 or min(found) == 1:
        return
    if found[-1] < found[0] and all(b <= a + 1e-9 for a, b in pairwise(found)):
        return
    wanted = [survival(i + 1, len(found), min(found)) for i in range(len(found))]
    yield Breach(
        paths[0][0],
        f"blocks survive with {found[0]:g}, …, {found[-1]:g}{and_more(len(found))}; "
        f"{expected_blocks(found):.1f} of {len(found)} run in a training step",
        f"linear decay to {min(found):g} keeps the early ones ({expected_blocks(wanted):.1f} run)",
        changed={i: ops.DropPath(round(p, 6)) for (i, _), p in zip(paths, wanted, strict=True)},
    )


RULES = (
    Rule(
        name="stochastic-depth",
        statement="Where whole blocks are dropped in training, let survival fall linearly with "
        "depth: what early blocks extract is used by all later ones.",
        source=Source("Stochastic depth", "Huang et al. 2016, arXiv 1603.09382", "section 3"),
        look=_look,
        equation=survival,
        formula="p_l = 1 − l/L·(1 − p_L)",
        tolerance="any fall with depth",
    ),
)
