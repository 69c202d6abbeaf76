"""Budgets: what a network may cost, and what a space is asked for."""

from dataclasses import dataclass
from math import log

from archsearch.errors import UserError
from archsearch.units import format_count, format_size, parse_flops

FILL = 0.95
"""A cap counts as filled from here on."""

SMALL_FILL = 0.90
"""… and from here on under a budget so small that single channels are large steps."""

_FULL_FILL_FROM = ((32 * 32, 20_000_000), (224 * 224, 400_000_000))
"""Where FILL starts to be promised: (pixels, FLOPs); between and beyond by power law."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A range of FLOPs (multiply-adds of one image) that a network must lie in, ends included."""

    low: int
    high: int

    @classmethod
    def parse(cls, text: str, input: tuple[int, int, int]) -> "Budget":
        """Read `4G`, a cap to be filled to 95 % (90 % where small), or a range `3.8G:4.2G`.

        Raises:
            UserError: the text is neither.
        """
        if not isinstance(text, str):
            raise UserError(f"the budget is {text!r}; write a text like '20M', '4G' or '3.8G:4.2G'")
        if "," in text:
            raise UserError(f"{text!r} are several budgets; write one like '20M' or '3.8G:4.2G'")
        first, colon, last = text.partition(":")
        if not colon:
            return cls.cap(parse_flops(text), input)
        low, high = parse_flops(first), parse_flops(last)
        if low > high:
            raise UserError(f"the budget range {text!r} is empty: write the smaller number first")
        return cls(low, high)

    @classmethod
    def cap(cls, flops: int, input: tuple[int, int, int]) -> "Budget":
        """Return the budget of networks that fill `flops`."""
        pixels = input[0] * input[1]
        fill = FILL if flops >= full_fill_from(pixels) else SMALL_FILL
        return cls(-int(-flops * fill // 1), flops)

    def __contains__(self, flops: int) -> bool:
        return self.low <= flops <= self.high

    def __str__(self) -> str:
        return f"{format_count(self.low)} to {format_count(self.high)} FLOPs"


def full_fill_from(pixels: int) -> float:
    """Return the FLOPs from which on a cap is filled to FILL, for images of so many pixels."""
    (p0, f0), (p1, f1) = _FULL_FILL_FROM
    # f0·(pixels/p0)^e through both points; e < 1 as large images start with a coarse stem.
    return float(f0 * (pixels / p0) ** (log(f1 / f0) / log(p1 / p0)))


@dataclass(frozen=True, slots=True)
class Request:
    """What a space is asked for: networks for these images and classes, within this budget.

    Each design rule in `relax`, held by the space otherwise, is freed: it becomes a knob.
    """

    input: tuple[int, int, int]
    classes: int
    budget: Budget
    relax: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if self.classes < 2:
            raise UserError(f"{self.classes} classes leave nothing to tell apart; give at least 2")
        if min(self.input[:2]) < 8:
            raise UserError(
                f"images of {format_size(self.input)} are too small; give at least 8x8 pixels"
            )
