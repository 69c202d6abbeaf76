"""EfficientNet: inverted residuals with gates, scaled in depth, width and resolution at once.

Tan & Le 2019, arXiv 1905.11946. One number φ says how large a network is: α^φ times as deep as B0, β^φ times
as wide, on images γ^φ times as large, for about 2^φ times the FLOPs.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import ClassVar, Final, NamedTuple

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.rules.families.efficientnet import B0_DEPTHS, B0_SIDE, B0_WIDTHS, compound_scaling
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs, RisingKnob
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import IDENTITY
from search_spaces.mobilenet_v2 import LINEAR
from search_spaces.residual import squeeze_excite
from search_spaces.se import GATES

COMPOUND: Final = "compound-scaling"

# Of B0, table 1 of the paper.
_STEM, _HEAD = 32, 1280
_EXPANSIONS: Final = (1, 6, 6, 6, 6, 6, 6)
_KERNELS: Final = (3, 3, 5, 3, 5, 5, 3)
_STRIDES: Final = (1, 2, 2, 2, 1, 2, 1)

_STEP: Final = 0.25
"""By how much φ rises from one budget's networks to the next."""

_NARROWEST: Final = 0.89
"""What a width may be of β^φ at the least budget of a φ; at the most it is as much wider."""


class _Stage(NamedTuple):
    """Blocks of one width; the hidden widths and gates of the first of them and of the others."""

    depth: int
    width: Width
    kernel: int
    stride: int
    hidden: tuple[Width | None, Width | None]
    gates: tuple[Width, Width]


def mbconv(
    net: Tracer,
    x: Tensor,
    *,
    hidden: Width | None,
    filters: Width,
    kernel: int,
    stride: int,
    gate: Width,
    add: bool,
    survival: float = 1.0,
) -> Tensor:
    """1×1 up to `hidden` (left out for None), depthwise, gate, linear 1×1 down; x added where `add`."""
    y = x if hidden is None else _unit(net, x, hidden, kernel=1)
    y = _unit(net, y, y.channels, kernel=kernel, stride=stride, groups=y.channels)
    y = squeeze_excite(net, y, gate, function="silu")
    y = net.batch_norm(net.conv(y, filters, kernel=1))
    if not add:
        return y
    return net.add(x, y if survival == 1 else net.drop_path(y, survival))


def _unit(
    net: Tracer, x: Tensor, filters: Width, *, kernel: int, stride: int = 1, groups: Width = 1
) -> Tensor:
    """Convolution, BN, SiLU."""
    return net.silu(
        net.batch_norm(net.conv(x, filters, kernel=kernel, stride=stride, groups=groups))
    )


def _write(
    net: Tracer,
    x: Tensor,
    stages: Sequence[_Stage],
    classes: int,
    *,
    stem: Width,
    head: Width,
    dropout: float = 0.2,
    dropped: float = 0.0,
) -> Tensor:
    """Write the network on `x`; in training the last block is dropped with probability `dropped`."""
    with net.scope("stem"):
        x = _unit(net, x, stem, kernel=3, stride=2)
    index, count = 0, sum(stage.depth for stage in stages)
    for s, stage in enumerate(stages, start=1):
        for b in range(stage.depth):
            x = net.block(
                f"stage{s}.block{b + 1}",
                mbconv,
                x,
                hidden=stage.hidden[b > 0],
                filters=stage.width,
                kernel=stage.kernel,
                stride=1 if b else stage.stride,
                gate=stage.gates[b > 0],
                add=b > 0,
                survival=1 - dropped * index / count if b else 1,
            )
            index += 1
    with net.scope("head"):
        x = net.global_avg_pool(_unit(net, x, head, kernel=1))
        return net.dense(net.dropout(x, dropout), classes)


class EfficientNetSpace(Space):
    """Kernels and gates of B0's stages; φ follows from the budget, the width fills it."""

    name = "efficientnet"
    title = "depth, width and resolution scaled together: φ by the budget, kernels, gates"
    rules = (IDENTITY, LINEAR, GATES, COMPOUND)
    unfreed: ClassVar[Mapping[str, str]] = {
        IDENTITY: "its blocks are those of mobilenet_v2, which frees it",
        LINEAR: "its blocks are those of mobilenet_v2, which frees it",
        GATES: "its gates are those of se, which frees it",
    }
    words: ClassVar[Mapping[str, str]] = {
        "φ-2": "2^φ times EfficientNet-B0's FLOPs: 1.2^φ times as deep, on images of 224·1.15^φ pixels",
        "mixed": "3×3 and 5×5 as in EfficientNet-B0; 3, 5: the same kernel everywhere",
        "r4": "a block's input is 4 times as wide as its gate's hidden layer",
        "depth_shift": "depth goes by a φ larger by that much; resolution_shift: so do the images",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return one φ after the other: a budget has one."""
        return [
            (
                RisingKnob("phi", (step * _STEP,)),
                ChoiceKnob("kernel", ("mixed", 3, 5)),
                ChoiceKnob("reduction", (4, 8, 16)),
            )
            for step in range(-28, 29)
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return depth and resolution that do not go with the width."""
        shifts = (-4.0, -2.0, 0.0, 2.0, 4.0)
        return {
            COMPOUND: tuple(
                Freedom(RisingKnob(name, shifts), held=0.0)
                for name in ("depth_shift", "resolution_shift")
            )
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return B0, scaled to the budget."""
        return {"phi": knobs["phi"].values()[0], "kernel": "mixed", "reduction": 4}

    def needs(self, knobs: Knobs, request: Request) -> float:
        """Return the stem's width at the least budget of this φ; freed, what gates of a hidden unit need."""
        gated = float(knobs["reduction"])  # the narrowest gate is on half the stem's width
        if any(knobs.get(name) for name in ("depth_shift", "resolution_shift")):
            return gated
        return max(gated, _STEM * compound_scaling(float(knobs["phi"])).width * _NARROWEST)

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return B0's widths in units of its stem's, the hidden ones and the gates'."""
        scale, reduction = base / _STEM, int(knobs["reduction"])
        widths = {"stem": pick(base), "head": pick(_HEAD * scale)}
        before = base
        for s, (width, expansion) in enumerate(zip(B0_WIDTHS, _EXPANSIONS, strict=True), start=1):
            widths[f"stage{s}"] = pick(width * scale)
            for name, given in (("first", before), ("rest", width * scale)):
                if expansion > 1:
                    widths[f"hidden{s}_{name}"] = pick(given * expansion)
                widths[f"gate{s}_{name}"] = pick(given / reduction)
            before = width * scale
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the images at their resolution, stem, stages and head."""
        kernel = knobs["kernel"]
        stages = [
            _Stage(
                depth,
                widths[f"stage{s}"],
                _KERNELS[s - 1] if kernel == "mixed" else int(kernel),
                _STRIDES[s - 1],
                (widths.get(f"hidden{s}_first"), widths.get(f"hidden{s}_rest")),
                (widths[f"gate{s}_first"], widths[f"gate{s}_rest"]),
            )
            for s, depth in enumerate(_depths(knobs), start=1)
        ]
        x = _resized(net, net.input, _side(knobs))
        return _write(net, x, stages, request.classes, stem=widths["stem"], head=widths["head"])

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `φ-2 mixed r4`."""
        return f"φ{knobs['phi']:g} {knobs['kernel']} r{knobs['reduction']}"


def _depths(knobs: Knobs) -> tuple[int, ...]:
    """Return each stage's blocks: B0's times α^φ, each sum of the first ones rounded.

    So depth grows by one block after the other, and not in several stages at once.
    """
    scale = compound_scaling(float(knobs["phi"]) + float(knobs.get("depth_shift", 0))).depth
    ends = [0, *(round(end * scale) for end in accumulate(B0_DEPTHS))]
    return tuple(max(1, end - start) for start, end in pairwise(ends))


def _side(knobs: Knobs) -> int:
    """Return the images' side, in pixels: the shorter one."""
    phi = float(knobs["phi"]) + float(knobs.get("resolution_shift", 0))
    return round(B0_SIDE * compound_scaling(phi).resolution)


def _resized(net: Tracer, x: Tensor, side: int) -> Tensor:
    height, width = int(x.shape[0]), int(x.shape[1])  # type: ignore[arg-type]  # sides are numbers
    if x.side == side:
        return x
    size = (round(height * side / x.side), round(width * side / x.side))
    return net.resize(x, size, name="resize")


# --- as published ----------------------------------------------------------------------------------


def _eights(width: float) -> int:
    """Return a width as the authors round it: to a multiple of 8, never by more than a tenth down."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * width else rounded + 8


def _published(index: int, width: float, depth: float, side: int, dropout: float) -> Baseline:
    filters = [_eights(w * width) for w in (_STEM, *B0_WIDTHS)]
    stages = []
    for s, blocks in enumerate(B0_DEPTHS):
        before, after, t = filters[s], filters[s + 1], _EXPANSIONS[s]
        hidden = (before * t, after * t) if t > 1 else (None, None)
        repeats = -int(-blocks * depth // 1)
        gates = (before // 4, after // 4)
        stages.append(_Stage(repeats, after, _KERNELS[s], _STRIDES[s], hidden, gates))

    def write(net: Tracer, classes: int) -> Tensor:
        return _write(
            net, net.input, stages, classes, stem=filters[0], head=_eights(_HEAD * width),
            dropout=dropout, dropped=0.2,
        )  # fmt: skip

    return Baseline(
        name=f"efficientnet_b{index}",
        title=f"EfficientNet-B{index}",
        source="Tan & Le 2019, tables 1 and 2, the authors' factors; as in timm",
        input=(side, side, 3),
        classes=1000,
        write=write,
    )


# Factors of width and depth, resolution in pixels, dropout: the authors', near what φ gives.
_SIZES: Final = (
    (1.0, 1.0, 224, 0.2), (1.0, 1.1, 240, 0.2), (1.1, 1.2, 260, 0.3), (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4), (1.6, 2.2, 456, 0.4), (1.8, 2.6, 528, 0.5), (2.0, 3.1, 600, 0.5),
)  # fmt: skip

EFFICIENTNET = EfficientNetSpace()
BASELINES = {b.name: b for b in (_published(i, *size) for i, size in enumerate(_SIZES))}
