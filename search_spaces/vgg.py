"""VGG: stacks of 3×3 convolutions, channels doubling after each pool.

Simonyan & Zisserman 2014, arXiv 1409.1556: the first design rules. Two 3×3 see what one 5×5 sees for 18/25
of its cost; doubling the channels after each 2×2 pool keeps every layer's FLOPs equal.
"""

from collections.abc import Mapping, Sequence

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.baselines import Baseline
from archsearch.space.budget import Request
from archsearch.space.knobs import ChoiceKnob, IntKnob, Knob, Knobs, RisingKnob
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from search_spaces.parts import dense_head, is_large
from search_spaces.stages import (
    CHANNEL_DOUBLING,
    classic_depths,
    growth,
    held,
    multiplier_knobs,
)

STAGES = 5


def conv_stack(
    net: Tracer,
    x: Tensor,
    *,
    filters: Width,
    depth: int,
    batch_norm: bool,
    bias: bool,
    kernel: int = 3,
    late: Width | None = None,
) -> Tensor:
    """`depth` 3×3 convolutions with ReLU, then a 2×2 pool (left out where nothing would remain).

    A larger `kernel` stands in for as many of them as see what it sees, where there are so many. `late` is
    the width from the second convolution on, `filters` if not given.
    """
    large, small = divmod(depth, (kernel - 1) // 2)
    for i, side in enumerate((kernel,) * large + (3,) * small):
        x = net.conv(x, filters if late is None or i == 0 else late, kernel=side, bias=bias)
        x = net.relu(net.batch_norm(x) if batch_norm else x)
    return net.max_pool(x, kernel=2) if x.side >= 2 else x


class VggSpace(Space):
    """Five stages of one to five 3×3 convolutions."""

    name = "vgg"
    title = "stacked 3×3 convolutions, channels double after each pool"
    rules = ("3x3-stacks", CHANNEL_DOUBLING)
    relaxable = frozenset(rules)

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return the one set there is, the depths being what VGG varies (freed multipliers aside)."""
        depths = tuple(IntKnob(f"depth{i}", 1, 5) for i in range(1, STAGES + 1))
        kernels: tuple[Knob, ...] = ()
        if "3x3-stacks" in request.relax:
            kernels = tuple(RisingKnob(f"kernel{i}", (3, 5, 7)) for i in range(1, STAGES + 1))
        head = (ChoiceKnob("batch_norm", (False, True)), ChoiceKnob("head", ("gap", "fc")))
        return [
            (*depths, *head, *kernels, *multiplier_knobs(request, STAGES, most))
            for most in (2.0, 2.5)
        ]

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return VGG-16 with batch normalisation (torchvision's vgg16_bn)."""
        kernels = {name: 3 for name in knobs if name.startswith("kernel")}
        depths = classic_depths(knobs, (2, 2, 3, 3, 3))
        return {**depths, "batch_norm": True, "head": "fc", **kernels, **held(knobs)}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return doubling stages, and hidden dense layers of 64 base widths as in VGG (8 if small)."""
        widths = {
            f"stage{i}": pick(base * factor)
            for i, factor in enumerate(growth(knobs, STAGES), start=1)
        }
        if CHANNEL_DOUBLING in request.relax:
            # Multipliers put most FLOPs into few stages: two roundings for each still fill the budget.
            for i, factor in enumerate(growth(knobs, STAGES), start=1):
                if int(knobs[f"depth{i}"]) > 1:
                    widths[f"stage{i}_late"] = pick(base * factor)
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
                late=widths.get(f"stage{i}_late"),
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
