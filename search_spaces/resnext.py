"""ResNeXt: bottlenecks split into G parallel paths of width c, at the FLOPs of the unsplit block.

Xie et al. 2016, arXiv 1611.05431. c solves 9Gc² + 8GCc − 17C² = 0 (`archsearch.rules.families.resnext`).
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.rules.families.cardinality import NARROWEST
from archsearch.rules.families.resnext import flops_change, path_width
from archsearch.rules.tolerance import CHANNELS
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    BATCH_NORM,
    CHANNEL_DOUBLING,
    GAP_HEAD,
    HEAD_WORDS,
    HEADS,
    IDENTITY,
    MULTIPLIER_WORDS,
    NORM_WORDS,
    NORMS,
    SHORTCUT_WORDS,
    SHORTCUTS,
    STAGE_WORDS,
    growth,
    has_dense_head,
    has_norm,
    multipliers,
    shortcut,
    write_head,
)
from search_spaces.parts import is_large, pooled_head, residual_stem
from search_spaces.residual import bottleneck
from search_spaces.resnet import residual_stages
from search_spaces.stages import classic_depths, depth_knobs, depths_of

WIDTH = "resnext-width"
CARDINALITY = "cardinality"
PATHS = (1, 2, 4, 8, 16, 32)


class ResNextSpace(Space):
    """Depth per stage and cardinality; the path width follows."""

    name = "resnext"
    title = "grouped bottlenecks, path width from the FLOPs-equality quadratic"
    least_base = 8  # below that a budget would buy depth that no short trial can train
    rules: ClassVar[tuple[str, ...]] = (
        CHANNEL_DOUBLING, IDENTITY, WIDTH, CARDINALITY, GAP_HEAD, BATCH_NORM,
    )  # fmt: skip
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **SHORTCUT_WORDS,
        **HEAD_WORDS,
        **NORM_WORDS,
        "G8": "8 parallel paths a block: groups of its 3×3",
        "path_factor": "the paths' width in units of the one for equal FLOPs",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return deeper stages and higher cardinalities: 32 paths of four channels need C ≥ 60."""
        steps = (
            (1, 1), (1, 2), (2, 2), (3, 2), (2, 4), (3, 4), (4, 4), (3, 8), (4, 8), (6, 8), (4, 16),
            (6, 16), (4, 32), (6, 32), (9, 32), (12, 32),
        )  # fmt: skip
        return [
            (
                *depth_knobs(most, request),
                ChoiceKnob("cardinality", tuple(g for g in PATHS if g <= paths)),
                *self.choices(request),
            )
            for most, paths in steps
        ]

    def choices(self, request: Request) -> tuple[Knob, ...]:
        """Return the knobs besides depth and cardinality."""
        return ()

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, shortcuts, other path widths, narrower paths, the head, no normalisation."""
        factors = ChoiceKnob("path_factor", (0.5, 0.75, 1.0, 1.5, 2.0))
        return {
            CHANNEL_DOUBLING: multipliers(4),
            IDENTITY: SHORTCUTS,
            WIDTH: (Freedom(factors, held=1.0),),
            CARDINALITY: (Freedom(ChoiceKnob("cardinality", PATHS)),),
            GAP_HEAD: HEADS,
            BATCH_NORM: NORMS,
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return ResNeXt-50, on small images ResNeXt-29, with as many of its paths as there may be."""
        large = is_large(request.input)
        most = max(int(value) for value in knobs["cardinality"].values())
        depths = classic_depths(knobs, (3, 4, 6, 3) if large else (3, 3, 3, 0))
        return {**depths, "cardinality": min(most, 32 if large else 8)}

    def needs(self, knobs: Knobs, request: Request) -> float:
        """Return the C from which no path is narrower than the rule wants (freed: than two channels)."""
        paths = int(knobs["cardinality"])
        if paths == 1:
            return 0
        narrowest = _TWO if CARDINALITY in request.relax else _NARROWEST
        free = float(knobs.get("path_factor", 1.0))
        return narrowest / free / path_width(1, paths)

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return each stage's output, 4C, and the path width c that C and G give."""
        paths = int(knobs["cardinality"])
        free = float(knobs.get("path_factor", 1.0))
        widths = {"stem": pick(base)}
        for s, factor in enumerate(growth(knobs, len(depths_of(knobs))), start=1):
            widths[f"stage{s}"] = pick(base * factor * 4)
            root = path_width(base * factor, paths) * free
            widths[f"path{s}"] = pick(root, multiple=1) if paths > 1 else pick(root)
        if has_dense_head(knobs):
            widths["hidden"] = pick(base * 8)
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, stages and head."""
        depths = depths_of(knobs)
        paths, norm = int(knobs["cardinality"]), has_norm(knobs)
        large = is_large(request.input)
        more: dict[str, Any] = {} if norm else {"norm": False}
        x = residual_stages(
            net,
            residual_stem(net, net.input, widths["stem"], large=large, norm=norm),
            bottleneck,
            depths,
            [widths[f"path{s + 1}"] * paths for s in range(len(depths))],
            [widths[f"stage{s + 1}"] for s in range(len(depths))],
            squeezed=self.squeezed(widths, len(depths)),
            path=shortcut(knobs),
            groups=paths,
            **more,
        )
        return write_head(net, x, widths, request.classes, knobs=knobs)

    def squeezed(self, widths: Mapping[str, Width], stages: int) -> list[Width] | None:
        """Return the hidden widths of each stage's gates; ResNeXt has none."""
        return None

    def notes(self, knobs: Knobs, widths: Mapping[str, int], request: Request) -> dict[str, object]:
        """Return each stage's exact root and what rounding it did to the block's FLOPs."""
        G = int(knobs["cardinality"])
        stages = []
        for s in range(1, len(depths_of(knobs)) + 1):
            C, c = widths[f"stage{s}"] / 4, widths[f"path{s}"]
            stages.append(
                {
                    "C": C,
                    "path_width": c,
                    "exact_root": path_width(C, G),
                    "block_flops_change": flops_change(C, G, c),
                }
            )
        return {"resnext_width": stages}

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `3-4-6-3 G32`."""
        return f"{'-'.join(map(str, depths_of(knobs)))} G{knobs['cardinality']}"


_NARROWEST = (NARROWEST - CHANNELS) * (1 + 1e-9)
"""The exact path width from which on paths are rounded to no less than NARROWEST."""

_TWO = (2 - CHANNELS) * (1 + 1e-9)
"""… to no less than 2: paths of one channel are a depthwise convolution."""


def _published(
    name: str, title: str, depths: tuple[int, ...], groups: int, path: int, *, large: bool
) -> Baseline:
    def write(net: Tracer, classes: int) -> Tensor:
        x = residual_stem(net, net.input, 64, large=large)
        x = residual_stages(
            net,
            x,
            bottleneck,
            depths,
            [groups * path * 2**s for s in range(len(depths))],
            [256 * 2**s for s in range(len(depths))],
            groups=groups,
        )
        return pooled_head(net, x, classes)

    return Baseline(
        name=name,
        title=title,
        source="Xie et al. 2016, "
        + ("table 1; as in torchvision" if large else "section 5.3 (CIFAR)"),
        input=(224, 224, 3) if large else (32, 32, 3),
        classes=1000 if large else 10,
        write=write,
    )


RESNEXT = ResNextSpace()
BASELINES = {
    b.name: b
    for b in (
        _published("resnext50_32x4d", "ResNeXt-50 32×4d", (3, 4, 6, 3), 32, 4, large=True),
        _published("resnext101_32x4d", "ResNeXt-101 32×4d", (3, 4, 23, 3), 32, 4, large=True),
        _published("resnext101_32x8d", "ResNeXt-101 32×8d", (3, 4, 23, 3), 32, 8, large=True),
        _published("resnext101_64x4d", "ResNeXt-101 64×4d", (3, 4, 23, 3), 64, 4, large=True),
        _published("resnext29_8x64d", "ResNeXt-29 8×64d for CIFAR", (3, 3, 3), 8, 64, large=False),
        _published(
            "resnext29_16x64d", "ResNeXt-29 16×64d for CIFAR", (3, 3, 3), 16, 64, large=False
        ),
    )
}
