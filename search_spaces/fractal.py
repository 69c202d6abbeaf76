"""FractalNet: depth without residuals, columns of one, two, four … convolutions that meet in their mean.

Larsson, Maire & Shakhnarovich 2017, arXiv 1605.07648: f₁ is a convolution, f₍C+1₎ = mean(conv, f_C ∘ f_C); in
training, drop-path leaves columns out at the joins: the paper's local one, in every step. In half of its
steps the paper has a global one instead, which picks one column for the whole network.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick, keep_real
from archsearch.units import counted
from search_spaces.freedoms import (
    BATCH_NORM,
    CHANNEL_DOUBLING,
    MULTIPLIER_WORDS,
    NORM_WORDS,
    NORMS,
    STAGE_WORDS,
    growth,
    has_norm,
    multipliers,
)
from search_spaces.parts import STEM_LEEWAY, is_large, pooled_head, residual_stem

STAGES = 4
DROP_PATH = 0.15  # the paper's, section 4.1


def fractal(
    net: Tracer,
    x: Tensor,
    *,
    filters: Width,
    columns: int,
    drop: float,
    dropout: float = 0.0,
    norm: bool = True,
) -> Tensor:
    """`columns` columns, the last 2^(columns − 1) convolutions deep; columns that end together join once.

    A join drops inputs with probability `drop`, a convolution elements of its output at the rate `dropout`.
    """

    def ends(x: Tensor, columns: int) -> list[Tensor]:
        """Return the ends of all columns, side by side and not yet joined."""
        y = net.conv(x, filters, kernel=3, bias=not norm)
        y = net.dropout(y, dropout) if dropout else y
        found = [net.relu(net.batch_norm(y) if norm else y)]
        if columns > 1:
            middle = _join(net, ends(x, columns - 1), drop)
            found += ends(middle, columns - 1)
        return found

    return _join(net, ends(x, columns), drop)


def _join(net: Tracer, ends: Sequence[Tensor], drop: float) -> Tensor:
    return net.mean(*ends, drop=drop) if len(ends) > 1 else ends[0]


class FractalSpace(Space):
    """Fractal blocks a stage, columns, drop-path."""

    name = "fractal"
    title = "fractal columns joined by their mean: columns, blocks a stage, drop-path"
    rules = (CHANNEL_DOUBLING, BATCH_NORM)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        **NORM_WORDS,
        "3 columns": "the deepest column of a block has 2² convolutions",
        "drop 0.15": "how likely an input of a join is left out in a training step",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return more columns and blocks: c columns are 2^c − 1 convolutions."""
        return [
            (
                IntKnob("columns", 1, columns),
                *(IntKnob(f"blocks{i}", 1, most) for i in range(1, STAGES + 1)),
                ChoiceKnob("drop_path", (0.0, DROP_PATH, 0.3)),
            )
            for columns, most in ((2, 1), (3, 1), (3, 2), (4, 2), (4, 3))
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, no normalisation."""
        return {CHANNEL_DOUBLING: multipliers(STAGES), BATCH_NORM: NORMS}

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return FractalNet-20's three columns, one block a stage."""
        columns = min(3, max(int(value) for value in knobs["columns"].values()))
        blocks = {f"blocks{i}": 1 for i in range(1, STAGES + 1)}
        return {"columns": columns, **blocks, "drop_path": DROP_PATH}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling stages, each block with a width of its own up to rounding."""
        widths = {"stem": pick(base)}
        for s, factor in enumerate(growth(knobs, STAGES), start=1):
            for b in range(1, int(knobs[f"blocks{s}"]) + 1):
                widths[f"stage{s}_{b}"] = pick(base * factor)
        return widths

    def leeway(self, knobs: Knobs, request: Request) -> Mapping[str, float]:
        """Return a channel for the stem, and for all widths where no rule says how they grow."""
        if all(knob == 2 for name, knob in knobs.items() if name.startswith("multiplier")):
            return STEM_LEEWAY
        return dict.fromkeys(self.widths(knobs, request, 1, keep_real), 1.0)

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write stem, fractal blocks, 2×2 pools between the stages, and the head."""
        norm = has_norm(knobs)
        x = residual_stem(net, net.input, widths["stem"], large=is_large(request.input), norm=norm)
        for s in range(1, STAGES + 1):
            if s > 1 and x.side >= 2:
                x = net.max_pool(x, kernel=2, name=f"stage{s - 1}.pool")
            for b in range(1, int(knobs[f"blocks{s}"]) + 1):
                x = net.block(
                    f"stage{s}.block{b}",
                    fractal,
                    x,
                    filters=widths[f"stage{s}_{b}"],
                    columns=knobs["columns"],
                    drop=knobs["drop_path"],
                    norm=norm,
                )
        return pooled_head(net, x, request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `3 columns 1-1-1-1 drop 0.15`; one column has no joins to drop at."""
        columns = int(knobs["columns"])
        blocks = "-".join(str(knobs[f"blocks{i}"]) for i in range(1, STAGES + 1))
        drop = f" drop {knobs['drop_path']}" if columns > 1 else ""
        return f"{counted(columns, 'column')} {blocks}{drop}"


def _write(net: Tracer, classes: int) -> Tensor:
    """Five blocks of 3 columns, each followed by a pool: 32 → 1.

    The paper prints 38.6 M parameters. The recipe it states gives 33.7 M, and so do the authors' generator
    (github.com/gustavla/fractalnet, which also says where the dropout goes), pytorchcv (33,724,618) and the
    paper's table of a quarter of these widths, 2.1 M for 20 layers. A 1×1 with BN before each block that
    changes the channels would make it 38.65 M, but nothing published has one.
    """
    x = net.input
    filters, rates = (64, 128, 256, 512, 512), (0.0, 0.1, 0.2, 0.3, 0.4)
    for i, (width, rate) in enumerate(zip(filters, rates, strict=True), start=1):
        x = net.block(
            f"stage{i}", fractal, x, filters=width, columns=3, drop=DROP_PATH, dropout=rate
        )
        x = net.max_pool(x, kernel=2, name=f"stage{i}.pool")
    with net.scope("head"):
        return net.dense(net.flatten(x), classes)


FRACTAL = FractalSpace()
BASELINES = {
    "fractalnet20": Baseline(
        name="fractalnet20",
        title="FractalNet-20, 3 columns, for CIFAR",
        source="Larsson et al. 2017, section 4.1",
        input=(32, 32, 3),
        classes=10,
        write=_write,
        smallest=32,
    )
}
