"""Images made on the spot: every picture differs, and its colour says its class."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeFolder = Callable[..., Path]


def picture(seed: int, *, size: tuple[int, int] = (40, 48), tint: int = 0) -> Image.Image:
    """Smooth noise, tinted; JPEG keeps it nearly as it is."""
    rng = np.random.default_rng([seed, tint])
    small = rng.integers(0, 120, size=(5, 6, 3), dtype=np.uint8)
    small[..., tint % 3] += 120
    return Image.fromarray(small).resize(size[::-1], Image.Resampling.BICUBIC)


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Write `count` pictures a class into ROOT/<class>/."""

    def make(
        root: Path | None = None,
        *,
        classes: tuple[str, ...] = ("ant", "bee", "cat"),
        count: int = 10,
        size: tuple[int, int] = (40, 48),
        suffix: str = ".png",
        seed: int = 0,
    ) -> Path:
        root = root or tmp_path / "pictures"
        for tint, name in enumerate(classes):
            (root / name).mkdir(parents=True, exist_ok=True)
            for index in range(count):
                image = picture(seed * 1000 + index, size=size, tint=tint)
                image.save(root / name / f"{index:03}{suffix}")
        return root

    return make
