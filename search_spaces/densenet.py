"""DenseNet: every layer sees all earlier maps of its stage, concatenated, and adds `growth` of its own.

Huang, Liu, van der Maaten & Weinberger 2017, arXiv 1608.06993. B: a 1×1 of four growth rates before each 3×3.
C: transitions compress by θ.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    PRE_ACTIVATION,
    STAGE_WORDS,
    has_dense_head,
    write_head,
)
from search_spaces.parts import is_large, last_bn_relu, pooled_head, preact_stem, residual_stem
from search_spaces.stages import classic_depths, depth_knobs, depths_of

DENSE = "dense-concatenation"


def dense_layer(net: Tracer, x: Tensor, *, growth: Width, bottleneck: Width | None) -> Tensor:
    """BN-ReLU-(1×1 to `bottleneck`, BN-ReLU-)3×3 to `growth`, appended to x."""
    y = net.relu(net.batch_norm(x))
    if bottleneck is not None:
        y = net.relu(net.batch_norm(net.conv(y, bottleneck, kernel=1)))
    return net.concat([x, net.conv(y, growth, kernel=3)])


def transition(net: Tracer, x: Tensor, *, filters: Width) -> Tensor:
    """BN-ReLU-1×1, average pooling 2×2."""
    return net.avg_pool(net.conv(net.relu(net.batch_norm(x)), filters, kernel=1), kernel=2)


def dense_stages(
    net: Tracer,
    x: Tensor,
    depths: Sequence[int],
    growths: Sequence[tuple[Width, Width]],
    bottlenecks: Sequence[Width | None],
    transitions: Sequence[Width],
) -> Tensor:
    """Write the stages, `transitions` between them, and the last BN-ReLU.

    Each stage's growth is that of its first half and that of the rest: equal, or neighbours by rounding.
    """
    for s, (depth, halves, bottleneck) in enumerate(zip(depths, growths, bottlenecks, strict=True)):
        for b in range(depth):
            name = f"stage{s + 1}.layer{b + 1}"
            growth = halves[2 * b >= depth]
            x = net.block(name, dense_layer, x, growth=growth, bottleneck=bottleneck)
        if s < len(transitions):
            x = net.block(f"transition{s + 1}", transition, x, filters=transitions[s])
    return last_bn_relu(net, x)


class DenseNetSpace(Space):
    """Layers a stage, compression, bottleneck; the growth rate is solved, equal everywhere up to rounding."""

    name = "densenet"
    title = "dense concatenation: layers a stage, compression, bottleneck; growth rate solved"
    rules = (DENSE, PRE_ACTIVATION, GAP_HEAD)
    unfreed: ClassVar[Mapping[str, str]] = {
        PRE_ACTIVATION: "what a layer hands on is normalised by each later one for itself"
    }
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **HEAD_WORDS,
        "θ0.5": "a transition keeps half of the channels",
        "b4": "a 1×1 to 4 growth rates before each 3×3; b0: none",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper and deeper stages."""
        rest = (
            ChoiceKnob("compression", (0.5, 0.75)),
            # Width of the 1×1 before each 3×3, in growth rates.
            ChoiceKnob("bottleneck", (2, 4)),
        )
        return [
            (*depth_knobs(most, request, least=min(2, most)), *rest)
            for most in (1, 2, 3, 4, 6, 8, 12, 16)
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return transitions that keep all, 3×3 on all channels; the head."""
        return {
            DENSE: (
                Freedom(ChoiceKnob("compression", (0.5, 0.75, 1.0))),
                Freedom(ChoiceKnob("bottleneck", (0, 2, 4))),
            ),
            GAP_HEAD: HEADS,
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return DenseNet-121, on small images DenseNet-BC-100 (as deep as the ranges go)."""
        large = is_large(request.input)
        depths = classic_depths(knobs, (6, 12, 24, 16) if large else (16, 16, 16, 0))
        return {**depths, "compression": 0.5, "bottleneck": 4}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return two growth rates for the stem, and for each stage growth, bottleneck and transition."""
        depths = depths_of(knobs)
        narrow, theta = base * int(knobs["bottleneck"]), float(knobs["compression"])
        total = 2 * base
        widths = {"stem": pick(total)}
        for s, depth in enumerate(depths, start=1):
            # Two halves, as one rate for a whole stage would move the FLOPs in steps of many per cent.
            widths[f"growth{s}"] = pick(base)
            if depth > 1:
                widths[f"growth{s}_late"] = pick(base)
            if narrow:
                widths[f"bottleneck{s}"] = pick(narrow)
            if s < len(depths):
                total = (total + depth * base) * theta
                widths[f"transition{s}"] = pick(total)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 8)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages with transitions, and head."""
        depths = depths_of(knobs)
        stem = residual_stem if is_large(request.input) else preact_stem
        stages = range(1, len(depths) + 1)
        x = dense_stages(
            net,
            stem(net, net.input, widths["stem"], large=is_large(request.input)),
            depths,
            [(widths[f"growth{s}"], widths.get(f"growth{s}_late", 0)) for s in stages],
            [widths.get(f"bottleneck{s}") for s in stages],
            [widths[f"transition{s}"] for s in stages[:-1]],
        )
        return write_head(net, x, widths, request.classes, knobs=knobs)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `6-12-24-16 θ0.5 b4`."""
        depths = "-".join(map(str, depths_of(knobs)))
        return f"{depths} θ{knobs['compression']} b{knobs['bottleneck']}"


def _compressed(stem: int, depths: Sequence[int], growth: int, theta: float) -> list[int]:
    """Return the transitions' widths: ⌊θ·m⌋ of m channels."""
    width, out = stem, []
    for depth in depths[:-1]:
        width = int(theta * (width + depth * growth))
        out.append(width)
    return out


def _imagenet(layers: int, depths: tuple[int, ...], growth: int, stem: int) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = residual_stem(net, net.input, stem, large=True)
        n = len(depths)
        x = dense_stages(
            net,
            x,
            depths,
            [(growth, growth)] * n,
            [4 * growth] * n,
            _compressed(stem, depths, growth, 0.5),
        )
        return pooled_head(net, x, classes)

    return Baseline(
        name=f"densenet{layers}",
        title=f"DenseNet-{layers}",
        source="Huang et al. 2017, table 1; as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


def _cifar(layers: int, growth: int, *, bc: bool) -> Baseline:
    depth = (layers - 4) // (6 if bc else 3)
    stem = 2 * growth if bc else 16

    def write(net: Tracer, classes: int) -> Tensor:
        x = preact_stem(net, net.input, stem, large=False)
        x = dense_stages(
            net,
            x,
            (depth,) * 3,
            [(growth, growth)] * 3,
            [4 * growth if bc else None] * 3,
            _compressed(stem, (depth,) * 3, growth, 0.5 if bc else 1.0),
        )
        return pooled_head(net, x, classes)

    return Baseline(
        name=f"densenet{'_bc_' if bc else ''}{layers}_{growth}",
        title=f"DenseNet{'-BC' if bc else ''} {layers}, growth {growth}, for CIFAR",
        source="Huang et al. 2017, section 4 and table 2",
        input=(32, 32, 3),
        classes=10,
        write=write,
        smallest=4,
    )


DENSENET = DenseNetSpace()
BASELINES = {
    b.name: b
    for b in (
        _imagenet(121, (6, 12, 24, 16), 32, 64),
        _imagenet(161, (6, 12, 36, 24), 48, 96),
        _imagenet(169, (6, 12, 32, 32), 32, 64),
        _imagenet(201, (6, 12, 48, 32), 32, 64),
        _cifar(40, 12, bc=False),
        _cifar(100, 12, bc=True),
        _cifar(190, 40, bc=True),
    )
}
