"""Inception-ResNet: cheap Inception branches whose scaled sum joins a shortcut.

Szegedy, Ioffe, Vanhoucke & Alemi 2016, arXiv 1602.07261. A linear 1×1 brings the concatenated branches back
to the shortcut's width; scaling it by 0.1 to 0.2 keeps wide networks from blowing up.
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
    NARROW_FIRST,
    SHORTCUT_WORDS,
    SHORTCUTS,
    STAGE_WORDS,
    growth,
    has_dense_head,
    multipliers,
    shortcut,
    write_head,
)
from search_spaces.inception import BN_EPSILON, Branch, Pooling, Unit, inception
from search_spaces.inception_v3 import write_stem
from search_spaces.parts import conv_bn_relu, is_large, residual_stem
from search_spaces.stages import classic_depths, depths_of

STAGES = 3


def inception_residual(
    net: Tracer,
    x: Tensor,
    *,
    branches: tuple[Branch, ...],
    scale: float,
    relu: bool = True,
    path: str = "identity",
) -> Tensor:
    """X + scale · (1×1 of the concatenated branches), ReLU; `path` as in `residual_stages`."""
    y = net.conv(inception(net, x, branches=branches), x.channels, kernel=1, bias=True)
    if path == "none":
        return net.relu(y)
    if path == "projection":
        x = net.conv(x, x.channels, kernel=1, bias=True, name="shortcut_conv")
    x = net.add(x, net.scale(y, scale))
    return net.relu(x) if relu else x


def reduce(net: Tracer, x: Tensor, *, added: Width | None) -> Tensor:
    """Halve the map: a 3×3/2 pool beside a 3×3/2 convolution to `added` channels (None: no more)."""
    pooled = net.max_pool(x, kernel=3, stride=2, padding="same")
    if added is None:
        return pooled
    return net.concat([pooled, conv_bn_relu(net, x, added, kernel=3, stride=2)])


class InceptionResNetSpace(Space):
    """Residual modules a stage, branches, their width, scale of the sum."""

    name = "inception_resnet"
    title = "Inception branches with shortcuts: modules a stage, branches, width, scale"
    least_base = 24  # below that a budget would buy depth that no short trial can train
    rules = (CHANNEL_DOUBLING, IDENTITY, NARROW_FIRST, GAP_HEAD)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **HEAD_WORDS,
        "share 0.5": "the branches together are half as wide as the shortcut",
        "3 branches": "the third is two 3×3",
        "1×k": "1×k and k×1 in place of 3×3 from the second stage on",
        "scale 0.2": "the factor of the branches' sum before it joins the shortcut",
        "reduced": "whether there is a 1×1 before each larger kernel",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return more and more modules a stage."""
        rest = (
            # Width of the branches together, in units of the shortcut's.
            ChoiceKnob("share", (0.25, 0.5, 0.75)),
            # A third branch of two 3×3, as the paper's 35×35 modules have.
            ChoiceKnob("branches", (2, 3)),
            # 1×k and k×1 in place of a 3×3 from the second stage on, as the paper's later modules.
            ChoiceKnob("factorised", (False, True)),
            ChoiceKnob("scale", (0.1, 0.2, 0.3)),
        )
        return [
            (
                IntKnob("depth1", 1, most),
                IntKnob("depth2", 1, 2 * most),
                IntKnob("depth3", 1, most),
                *rest,
            )
            for most in (1, 2, 3, 4, 6, 10)
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, no 1×1 before larger kernels, the head."""
        return {
            CHANNEL_DOUBLING: multipliers(STAGES),
            IDENTITY: SHORTCUTS,
            NARROW_FIRST: (Freedom(ChoiceKnob("reduced", (True, False)), held=True),),
            GAP_HEAD: HEADS,
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return Inception-ResNet-v1's 5-10-5 modules, as far as the ranges go."""
        rest = {"share": 0.5, "branches": 3, "factorised": is_large(request.input), "scale": 0.2}
        return {**classic_depths(knobs, (5, 10, 5)), **rest}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return the shortcut's width, doubled by each reduction, and the branches' of each stage."""
        branches = int(knobs["branches"])
        names = ("one", "reduce", "three", "reduce3", "three3")[: 1 + 2 * (branches - 1)]
        factors = growth(knobs, STAGES)
        widths = {"stem": pick(base)}
        for s, factor in enumerate(factors, start=1):
            if s > 1 and factor > factors[s - 2]:
                widths[f"added{s}"] = pick(base * (factor - factors[s - 2]))
            branch = base * factor * float(knobs["share"]) / branches
            for name in names:
                if not name.startswith("reduce") or knobs.get("reduced", True):
                    widths[f"{name}_{s}"] = pick(branch)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 4)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages of residual modules with reductions between, and head."""
        x = residual_stem(net, net.input, widths["stem"], large=is_large(request.input))
        for s, depth in enumerate(depths_of(knobs, STAGES), start=1):
            if s > 1:
                x = net.block(f"reduce{s}", reduce, x, added=widths.get(f"added{s}"))
            branches = _searched(knobs, widths, s, x.side)
            for b in range(depth):
                x = net.block(
                    f"stage{s}.module{b + 1}",
                    inception_residual,
                    x,
                    branches=branches,
                    scale=float(knobs["scale"]),
                    path=shortcut(knobs),
                )
        return write_head(net, x, widths, request.classes, knobs=knobs)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `5-10-5 share 0.5 3 branches 1×7 scale 0.2`."""
        depths = "-".join(map(str, depths_of(knobs, STAGES)))
        kernels = " 1×k" if knobs["factorised"] else ""
        return f"{depths} share {knobs['share']} {knobs['branches']} branches{kernels} scale {knobs['scale']}"


def _searched(knobs: Knobs, widths: Mapping[str, Width], s: int, side: int) -> tuple[Branch, ...]:
    three = widths[f"three_{s}"]
    if knobs["factorised"] and s > 1:
        k = 7 if side >= 14 else 3  # the paper's: 7 at 17×17, 3 at 8×8
        spatial: Branch = (Unit(three, (1, k)), Unit(three, (k, 1)))
    else:
        spatial = (Unit(three, 3),)
    branches: tuple[Branch, ...] = (
        (Unit(widths[f"one_{s}"]),),
        (*_reduction(widths, f"reduce_{s}"), *spatial),
    )
    if knobs["branches"] == 3:
        wide = widths[f"three3_{s}"]
        branches += ((*_reduction(widths, f"reduce3_{s}"), Unit(wide, 3), Unit(wide, 3)),)
    return branches


def _reduction(widths: Mapping[str, Width], name: str) -> Branch:
    """Return the 1×1 that comes first, where there is one."""
    return (Unit(widths[name]),) if name in widths else ()


_WIDE, _HIGH = (1, 7), (7, 1)
_FIRST: tuple[Branch, ...] = (
    (Unit(96),),
    (Unit(48), Unit(64, 5)),
    (Unit(64), Unit(96, 3), Unit(96, 3)),
    (Pooling("avg"), Unit(64)),
)
_A: tuple[Branch, ...] = (
    (Unit(32),),
    (Unit(32), Unit(32, 3)),
    (Unit(32), Unit(48, 3), Unit(64, 3)),
)
_REDUCTION_A: tuple[Branch, ...] = (
    (Unit(384, 3, 2),),
    (Unit(256), Unit(256, 3), Unit(384, 3, 2)),
    (Pooling("max", 2),),
)
_B: tuple[Branch, ...] = ((Unit(192),), (Unit(128), Unit(160, _WIDE), Unit(192, _HIGH)))
_REDUCTION_B: tuple[Branch, ...] = (
    (Unit(256), Unit(384, 3, 2)),
    (Unit(256), Unit(288, 3, 2)),
    (Unit(256), Unit(288, 3), Unit(320, 3, 2)),
    (Pooling("max", 2),),
)
_C: tuple[Branch, ...] = ((Unit(192),), (Unit(192), Unit(224, (1, 3)), Unit(256, (3, 1))))
_STAGES = ((_FIRST, _A, 10, 0.17), (_REDUCTION_A, _B, 20, 0.1), (_REDUCTION_B, _C, 10, 0.2))


def _write(net: Tracer, classes: int) -> Tensor:
    """The released network (TensorFlow's slim, as in timm), larger than the paper's figures.

    Its last module is neither scaled nor rectified.
    """
    x = write_stem(net, net.input)
    for s, (first, branches, depth, scale) in enumerate(_STAGES, start=1):
        x = net.block(f"stage{s}.module0", inception, x, branches=first)
        for b in range(1, depth + 1):
            last = s == 3 and b == depth
            x = net.block(
                f"stage{s}.module{b}",
                inception_residual,
                x,
                branches=branches,
                scale=1.0 if last else scale,
                relu=not last,
            )
    with net.scope("head"):
        x = conv_bn_relu(net, x, 1536, kernel=1, epsilon=BN_EPSILON)
        return net.dense(net.dropout(net.global_avg_pool(x), 0.2), classes)


INCEPTION_RESNET = InceptionResNetSpace()
BASELINES = {
    "inception_resnet_v2": Baseline(
        name="inception_resnet_v2",
        title="Inception-ResNet-v2",
        source="Szegedy et al. 2016, the released network; as in timm",
        input=(299, 299, 3),
        classes=1000,
        write=_write,
        smallest=75,
    )
}
