"""VGG: stacks of 3×3 convolutions, channels doubling after each pool.

Simonyan & Zisserman 2014, arXiv 1409.1556: the first design rules. Two 3×3 see what one 5×5 sees for 18/25
of its cost; doubling the channels after each 2×2 pool keeps every layer's FLOPs equal.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, Freedom, IntKnob, Knob, Knobs, RisingKnob
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.freedoms import (
    CHANNEL_DOUBLING,
    MULTIPLIER_WORDS,
    STAGE_WORDS,
    growth,
    multipliers,
)
from search_spaces.parts import dense_head, is_large
from search_spaces.stages import classic_depths

STAGES = 5
STACKS = "3x3-stacks"


def conv_stack(
    net: Tracer,
    x: Tensor,
    *,
    filters: Width,
    depth: int,
    batch_norm: bool,
    bias: bool,
    kernel: int = 3,
) -> Tensor:
    """`depth` 3×3 convolutions with ReLU, then a 2×2 pool (left out where nothing would remain).

    A larger `kernel` stands in for as many of them as see what it sees, where there are so many.
    """
    large, small = divmod(depth, (kernel - 1) // 2)
    for side in (kernel,) * large + (3,) * small:
        x = net.conv(x, filters, kernel=side, bias=bias)
        x = net.relu(net.batch_norm(x) if batch_norm else x)
    return net.max_pool(x, kernel=2) if x.side >= 2 else x


class VggSpace(Space):
    """Five stages of one to five 3×3 convolutions."""

    name = "vgg"
    title = "stacked 3×3 convolutions, channels double after each pool"
    rules = (STACKS, CHANNEL_DOUBLING)
    words: ClassVar[Mapping[str, str]] = {
        **STAGE_WORDS,
        **MULTIPLIER_WORDS,
        "bn": "batch normalisation after each convolution",
        "gap": "global average pooling and one dense layer at the end",
        "fc": "two hidden dense layers on the flattened map at the end",
        "kernel 3-5-7": "the kernels of each stage; a 5×5 stands for two 3×3, a 7×7 for three",
    }

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return the one set there is, the depths being what VGG varies."""
        depths = tuple(IntKnob(f"depth{i}", 1, 5) for i in range(1, STAGES + 1))
        return [
            (*depths, ChoiceKnob("batch_norm", (False, True)), ChoiceKnob("head", ("gap", "fc")))
        ]

    def freedoms(self, request: Request) -> Mapping[str, tuple[Freedom, ...]]:
        """Return multipliers, and a kernel for each stage."""
        kernels = (RisingKnob(f"kernel{i}", (3, 5, 7)) for i in range(1, STAGES + 1))
        return {
            CHANNEL_DOUBLING: multipliers(STAGES),
            STACKS: tuple(Freedom(kernel, held=3) for kernel in kernels),
        }

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return VGG-16 with batch normalisation (torchvision's vgg16_bn)."""
        depths = classic_depths(knobs, (2, 2, 3, 3, 3))
        return {**depths, "batch_norm": True, "head": "fc"}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling stages, and hidden dense layers of 64 base widths as in VGG (8 if small)."""
        widths = {
            f"stage{i}": pick(base * factor)
            for i, factor in enumerate(growth(knobs, STAGES), start=1)
        }
        if knobs["head"] == "fc":
            hidden = base * (64 if is_large(request.input) else 8)
            widths |= {"hidden1": pick(hidden), "hidden2": pick(hidden)}
        return widths

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the stages and the head."""
        x = net.input
        for i in range(1, STAGES + 1):
            x = net.block(
                f"stage{i}",
                conv_stack,
                x,
                filters=widths[f"stage{i}"],
                depth=knobs[f"depth{i}"],
                batch_norm=knobs["batch_norm"],
                bias=not knobs["batch_norm"],
                kernel=knobs.get(f"kernel{i}", 3),
            )
        if knobs["head"] == "fc":
            return dense_head(net, x, (widths["hidden1"], widths["hidden2"]), request.classes)
        with net.scope("head"):
            return net.dense(net.global_avg_pool(x), request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return e.g. `2-2-3-3-3 bn fc`."""
        depths = "-".join(str(knobs[f"depth{i}"]) for i in range(1, STAGES + 1))
        return f"{depths}{' bn' if knobs['batch_norm'] else ''} {knobs['head']}"


def _published(depths: tuple[int, ...], *, batch_norm: bool) -> Baseline:
    layers = sum(depths) + 3

    def write(net: Tracer, classes: int) -> Tensor:
        x = net.input
        for i, (depth, filters) in enumerate(zip(depths, (64, 128, 256, 512, 512), strict=True)):
            # torchvision's _bn forms keep the bias that batch normalisation makes superfluous.
            x = net.block(
                f"stage{i + 1}",
                conv_stack,
                x,
                filters=filters,
                depth=depth,
                batch_norm=batch_norm,
                bias=True,
            )
        return dense_head(net, x, (4096, 4096), classes)

    return Baseline(
        name=f"vgg{layers}{'_bn' if batch_norm else ''}",
        title=f"VGG-{layers}{' with batch normalisation' if batch_norm else ''}",
        source="Simonyan & Zisserman 2014, table 1; as in torchvision",
        input=(224, 224, 3),
        classes=1000,
        write=write,
    )


_DEPTHS = ((1, 1, 2, 2, 2), (2, 2, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4))
VGG = VggSpace()
BASELINES = {
    b.name: b for bn in (False, True) for d in _DEPTHS for b in (_published(d, batch_norm=bn),)
}
