"""Some of many, spread evenly."""

import numpy as np
import numpy.typing as npt


def spread(count: int, most: int) -> npt.NDArray[np.int64]:
    """Return the numbers of up to `most` of so many things, spread evenly from the first to the last."""
    return np.unique(np.linspace(0, count - 1, num=min(most, count)).astype(np.int64))
