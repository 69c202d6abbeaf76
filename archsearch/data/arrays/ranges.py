"""Numbers become 0..255: on which scale, found over all images, and what rounding would destroy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images

_FEW_LEVELS: Final = 64  # of 256: fewer than six bits are left of finer values
_LOST_LEVELS: Final = 8  # a part that keeps no more is on another scale than the rest
_SLACK: Final = 0.05  # of a usual range: resampling overshoots its ends by a few per cent
_NOTHING: Final = 1e-30  # a difference so small is none
MOST: Final = 1e30
"""Values beyond are no pixels of anything, and their differences may overflow."""
_SAMPLE: Final = 1 << 18  # values that stand for all of an array
_STEP: Final = (
    1024  # images converted at a time: a float copy of all would be 4 to 8 times as large
)


@dataclass(frozen=True, slots=True)
class Range:
    """Values from `low` to `high`, which become 0 to 255; what lies outside is cut off."""

    low: float
    high: float

    def to_bytes(self, values: npt.NDArray[Any]) -> Images:
        """Return the values (any shape) as uint8."""
        out = np.empty(values.shape, dtype=np.uint8)
        scale = 255 / (self.high - self.low)
        for start in range(0, len(values), _STEP):
            part = (values[start : start + _STEP].astype(np.float64) - self.low) * scale
            out[start : start + _STEP] = np.clip(np.rint(part), 0, 255)
        return out


UNIT: Final = Range(0, 1)
BYTES: Final = Range(0, 255)
WORDS: Final = Range(0, 65535)


@dataclass(frozen=True, slots=True)
class Spread:
    """Smallest and largest of some values, and a sample of them (k,), float64."""

    low: float
    high: float
    sample: npt.NDArray[np.float64]

    def levels(self, scale: Range) -> int:
        """Count the levels of 0..255 that are left of the values."""
        return len(np.unique(scale.to_bytes(self.sample)))

    def destroyed_by(self, scale: Range) -> bool:
        """Whether little is left on that scale of values that are finer."""
        left = self.levels(scale)
        return left < _FEW_LEVELS and left < len(np.unique(self.sample))

    def lost_on(self, scale: Range) -> bool:
        """Whether next to nothing is left on that scale, and more on the values' own."""
        left = self.levels(scale)
        return left <= _LOST_LEVELS and left < self.levels(self.own)

    @property
    def own(self) -> Range:
        """The range from the smallest (0 where that is near) to the largest value."""
        low = 0.0 if 0 <= self.low <= _SLACK * self.high else self.low
        return Range(low, self.high if self.high - low > _NOTHING else low + 1)


def spread_of(values: npt.NDArray[Any], most: int = _SAMPLE) -> Spread:
    """Look at values; those of evenly spaced places are the sample, `most` of them about."""
    flat = values.ravel(order="K")  # no copy, whichever axis is last in memory
    # An odd step goes through all channels and columns.
    step = max(1, len(flat) // most) | 1
    return Spread(float(values.min()), float(values.max()), flat[::step].astype(np.float64))


def together(spreads: Sequence[Spread]) -> Spread:
    """Join what is known of several arrays or images."""
    return Spread(
        min(s.low for s in spreads),
        max(s.high for s in spreads),
        np.concatenate([s.sample for s in spreads]),
    )


def choose_range(spread: Spread, usual: Sequence[Range]) -> Range:
    """Choose the range that becomes 0..255: the first usual one that fits, else the values' own.

    A usual range fits where the values lie in it, or overshoot it by 5 % at most, and rounding to its
    256 levels leaves enough of them. Where single values far outside leave few levels to the rest, the
    range is that of all values but a thousandth at each end.
    """
    for scale in usual:
        slack = _SLACK * (scale.high - scale.low)
        inside = scale.low - slack <= spread.low and spread.high <= scale.high + slack
        if inside and not spread.destroyed_by(scale):
            return scale
    own = spread.own
    if not spread.destroyed_by(own):
        return own
    low, high = np.quantile(spread.sample, (0.001, 0.999)).tolist()
    return Range(low, high) if high - low > _NOTHING else own


def said(spread: Spread, scale: Range, what: str) -> str:
    """Say which values became 0..255: whoever uses the model has to do the same."""
    text = f"{what} from {scale.low:.6g} to {scale.high:.6g} became 0 to 255"
    if scale.low > spread.low or scale.high < spread.high:
        return f"{text}; {spread.low:.6g} to {spread.high:.6g} occur, what is outside was cut off"
    return f"{text}, a range found over all images"
