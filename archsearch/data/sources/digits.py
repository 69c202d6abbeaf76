"""The embedded data: scikit-learn's 1,797 scans of handwritten digits, nothing to download."""

import hashlib
from functools import cached_property
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.data.sources.decode import fit_array
from archsearch.data.sources.items import FREE, Items, Look, Resize, Size


class Digits:
    """8×8 scans with 17 grey levels (E. Alpaydin, C. Kaynak, UCI, 1998), prepared at 32×32."""

    text = "digits"

    def content(self) -> str:
        """Digest the pixels and labels."""
        scans, labels = self._loaded
        digest = hashlib.sha256(scans.tobytes())
        digest.update(labels.tobytes())
        return digest.hexdigest()

    def stamp(self) -> str | None:
        """Name what the scans come with: it takes a second and a half to import."""
        return f"digits, scikit-learn {version('scikit-learn')}"

    def items(self) -> Items:
        """All 1,797 scans, in scikit-learn's order."""
        scans, labels = self._loaded

        def decode(index: int, size: Size, resize: Resize = "crop") -> Images:
            return fit_array(scans[index], size, resize)

        return Items(
            name="digits",
            classes=tuple("0123456789"),
            labels=labels,
            fixed=np.full(len(labels), FREE, dtype=np.int8),
            native=(32, 32, 1),
            why="the scans are 8x8, scaled up to a short side of 32",
            sizes=((8, 8),),
            mirror=False,
            decode=decode,
            where=lambda index: f"digits[{index}]",
            look=lambda index: Look(scans[index], "array"),
        )

    @cached_property
    def _loaded(self) -> tuple[Images, npt.NDArray[np.int64]]:
        from sklearn.datasets import load_digits

        scans, labels = load_digits(return_X_y=True)
        # 0..16 → 0..255, the same rounding everywhere.
        pixels = np.rint(scans * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        return pixels, labels.astype(np.int64)
