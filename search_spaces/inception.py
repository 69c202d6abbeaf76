"""Inception: 1×1, 3×3, 5×5 and pool branches side by side, 1×1 convolutions before the costly ones.

Szegedy et al. 2014, arXiv 1409.4842: with an aggressive stem, global average pooling for a head, and
auxiliary classifiers in training. The published networks are tables of branches.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal, NamedTuple, TypeAlias

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.rules.tolerance import CHANNELS
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    BATCH_NORM,
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    MULTIPLIER_WORDS,
    NARROW_FIRST,
    NORM_WORDS,
    NORMS,
    STAGE_WORDS,
    growth,
    has_dense_head,
    has_norm,
    multipliers,
    write_head,
)
from search_spaces.parts import conv_bn_relu, conv_relu, is_large, residual_stem
from search_spaces.stages import classic_depths, depths_of

STAGES = 3


BN_EPSILON = 1e-3  # that of the Inception networks' own code


class Unit(NamedTuple):
    """A convolution of a branch; strided ones have no padding, as in the papers."""

    filters: Width
    kernel: int | tuple[int, int] = 1
    stride: int = 1


class Pooling(NamedTuple):
    """A 3×3 pool of a branch."""

    method: Literal["max", "avg"]
    stride: int = 1


class Fork(NamedTuple):
    """Convolutions side by side at a branch's end, concatenated."""

    units: tuple[Unit, ...]


Branch: TypeAlias = tuple[Unit | Pooling | Fork, ...]


def inception(
    net: Tracer, x: Tensor, *, branches: tuple[Branch, ...], batch_norm: bool = True
) -> Tensor:
    """Branches side by side, concatenated."""
    return net.concat([_branch(net, x, branch, batch_norm) for branch in branches])


def _branch(net: Tracer, x: Tensor, branch: Branch, batch_norm: bool) -> Tensor:
    for step in branch:
        if isinstance(step, Fork):
            x = net.concat([_unit(net, x, unit, batch_norm) for unit in step.units])
        elif isinstance(step, Unit):
            x = _unit(net, x, step, batch_norm)
        else:
            padding: Literal["same", "valid"] = "same" if step.stride == 1 else "valid"
            pool = net.max_pool if step.method == "max" else net.avg_pool
            x = pool(x, kernel=3, stride=step.stride, padding=padding)
    return x


def _unit(net: Tracer, x: Tensor, unit: Unit, batch_norm: bool) -> Tensor:
    filters, kernel, stride = unit
    if not batch_norm:
        assert isinstance(kernel, int)
        return conv_relu(net, x, filters, kernel=kernel, stride=stride)
    padding: Literal["same", "valid"] = "same" if stride == 1 else "valid"
    return conv_bn_relu(
        net, x, filters, kernel=kernel, stride=stride, padding=padding, epsilon=BN_EPSILON
    )


def published_stages(
    net: Tracer,
    x: Tensor,
    stages: Sequence[Sequence[tuple[Branch, ...]]],
    classes: int,
    rate: float,
) -> Tensor:
    """Write the modules of each stage, pool, drop out at `rate`, and score: how v3 and v4 go on."""
    for s, stage in enumerate(stages, start=1):
        for b, branches in enumerate(stage, start=1):
            x = net.block(f"stage{s}.module{b}", inception, x, branches=branches)
    with net.scope("head"):
        return net.dense(net.dropout(net.global_avg_pool(x), rate), classes)


class InceptionSpace(Space):
    """Modules a stage, shares of the branches, 1×1 reductions, stem, auxiliary classifiers."""

    name = "inception"
    title = (
        "branches side by side: modules a stage, branch shares, reductions, stem, auxiliary heads"
    )
    rules = (CHANNEL_DOUBLING, NARROW_FIRST, GAP_HEAD, BATCH_NORM)
    least_base = 6  # the narrowest branch has a sixteenth of four times that
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **HEAD_WORDS,
        **NORM_WORDS,
        "3×3 50%": "the 3×3 branch's share of a module's channels",
        "5x5 12%": "the 5×5 branch's share, or that of two 3×3 in its place",
        "r0.5": "the 1×1 before a larger kernel is half as wide as that",
        "stem": "an aggressive stem: an eighth of a large image's side, half of a small one's",
        "aux": "auxiliary classifiers in training",
        "reduced": "whether there is a 1×1 before each larger kernel",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return more and more modules a stage."""
        rest: tuple[Knob, ...] = (
            # Shares of a module's output; the pool branch has an eighth, the 1×1 what is left.
            ChoiceKnob("share3", (0.3, 0.4, 0.5)),
            ChoiceKnob("share5", (0.0625, 0.125, 0.25)),
            # Width of the 1×1 before a 3×3 or 5×5, in units of that convolution's: 1/4 to 2/3 in GoogLeNet.
            ChoiceKnob("reduction", (0.25, 0.5, 0.75)),
            ChoiceKnob("five", ("5x5", "3x3+3x3")),
            ChoiceKnob("aggressive_stem", (False, True)),
            ChoiceKnob("auxiliary", (False, True)),
        )
        return [
            (
                IntKnob("depth1", 1, most),
                IntKnob("depth2", 1, 2 * most),
                IntKnob("depth3", 1, most),
                *rest,
            )
            for most in (1, 2, 3, 4)
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, no 1×1 before larger kernels, the head, no normalisation."""
        return {
            CHANNEL_DOUBLING: multipliers(STAGES),
            NARROW_FIRST: (Freedom(ChoiceKnob("reduced", (True, False)), held=True),),
            GAP_HEAD: HEADS,
            BATCH_NORM: NORMS,
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return GoogLeNet's 2-5-2 modules and, nearly, its shares."""
        return {
            **classic_depths(knobs, (2, 5, 2)),
            "share3": 0.5,
            "share5": 0.125,
            "reduction": 0.5,
            "five": "5x5",
            "aggressive_stem": is_large(request.input),
            "auxiliary": False,
        }

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return the stem's widths and, for each stage, those of the branches; their sum doubles."""
        share3, share5 = float(knobs["share3"]), float(knobs["share5"])
        reduction = float(knobs["reduction"])
        widths = {"stem": pick(base), "stem3": pick(base * 2)}
        for s, factor in enumerate(growth(knobs, STAGES), start=1):
            total = base * 4 * factor
            widths[f"one{s}"] = pick(total * (0.875 - share3 - share5))
            if knobs.get("reduced", True):
                widths[f"reduce3_{s}"] = pick(total * share3 * reduction)
                # A channel there must be: half of one is the least that is rounded to it.
                widths[f"reduce5_{s}"] = pick(max(CHANNELS, total * share5 * reduction))
            widths[f"three{s}"] = pick(total * share3)
            widths[f"five{s}"] = pick(total * share5)
            widths[f"pooled{s}"] = pick(total * 0.125)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 8)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, modules with 3×3/2 pools between the stages, auxiliary classifiers, head."""
        norm = has_norm(knobs)
        x = _stem(net, widths, request, aggressive=bool(knobs["aggressive_stem"]), norm=norm)
        for s, depth in enumerate(depths_of(knobs, STAGES), start=1):
            if s > 1:
                x = net.max_pool(x, kernel=3, stride=2, padding="same", name=f"stage{s - 1}.pool")
                if knobs["auxiliary"]:
                    _small_auxiliary_head(net, x, f"auxiliary{s}", request.classes, norm=norm)
            branches = _searched(knobs, widths, s)
            for b in range(depth):
                name = f"stage{s}.module{b + 1}"
                x = net.block(name, inception, x, branches=branches, batch_norm=norm)
        return write_head(net, x, widths, request.classes, knobs=knobs)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `2-5-2 3×3 50% 5×5 12% r0.5 stem aux`."""
        depths = "-".join(map(str, depths_of(knobs, STAGES)))
        more = (
            f"{' stem' if knobs['aggressive_stem'] else ''}{' aux' if knobs['auxiliary'] else ''}"
        )
        shares = f"3×3 {float(knobs['share3']):.0%} {knobs['five']} {float(knobs['share5']):.0%}"
        return f"{depths} {shares} r{knobs['reduction']}{more}"


def _stem(
    net: Tracer, widths: Mapping[str, Width], request: Request, *, aggressive: bool, norm: bool
) -> Tensor:
    """Aggressive: 224 → 28, 32 → 16, as GoogLeNet's in three convolutions; else 224 → 56, 32 → 32."""
    large = is_large(request.input)
    unit = conv_bn_relu if norm else conv_relu
    x = net.input
    if not aggressive:
        x = residual_stem(net, x, widths["stem"], large=large, norm=norm)
        with net.scope("stem3"):
            return unit(net, x, widths["stem3"], kernel=3)
    with net.scope("stem"):
        x = unit(net, x, widths["stem"], kernel=7 if large else 3, stride=2 if large else 1)
        x = net.max_pool(x, kernel=3, stride=2, padding="same") if large else x
        x = unit(net, x, widths["stem"], kernel=1)
        x = unit(net, x, widths["stem3"], kernel=3)
        return net.max_pool(x, kernel=3, stride=2, padding="same")


def _searched(knobs: Knobs, widths: Mapping[str, Width], s: int) -> tuple[Branch, ...]:
    five = widths[f"five{s}"]
    wide = (Unit(five, 5),) if knobs["five"] == "5x5" else (Unit(five, 3), Unit(five, 3))
    reduced = bool(knobs.get("reduced", True))
    return (
        (Unit(widths[f"one{s}"]),),
        (*((Unit(widths[f"reduce3_{s}"]),) if reduced else ()), Unit(widths[f"three{s}"], 3)),
        (*((Unit(widths[f"reduce5_{s}"]),) if reduced else ()), *wide),
        (Pooling("max"), Unit(widths[f"pooled{s}"])),
    )


def _small_auxiliary_head(net: Tracer, x: Tensor, name: str, classes: int, *, norm: bool) -> None:
    """1×1, global average pool, scores: the paper's without its dense layer, larger than these networks."""
    with net.training_only(name):
        unit = conv_bn_relu if norm else conv_relu
        x = net.global_avg_pool(unit(net, x, 128, kernel=1))
        net.auxiliary(net.dense(x, classes))


INCEPTION = InceptionSpace()
