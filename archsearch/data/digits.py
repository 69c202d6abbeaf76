"""The embedded data: scikit-learn's 1,797 scans of handwritten digits, nothing to download."""

import hashlib

import numpy as np

from archsearch.data.dataset import Images
from archsearch.data.decode import fit_array
from archsearch.data.items import FREE, Items, Size


class Digits:
    """8×8 scans with 17 grey levels (E. Alpaydin, C. Kaynak, UCI, 1998), prepared at 32×32."""

    text = "digits"

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        scans, labels = load_digits(return_X_y=True)
        # 0..16 → 0..255, the same rounding everywhere.
        self._scans: Images = np.rint(scans * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        self._labels = labels.astype(np.int64)

    def content(self) -> str:
        """Digest the pixels and labels."""
        digest = hashlib.sha256(self._scans.tobytes())
        digest.update(self._labels.tobytes())
        return digest.hexdigest()

    def stamp(self) -> str | None:
        """Give none: the content itself is cheap to digest."""
        return None

    def items(self) -> Items:
        """All 1,797 scans, in scikit-learn's order."""

        def decode(index: int, size: Size) -> Images:
            return fit_array(self._scans[index], size)

        return Items(
            name="digits",
            classes=tuple("0123456789"),
            labels=self._labels,
            fixed=np.full(len(self._labels), FREE, dtype=np.int8),
            native=(32, 32, 1),
            mirror=False,
            decode=decode,
            where=lambda index: f"digits[{index}]",
        )
