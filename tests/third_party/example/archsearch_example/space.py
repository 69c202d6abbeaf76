"""All-CNN (Springenberg et al. 2014, arXiv 1412.6806): convolutions alone, strides in place of pools."""

from collections.abc import Mapping, Sequence

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.budget import Request
from archsearch.space.knobs import IntKnob, Knob, Knobs
from archsearch.space.space import Space
from archsearch.space.widths import Pick

STAGES = (1, 2, 3)


def stack(net: Tracer, x: Tensor, *, filters: Width, depth: int, last_stride: int) -> Tensor:
    """`depth` 3×3 convolutions."""
    for i in range(1, depth + 1):
        stride = last_stride if i == depth else 1
        x = net.relu(net.batch_norm(net.conv(x, filters, kernel=3, stride=stride)))
    return x


class Strided(Space):
    name = "strided"
    title = "convolutions alone, strides in place of pools"
    rules = ("channel-doubling", "strided-convolution")

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        return [tuple(IntKnob(f"depth{stage}", 1, 3) for stage in STAGES)]

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        return dict.fromkeys(knobs, 3)

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        return {f"stage{stage}": pick(base * 2 ** (stage - 1)) for stage in STAGES}

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        x = net.input
        for stage in STAGES:
            x = net.block(
                f"stage{stage}",
                stack,
                x,
                filters=widths[f"stage{stage}"],
                depth=knobs[f"depth{stage}"],
                last_stride=1 if stage == STAGES[-1] else 2,
            )
        with net.scope("head"):
            return net.dense(net.global_avg_pool(x), request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        return "-".join(str(knobs[f"depth{stage}"]) for stage in STAGES)


STRIDED = Strided()
