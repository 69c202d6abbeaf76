"""A design space of a few convolutions, which solves in no time: for trying what works on spaces."""

from collections.abc import Mapping, Sequence
from typing import ClassVar, Final

from archsearch.ir.channels import Width
from archsearch.ir.tracer import Tensor, Tracer
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import ChoiceKnob, IntKnob, Knob, Knobs
from archsearch.space.solve import solve
from archsearch.space.space import Space
from archsearch.space.widths import Pick
from archsearch.strategy.sampler import Choices

REQUEST: Final = Request(input=(8, 8, 1), classes=3, budget=Budget(900_000, 1_000_000))
"""Networks of a million FLOPs for tiny grey images of three classes."""


class ToySpace(Space):
    """Two to six convolutions of one kernel size, then the scores."""

    name: ClassVar[str] = "toy"
    title: ClassVar[str] = "a toy"
    rules: ClassVar[tuple[str, ...]] = ()
    least_base: ClassVar[float] = 1
    most_base: ClassVar[float] = 512

    def tiers(self, request: Request) -> Sequence[tuple[Knob, ...]]:
        """Return the one set of knobs."""
        kernel, bias = ChoiceKnob("kernel", (1, 3, 5)), ChoiceKnob("bias", (True, False))
        return [(IntKnob("depth", 2, 6), kernel, bias)]

    def classic(self, knobs: Mapping[str, Knob], request: Request) -> Knobs:
        """Return two 3×3 convolutions."""
        return {"depth": 2, "kernel": 3, "bias": True}

    def widths(self, knobs: Knobs, request: Request, base: float, pick: Pick) -> dict[str, float]:
        """Return one width for every convolution."""
        return {f"c{number}": pick(base) for number in range(int(knobs["depth"]))}

    def build(
        self, net: Tracer, knobs: Knobs, widths: Mapping[str, Width], request: Request
    ) -> Tensor:
        """Write the convolutions and the scores."""
        x = net.input
        for width in widths.values():
            x = net.conv(x, width, kernel=int(knobs["kernel"]), bias=bool(knobs["bias"]))
        return net.dense(net.global_avg_pool(x), request.classes)

    def label(self, knobs: Knobs, request: Request) -> str:
        """Return depth, kernel and bias in short."""
        return f"d{knobs['depth']} k{knobs['kernel']}{' bias' * bool(knobs['bias'])}"


def toy_choices(*, trials: int = 12, seed: int = 0) -> Choices:
    """Return what a sampler chooses from in the toy space."""
    space = ToySpace()
    return Choices(
        knobs=space.knobs(REQUEST),
        solve=lambda knobs: solve(space, knobs, REQUEST),
        classic=space.classic_knobs(REQUEST),
        trials=trials,
        seed=seed,
    )
