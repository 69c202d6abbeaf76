"""What guessing comes to: the best answer that is the same for every image, whatever is on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from archsearch.statistics.majority import accuracy_by_chance

_LEAST_WAY: Final = 0.01
"""The part of the way from guessing's loss to the least one that shows that something was learnt. A network
that stands still is above guessing, as its biases follow the last batches; one that learns soon is far below.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """The best answer that is the same for every image.

    Attributes:
        loss: its mean cross-entropy, in nats.
        least: the loss of answers that are right and as sure as the targets ask for.
        accuracy: that whoever guesses may reach by chance.
    """

    loss: float
    least: float
    accuracy: float

    def beaten_by(self, *, loss: float, accuracy: float) -> bool:
        """Whether a loss, or an accuracy, shows that images were looked at; one that is NaN does not."""
        return loss < self.loss - _LEAST_WAY * (self.loss - self.least) or accuracy > self.accuracy


def guess(
    counts: Sequence[int], *, smoothing: float = 0.0, weights: Sequence[float] | None = None
) -> Guess:
    """Return what guessing comes to over images of which so many are of each class.

    An answer q that is the same for all has the least mean cross-entropy where q is the mean target
    (Gibbs' inequality); that is then the entropy of the classes' shares. Images that are mixed in pairs
    (`mixup`, `cutmix`) have the same mean target.

    Args:
        counts: images by class; one at least.
        smoothing: the part of every target that is spread over all classes (Szegedy et al. 2015,
            arXiv:1512.00567, section 7).
        weights: of each class's images in the loss; None: all count alike.
    """
    total, classes = sum(counts), len(counts)
    shares = [count / total for count in counts]
    weighed = [share * (1.0 if weights is None else weights[c]) for c, share in enumerate(shares)]
    whole = sum(weighed)
    targets = [(1 - smoothing) * share + smoothing * whole / classes for share in weighed]
    spread = smoothing / classes
    sure = [1 - smoothing + spread, *[spread] * (classes - 1)]
    return Guess(
        loss=whole * _entropy([target / whole for target in targets]),
        least=whole * _entropy(sure),
        accuracy=accuracy_by_chance(max(shares), total),
    )


def _entropy(shares: Sequence[float]) -> float:
    """Return the entropy of shares, in nats."""
    return -sum(share * math.log(share) for share in shares if share > 0)
