"""What filling a budget works with: how a network's widths follow from a base width, and what they cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from archsearch.ir.channels import Quadratic
from archsearch.space.widths import Pick


@dataclass(frozen=True, slots=True)
class Fit:
    """Widths, the base width they are roundings for, and what the network of them costs."""

    flops: float
    base: float
    widths: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """How the widths of chosen knobs follow from a base width, and what they cost.

    Attributes:
        widths: a space's widths for a base width.
        form: the network's FLOPs in terms of them.
        least, most: the base widths, in channels, between which the budget is solved.
        leeway: by how much more than others some widths may be off, by name (`Space.leeway`).
    """

    widths: Callable[[float, Pick], dict[str, float]]
    form: Quadratic
    least: float
    most: float
    leeway: Mapping[str, float] = field(default_factory=dict)

    def fit(self, base: float, pick: Pick) -> Fit:
        """Return the widths for a base width, and what they cost."""
        widths = self.widths(base, pick)
        return Fit(self.form.value(widths), base, widths)


def flops_of(fit: Fit) -> float:
    """Return what a fit costs, to tell the fullest by."""
    return fit.flops
