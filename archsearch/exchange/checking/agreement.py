"""What came of an export: how its answers compare with the trained network's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.errors import ArchsearchError

TOLERANCE: Final = 1e-3
"""The difference of two probabilities up to which an exact export and the trained network agree."""
LARGE_LOSS: Final = 0.01
"""The loss of accuracy from which on there is a warning: one point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A model that was written, loaded in a new process and compared on validation images.

    Attributes:
        path: the file or folder.
        format: the name of its format.
        size_bytes: of all its files.
        images: how many images were compared.
        difference: the largest difference of two probabilities.
        same_top1: to how many of the images both answer with the same class.
        trained_accuracy: of the trained network on these images; None: the format is exact, and this was
            not counted.
        accuracy: of the exported one, likewise.
    """

    path: Path
    format: str
    size_bytes: int
    images: int
    difference: float
    same_top1: int
    trained_accuracy: float | None = None
    accuracy: float | None = None

    @property
    def lost(self) -> float | None:
        """The accuracy lost, as a share of 1; None: not counted."""
        if self.accuracy is None or self.trained_accuracy is None:
            return None
        return self.trained_accuracy - self.accuracy

    @property
    def warning(self) -> str | None:
        """One line where the export answers clearly worse than the network; None: it does not."""
        if self.lost is None or self.lost <= LARGE_LOSS + 1e-9:  # a point is a point, in floats too
            return None
        return (
            f"{self.format} loses {100 * self.lost:.1f} points of accuracy on {self.images} validation "
            f"images; a format that keeps floats loses none"
        )

    def sentence(self) -> str:
        """Return in one line how its answers compare."""
        text = (
            f"on {self.images} validation images its probabilities differ by at most "
            f"{self.difference:.1e} from the trained network's, the top class is the same on "
            f"{self.same_top1}"
        )
        if self.accuracy is None or self.trained_accuracy is None:
            return text
        return f"{text}; accuracy {100 * self.accuracy:.2f} %, trained {100 * self.trained_accuracy:.2f} %"


def compared(
    got: npt.NDArray[Any],
    wanted: npt.NDArray[np.float64],
    labels: npt.NDArray[np.int64],
    *,
    exact: bool,
) -> dict[str, Any]:
    """Return the fields of Exported that a comparison gives.

    Args:
        got: the exported model's probabilities (n, classes).
        wanted: the trained network's.
        labels: the images' classes (n,).
        exact: whether they are to be equal; if not, accuracies are counted.

    Raises:
        ArchsearchError: they have another shape, are no numbers, or differ where they may not.
    """
    if got.shape != wanted.shape:
        raise ArchsearchError(
            f"the exported model answers with shape {got.shape}, not (images, classes) = "
            f"{wanted.shape}; nothing was written"
        )
    worst = float(np.abs(got - wanted).max())
    if not worst <= (TOLERANCE if exact else 1):
        raise ArchsearchError(
            f"the exported model disagrees with the trained one: probabilities differ by up to "
            f"{worst:.2g} on {len(got)} images; nothing was written"
        )
    top, wanted_top = got.argmax(axis=1), wanted.argmax(axis=1)
    found = {"images": len(got), "difference": worst, "same_top1": int((top == wanted_top).sum())}
    if exact:
        return found
    return {
        **found,
        "trained_accuracy": float((wanted_top == labels).mean()),
        "accuracy": float((top == labels).mean()),
    }


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all files in a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return sum(file.stat().st_size for file in files)
