"""Keras's image data sets by name. A child process asks Keras; this one never imports it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from archsearch.data.sources.child import run_child
from archsearch.data.sources.items import Items
from archsearch.data.sources.npz import array_items, read_npz
from archsearch.errors import DataError

_DIGITS: Final = tuple("0123456789")
_FASHION: Final = (
    "t-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_CIFAR10: Final = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_FINE: Final = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm
"""
_CIFAR100: Final = tuple(_FINE.split())


@dataclass(frozen=True, slots=True)
class _Set:
    """Class names in label order, and whether a mirrored image keeps its class."""

    classes: Sequence[str]
    mirror: bool


KERAS_SETS: Final = {
    "mnist": _Set(_DIGITS, mirror=False),
    "fashion_mnist": _Set(_FASHION, mirror=True),
    "cifar10": _Set(_CIFAR10, mirror=True),
    "cifar100": _Set(_CIFAR100, mirror=True),
}


class KerasSet:
    """A data set of keras.datasets, from Keras's cache or, failing that, its download."""

    def __init__(self, name: str) -> None:
        self.text = name
        self._set = KERAS_SETS[name]

    def content(self) -> str:
        """Name it: published data never change, and Keras checks their digests on download."""
        return f"keras:{self.text}"

    def stamp(self) -> str | None:
        """Give none: the content itself is cheap to digest."""
        return None

    def items(self) -> Items:
        """Have a child process load the arrays.

        Raises:
            DataError: they are not in Keras's cache and can't be downloaded.
        """
        with tempfile.TemporaryDirectory(prefix="archsearch-") as folder:
            path = Path(folder) / "arrays.npz"
            run_child("keras", self.text, path, what=f"the Keras data set {self.text}")
            stored = read_npz(path)
        items = array_items(stored.arrays, name=self.text, where=self.text)
        if len(items.classes) != len(self._set.classes):
            raise DataError(
                f"{self.text} came with {len(items.classes)} classes instead of "
                f"{len(self._set.classes)}; delete it from Keras's cache (~/.keras/datasets)"
            )
        return replace(items, classes=tuple(self._set.classes), mirror=self._set.mirror)
