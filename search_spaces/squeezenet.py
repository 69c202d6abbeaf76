"""SqueezeNet: fire modules, a 1×1 squeeze before 1×1 and 3×3 expansions side by side.

Iandola et al. 2016, arXiv 1602.07360: AlexNet's accuracy with 1/50 of its parameters.
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
    MULTIPLIER_WORDS,
    NARROW_FIRST,
    STAGE_WORDS,
    growth,
    has_dense_head,
    multipliers,
)
from search_spaces.parts import conv_bn_relu, conv_relu, dense_head, is_large
from search_spaces.stages import classic_depths

STAGES = 3
FIRE = "fire-module"


def fire(
    net: Tracer,
    x: Tensor,
    *,
    squeeze: Width,
    expand1: Width,
    expand3: Width,
    batch_norm: bool = False,
    bypass: bool = False,
) -> Tensor:
    """Squeeze to few channels, expand by 1×1 and by 3×3, concatenate; `bypass` adds the input."""
    unit = conv_bn_relu if batch_norm else conv_relu
    y = unit(net, x, squeeze, kernel=1, name="squeeze")
    narrow = unit(net, y, expand1, kernel=1, name="expand1x1")
    wide = unit(net, y, expand3, kernel=3, name="expand3x3")
    y = net.concat([narrow, wide])
    return net.add(x, y) if bypass else y


class SqueezeNetSpace(Space):
    """Fire modules a stage, squeeze ratio, share of 3×3, bypass."""

    name = "squeezenet"
    title = "fire modules: modules a stage, squeeze ratio, share of 3×3, bypass"
    rules = (CHANNEL_DOUBLING, FIRE, NARROW_FIRST, GAP_HEAD)
    least_base = 6  # a squeeze has a quarter of that
    unfreed: ClassVar[Mapping[str, str]] = {
        NARROW_FIRST: "the squeeze is a fire module's own; free fire-module"
    }
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **HEAD_WORDS,
        "SR0.125": "a module's squeeze has an eighth of the channels that it puts out",
        "3×3 50%": "half of the expanding filters are 3×3, the rest 1×1",
        "bypass": "a module adds its input where the widths agree",
        "bn": "batch normalisation after each convolution",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return more and more modules a stage."""
        rest = (
            ChoiceKnob("squeeze", (0.125, 0.25)),
            ChoiceKnob("share", (0.25, 0.5)),
            # The paper's simple bypass: a module whose widths agree adds its input.
            ChoiceKnob("bypass", (False, True)),
            ChoiceKnob("batch_norm", (False, True)),
        )
        return [
            (*(IntKnob(f"depth{i}", 1, most) for i in range(1, STAGES + 1)), *rest)
            for most in (1, 2, 3, 4)  # without shortcuts no short trial trains deeper ones
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, modules that hardly squeeze or are mostly 3×3; the head."""
        return {
            CHANNEL_DOUBLING: multipliers(STAGES),
            FIRE: (
                Freedom(ChoiceKnob("squeeze", (0.125, 0.25, 0.5, 0.75))),
                Freedom(ChoiceKnob("share", (0.25, 0.5, 0.75))),
            ),
            GAP_HEAD: HEADS,
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return SqueezeNet's modules, squeezed to an eighth, half of them 3×3."""
        depths = classic_depths(knobs, (2, 2, 4))
        rest = {"squeeze": 0.125, "share": 0.5, "bypass": False, "batch_norm": False}
        return {**depths, **rest}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return each stage's squeeze and expansions, whose sum doubles from stage to stage."""
        share = float(knobs["share"])
        widths = {"stem": pick(base)}
        for s, factor in enumerate(growth(knobs, STAGES), start=1):
            total = 2 * base * factor
            widths[f"squeeze{s}"] = pick(total * float(knobs["squeeze"]), multiple=1)
            widths[f"narrow{s}"] = pick(total * (1 - share))
            widths[f"wide{s}"] = pick(total * share)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 4)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, fire modules with 3×3/2 pools between the stages, and the class maps."""
        large, batch_norm = is_large(request.input), bool(knobs["batch_norm"])
        unit = conv_bn_relu if batch_norm else conv_relu
        with net.scope("stem"):
            x = unit(net, net.input, widths["stem"], kernel=3, stride=2 if large else 1)
            x = net.max_pool(x, kernel=3, stride=2, padding="same") if large else x
        for s in range(1, STAGES + 1):
            if s > 1:
                x = net.max_pool(x, kernel=3, stride=2, padding="same", name=f"stage{s - 1}.pool")
            for b in range(int(knobs[f"depth{s}"])):
                x = net.block(
                    f"stage{s}.fire{b + 1}",
                    fire,
                    x,
                    squeeze=widths[f"squeeze{s}"],
                    expand1=widths[f"narrow{s}"],
                    expand3=widths[f"wide{s}"],
                    batch_norm=batch_norm,
                    bypass=bool(knobs["bypass"]) and b > 0,
                )
        if has_dense_head(knobs):
            return dense_head(net, x, (widths["hidden"],), request.classes)
        with net.scope("head"):
            x = net.conv(net.dropout(x, 0.5), request.classes, kernel=1, bias=True)
            return net.global_avg_pool(x)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `2-2-4 SR0.125 3×3 50 %`."""
        depths = "-".join(str(knobs[f"depth{i}"]) for i in range(1, STAGES + 1))
        more = f"{' bypass' if knobs['bypass'] else ''}{' bn' if knobs['batch_norm'] else ''}"
        return f"{depths} SR{knobs['squeeze']} 3×3 {float(knobs['share']):.0%}{more}"


_FIRES = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))


def _published(
    version: str, stem: tuple[int, int], pools_before: tuple[int, int], smallest: int
) -> Baseline:
    """`stem` is (filters, kernel); a pool stands before the first fire and before those of these indices."""

    def write(net: Tracer, classes: int) -> Tensor:
        with net.scope("stem"):
            x = conv_relu(net, net.input, stem[0], kernel=stem[1], stride=2, padding="valid")
            x = net.max_pool(x, kernel=3, stride=2, ceil=True)
        stage = 1
        for i, (squeeze, expand) in enumerate(_FIRES):
            if i in pools_before:
                x = net.max_pool(x, kernel=3, stride=2, ceil=True, name=f"stage{stage}.pool")
                stage += 1
            name = f"stage{stage}.fire{i + 2}"
            x = net.block(name, fire, x, squeeze=squeeze, expand1=expand, expand3=expand)
        with net.scope("head"):
            x = conv_relu(net, net.dropout(x, 0.5), classes, kernel=1)
            return net.global_avg_pool(x)

    return Baseline(
        name=f"squeezenet{version.replace('.', '_')}",
        title=f"SqueezeNet {version}",
        source=("Iandola et al. 2016, table 1" if version == "1.0" else "the authors' version 1.1")
        + "; as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
        smallest=smallest,
    )


SQUEEZENET = SqueezeNetSpace()
BASELINES = {
    b.name: b
    for b in (
        _published("1.0", (96, 7), (3, 7), smallest=21),
        _published("1.1", (64, 3), (2, 4), smallest=17),
    )
}
