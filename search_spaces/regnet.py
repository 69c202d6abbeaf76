"""RegNet: residual blocks as wide inside as outside, their widths quantised from a line.

Radosavovic et al. 2020, arXiv 2003.13678. RegNetX has blocks of 1×1, grouped 3×3, 1×1; RegNetY gates in them.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final, NamedTuple

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.rules.families.regnet import EIGHTS, quantised_line
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import IDENTITY, SHORTCUT_WORDS, SHORTCUTS, shortcut
from search_spaces.parts import conv_bn_relu, is_large, pooled_head
from search_spaces.residual import bottleneck

LINE: Final = "quantised-line"
STEM: Final = 32
GATE: Final = 4
"""A block's input is this many times as wide as its gate's hidden layer."""

_LEAST_DEPTH: Final = 8
"""With fewer blocks a line of some knobs would miss a stage."""

_GROUP_WIDTHS: Final = (4, 8, 16, 24, 32)


class RegNetSpace(Space):
    """The line's depth, its factor and its climb, the groups' width, gates or none; w_0 is solved."""

    name = "regnet"
    title = "widths quantised from a line: depth, w_m, climb, group width, X or Y (gates)"
    rules = (IDENTITY, LINE)
    least_base = 8
    words: ClassVar[Mapping[str, str]] = {
        **SHORTCUT_WORDS,
        "X": "blocks without gates; Y: with squeeze-and-excitation gates",
        "d12": "12 blocks in all",
        "m2.25": "each stage is 2.25 times as wide as the one before: w_m",
        "c3": "the line climbs to w_0·w_m³: the more, the more blocks are wide",
        "g8": "groups of 8 channels in the 3×3",
        "profile": "blocks a stage: line, as it gives them; even, as many in each; falling, turned round",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper lines and wider groups."""
        steps = (
            (8, 4), (10, 4), (12, 8), (14, 8), (16, 8), (16, 16), (20, 16), (24, 24), (28, 32), (34, 32),
            (40, 32),
        )  # fmt: skip
        return [
            (
                IntKnob("depth", _LEAST_DEPTH, most),
                ChoiceKnob("w_m", (2.0, 2.25, 2.5)),
                # Steps of w_m that the line climbs: what rounds to 3, for four stages.
                ChoiceKnob("climb", (2.6, 3.0, 3.3)),
                ChoiceKnob("group_width", tuple(g for g in _GROUP_WIDTHS if g <= widest)),
                ChoiceKnob("variant", ("X", "Y")),
            )
            for most, widest in steps
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return shortcuts, and depths of stages that no line gives."""
        profiles = ChoiceKnob("profile", ("line", "even", "falling"))
        return {IDENTITY: SHORTCUTS, LINE: (Freedom(profiles, held="line"),)}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return a RegNetX as the published ones around 600 MF: 16 blocks, w_m 2.25."""
        return {
            "depth": min(16, int(knobs["depth"].values()[-1])),
            "w_m": 2.25,
            "climb": 3.0,
            "group_width": min(16, int(knobs["group_width"].values()[-1])),
            "variant": "X",
        }

    def needs(self, knobs: Knobs, request: Request) -> float:
        """Return the w_0 from which on the first stage has three groups: with fewer, one is a large step."""
        return 2.5 * int(knobs["group_width"])

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return each stage's number of groups, and the hidden widths of gates."""
        group, w_m = int(knobs["group_width"]), float(knobs["w_m"])
        exact = [base * w_m**k for k in range(len(_depths(knobs)))]
        widths = {f"groups{s}": pick(w / group, multiple=1) for s, w in enumerate(exact, start=1)}
        if knobs["variant"] == "Y":
            for s, width in enumerate(exact, start=1):
                widths[f"gate{s}"] = pick(width / GATE)
        return widths

    def leeway(self, knobs: Knobs, request: Request) -> Mapping[str, float]:
        """Return what the rule allows in groups: the paper rounds to eights first. Freed, half a group."""
        allowed = EIGHTS / int(knobs["group_width"])
        if knobs.get("profile", "line") != "line":
            allowed = max(allowed, 0.5)
        return {f"groups{s}": allowed for s in range(1, len(_depths(knobs)) + 1)}

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages and head."""
        group, gates = int(knobs["group_width"]), knobs["variant"] == "Y"
        stages = []
        opening: Width | None = STEM // GATE if gates else None
        for s, depth in enumerate(_depths(knobs), start=1):
            groups, gate = widths[f"groups{s}"], widths.get(f"gate{s}")
            stages.append(_Stage(groups * group, groups, depth, opening, gate))
            opening = gate
        return _write(
            net, stages, request.classes, large=is_large(request.input), path=shortcut(knobs)
        )

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return the built widths and depths of the stages, from which the line can be read."""
        group, depths = int(knobs["group_width"]), _depths(knobs)
        return {
            "stages": [
                {"width": group * widths[f"groups{s}"], "depth": depth}
                for s, depth in enumerate(depths, start=1)
            ]
        }

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `X d16 m2.25 c3 g16`."""
        return (
            f"{knobs['variant']} d{knobs['depth']} m{knobs['w_m']:g} c{knobs['climb']:g} "
            f"g{knobs['group_width']}"
        )


def _depths(knobs: Knobs) -> tuple[int, ...]:
    """Return the blocks of each of the four stages."""
    depth, w_m = int(knobs["depth"]), float(knobs["w_m"])
    w_a = (w_m ** float(knobs["climb"]) - 1) / (depth - 1)
    depths = tuple(stage.depth for stage in quantised_line(1, w_a, w_m, depth))
    match knobs.get("profile", "line"):
        case "even":
            return tuple((depth + s) // len(depths) for s in range(len(depths)))
        case "falling":
            return depths[::-1]
    return depths


class _Stage(NamedTuple):
    """Width, groups and blocks; the hidden widths of the first block's gate and of the others'."""

    width: Width
    groups: Width
    depth: int
    opening_gate: Width | None
    gate: Width | None


def _write(
    net: Tracer,
    stages: Sequence[_Stage],
    classes: int,
    *,
    large: bool = True,
    path: str = "identity",
) -> Tensor:
    """Write stem, stages and head.

    Small images keep their side up to the end of the first stage, whose width the stem has, too.
    """
    with net.scope("stem"):
        width = STEM if large else stages[0].width
        x = conv_bn_relu(net, net.input, width, kernel=3, stride=2 if large else 1)
    for s, stage in enumerate(stages, start=1):
        for b in range(stage.depth):
            x = net.block(
                f"stage{s}.block{b + 1}",
                bottleneck,
                x,
                inner=stage.width,
                filters=stage.width,
                groups=stage.groups,
                stride=2 if not b and (large or s > 1) else 1,
                gate=stage.gate if b else stage.opening_gate,
                project=(not b and (large or s > 1)) or path == "projection",
                plain=path == "none",
            )
    return pooled_head(net, x, classes)


# --- as published ----------------------------------------------------------------------------------


def published_stages(
    w_0: int, w_a: float, w_m: float, depth: int, group: int, *, gates: bool
) -> tuple[_Stage, ...]:
    """Return a published network's stages: widths in multiples of 8, then in whole groups."""
    stages, before = [], STEM
    for exact, blocks in quantised_line(w_0, w_a, w_m, depth):
        eights = round(exact / 8) * 8
        whole = min(group, eights)
        width = round(eights / whole) * whole
        hidden = [round(w / GATE) if gates else None for w in (before, width)]
        stages.append(_Stage(width, width // whole, blocks, *hidden))
        before = width
    return tuple(stages)


def _published(name: str, line: tuple[int, float, float, int, int]) -> Baseline:
    variant, flops = name[6].upper(), int(name[8:]) * 100
    stages = published_stages(*line, gates=variant == "Y")
    size = f"{flops} MF" if flops < 1000 else f"{flops / 1000:.1f} GF"
    return Baseline(
        name=name,
        title=f"RegNet{variant}-{size}",
        source=f"Radosavovic et al. 2020, table of the top RegNet{variant} models; as in timm",
        input=(224, 224, 3),
        classes=1000,
        write=lambda net, classes: _write(net, stages, classes),
    )


# w_0, w_a, w_m, depth and group width; the figure in a name is in units of 100 MF.
_LINES: Final = {
    "regnetx_002": (24, 36.44, 2.49, 13, 8),
    "regnetx_004": (24, 24.48, 2.54, 22, 16),
    "regnetx_006": (48, 36.97, 2.24, 16, 24),
    "regnetx_008": (56, 35.73, 2.28, 16, 16),
    "regnetx_016": (80, 34.01, 2.25, 18, 24),
    "regnetx_032": (88, 26.31, 2.25, 25, 48),
    "regnetx_040": (96, 38.65, 2.43, 23, 40),
    "regnetx_064": (184, 60.83, 2.07, 17, 56),
    "regnetx_080": (80, 49.56, 2.88, 23, 120),
    "regnety_002": (24, 36.44, 2.49, 13, 8),
    "regnety_004": (48, 27.89, 2.09, 16, 8),
    "regnety_006": (48, 32.54, 2.32, 15, 16),
    "regnety_008": (56, 38.84, 2.4, 14, 16),
    "regnety_016": (48, 20.71, 2.65, 27, 24),
    "regnety_032": (80, 42.63, 2.66, 21, 24),
    "regnety_040": (96, 31.41, 2.24, 22, 64),
    "regnety_064": (112, 33.22, 2.27, 25, 72),
    "regnety_080": (192, 76.82, 2.19, 17, 56),
}

REGNET = RegNetSpace()
BASELINES = {name: _published(name, line) for name, line in _LINES.items()}
