"""Wide ResNet: residuals matter more than depth, so widen the blocks by k.

Zagoruyko & Komodakis 2016, arXiv 1605.07146: BN-ReLU-conv, dropout inside the block, depth 6n + 4 in three
stages of k·(16, 32, 64) filters; on ImageNet a bottleneck whose inner width is k times as large.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    IDENTITY,
    MULTIPLIER_WORDS,
    NO_POST_ACTIVATION,
    PRE_ACTIVATION,
    SHORTCUT_WORDS,
    SHORTCUTS,
    growth,
    has_dense_head,
    multipliers,
    shortcut,
    write_head,
)
from search_spaces.parts import is_large, last_bn_relu, pooled_head, preact_stem, residual_stem
from search_spaces.residual import bottleneck, preact_basic, preact_bottleneck
from search_spaces.resnet import residual_stages


def _depths(n: int, *, large: bool) -> tuple[int, ...]:
    """Return (n, n, n), depth 6n + 4; on large images (n, n+1, 2n, n), which is ResNet-50's for n = 3."""
    return (n, n + 1, 2 * n, n) if large else (n, n, n)


class WrnSpace(Space):
    """Blocks per stage n, widening factor k, dropout; the unwidened base width is solved."""

    name = "wrn"
    title = "wide residual networks: depth 6n + 4, widening factor k, dropout in the block"
    rules = (CHANNEL_DOUBLING, IDENTITY, PRE_ACTIVATION, "widening", GAP_HEAD)
    unfreed: ClassVar[Mapping[str, str]] = {
        PRE_ACTIVATION: NO_POST_ACTIVATION,
        "widening": "k is a knob already, and more than 48 thin blocks are beyond its depths",
    }
    words: ClassVar[Mapping[str, str]] = {
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **HEAD_WORDS,
        "n4": "blocks a stage (on large images n, n + 1, 2n, n); 6n + 4 layers",
        "k10": "the blocks are 10 times as wide as the stem",
        "dropout 0.3": "the rate of dropout inside each block",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper and wider sets: a base of at least four channels must be left to widen."""
        steps = (
            (1, 2), (2, 2), (3, 2), (4, 2), (2, 4), (4, 4), (6, 4), (4, 6), (6, 6), (6, 8),
            (6, 10), (8, 10), (8, 12),
        )  # fmt: skip
        return [
            (
                IntKnob("n", 1, most),
                ChoiceKnob("k", tuple(k for k in (1, 2, 3, 4, 6, 8, 10, 12) if k <= widest)),
                ChoiceKnob("dropout", (0.0, 0.1, 0.2, 0.3)),
            )
            for most, widest in steps
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, the head."""
        stages = 4 if is_large(request.input) else 3
        return {CHANNEL_DOUBLING: multipliers(stages), IDENTITY: SHORTCUTS, GAP_HEAD: HEADS}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return WRN-28-10 (WRN-50-2 on large images), as far as the ranges go."""
        large = is_large(request.input)
        deepest = max(int(value) for value in knobs["n"].values())
        widest = max(int(value) for value in knobs["k"].values())
        return {
            "n": min(deepest, 3 if large else 4),
            "k": min(widest, 2 if large else 10),
            "dropout": 0.0,
        }

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return the stem's base width and doubling stages; k widens them (their inside if large).

        Not widened, the first stage is as wide as the stem, and their widths are one.
        """
        k = int(knobs["k"])
        widths = {} if k == 1 and not is_large(request.input) else {"stem": pick(base)}
        for s, factor in enumerate(growth(knobs, 4 if is_large(request.input) else 3), start=1):
            widths[f"inner{s}"] = pick(base * factor * k)
            if is_large(request.input):
                widths[f"stage{s}"] = pick(base * factor * 4)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 8)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages, the last BN-ReLU and the head."""
        large = is_large(request.input)
        depths = _depths(int(knobs["n"]), large=large)
        inners = [widths[f"inner{s + 1}"] for s in range(len(depths))]
        outer = [widths[f"stage{s + 1}"] for s in range(len(depths))] if large else inners
        x = preact_stem(net, net.input, widths.get("stem", inners[0]), large=large)
        x = residual_stages(
            net,
            x,
            preact_bottleneck if large else preact_basic,
            depths,
            inners,
            outer,
            project_first="stem" in widths,
            path=shortcut(knobs),
            dropout=float(knobs["dropout"]),
        )
        return write_head(net, last_bn_relu(net, x), widths, request.classes, knobs=knobs)

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return the depth in layers and the widening that rounding left."""
        large = is_large(request.input)
        blocks = sum(_depths(int(knobs["n"]), large=large))
        return {
            "depth": 3 * blocks + 2 if large else 2 * blocks + 4,
            "widening": widths["inner1"] / widths.get("stem", widths["inner1"]),
        }

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `n4 k10 dropout 0.3`."""
        return f"n{knobs['n']} k{knobs['k']} dropout {knobs['dropout']}"


def _cifar(depth: int, k: int) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, 16, large=False)
        filters = [16 * k * 2**s for s in range(3)]
        x = residual_stages(net, x, preact_basic, ((depth - 4) // 6,) * 3, filters, filters)
        return pooled_head(net, last_bn_relu(net, x), classes)

    return Baseline(
        name=f"wrn_{depth}_{k}",
        title=f"WRN-{depth}-{k} for CIFAR",
        source="Zagoruyko & Komodakis 2016, table 1",
        input=(32, 32, 3),
        classes=10,
        write=write,
    )


def _imagenet(layers: int, depths: tuple[int, ...]) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = residual_stem(net, net.input, 64, large=True)
        inners = [128 * 2**s for s in range(4)]
        x = residual_stages(net, x, bottleneck, depths, inners, [256 * 2**s for s in range(4)])
        return pooled_head(net, x, classes)

    return Baseline(
        name=f"wide_resnet{layers}_2",
        title=f"Wide ResNet-{layers}-2",
        source="Zagoruyko & Komodakis 2016, section 3.4; post-activation, as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


WRN = WrnSpace()
BASELINES = {
    b.name: b
    for b in (
        *(_cifar(d, k) for d, k in ((16, 8), (22, 8), (28, 10), (40, 4), (40, 8))),
        _imagenet(50, (3, 4, 6, 3)),
        _imagenet(101, (3, 4, 23, 3)),
    )
}
