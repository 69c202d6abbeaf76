"""What may be expected of networks before any of them has trained in this study: the seam for priors."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from archsearch.surrogate.algebra import Floats


class Prior(Protocol):
    """Expects something of features: learnt from other studies, or written down."""

    def predict(self, features: Sequence[Mapping[str, float]]) -> tuple[Floats, Floats]:
        """Return a mean and a variance for each network.

        Means are in standard deviations of the accuracies of networks drawn by chance, 0 what is expected
        of one of them. A variance is the share, from 0 to 1, of theirs that the prior leaves open.
        """
        ...
