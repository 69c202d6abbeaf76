"""Which arrays of a file are the images and labels of which split, by their names."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from archsearch.data.dataset import SPLITS
from archsearch.data.sources.items import FREE
from archsearch.data.sources.split_names import split_like, words
from archsearch.errors import DataError

WANTED: Final = (
    "x_train and y_train (with x_val, y_val, x_test, y_test where there are such), or x and y"
)
CLASS_NAMES: Final = ("classes", "class_names")
# (images, labels, split) of each pair; a pair without a split of its own is divided by us.
_PLAIN: Final = (
    ("x", "y", FREE),
    ("x_train", "y_train", FREE),
    ("x_val", "y_val", SPLITS.index("val")),
    ("x_test", "y_test", SPLITS.index("test")),
)
_IMAGE_WORDS: Final = """
x xs image images img imgs data feature features pixels input inputs sample samples pictures photos
"""
_LABEL_WORDS: Final = "y ys label labels lbl lbls target targets class category categories"
_IMAGES: Final = frozenset(_IMAGE_WORDS.split())
_LABELS: Final = frozenset(_LABEL_WORDS.split())
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Names of an array of images and of its labels; `split` is an index into SPLITS, or FREE."""

    images: str
    labels: str
    split: int


def find_pairs(shapes: Mapping[str, Shape], where: str) -> tuple[Pair, ...]:
    """Find the pairs among arrays of those names and shapes.

    `x_train, y_train` and their like come first; then any name made of a word for images or labels and
    one for a split (`train_images`, `Xtest`, `valid-labels`, `data`, `target`); then `arr_0, arr_1, …`,
    which NumPy writes where no name was given.

    Raises:
        DataError: no such pair, half a pair, or two for one split.
    """
    named = {
        key: found for key in shapes if key not in CLASS_NAMES and (found := _meaning(key))
    } or _numbered(shapes)
    listed = ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "nothing"
    sides: dict[int, dict[str, list[str]]] = {}
    for key, (side, split) in named.items():
        sides.setdefault(split, {}).setdefault(side, []).append(key)
    pairs = []
    for split, both in sorted(sides.items()):
        pairs.append(_pair(split, both, f"{where}: ", f" (found {listed}); wanted {WANTED}"))
    if not any(pair.split == FREE for pair in pairs):
        raise DataError(f"{where}: no training images (found {listed}); wanted {WANTED}")
    return tuple(pairs)


def left_over(shapes: Mapping[str, Shape], pairs: tuple[Pair, ...]) -> list[str]:
    """Name the arrays that no pair holds."""
    used = {*CLASS_NAMES, *(name for pair in pairs for name in (pair.images, pair.labels))}
    return [key for key in shapes if key not in used]


def plain(pairs: tuple[Pair, ...]) -> bool:
    """Whether all pairs have the names that always were understood."""
    known = {(x, y) for x, y, _ in _PLAIN}
    return all((pair.images, pair.labels) in known for pair in pairs)


def _pair(split: int, both: Mapping[str, list[str]], where: str, rest: str) -> Pair:
    chosen = {}
    for side, plain_names in zip(("images", "labels"), zip(*_PLAIN, strict=True), strict=False):
        keys = both.get(side, [])
        exact = [key for key in keys if key in plain_names]
        if not keys:
            given = next(iter(both.values()))[0]
            raise DataError(f"{where}{_other(given)} is missing for {given}{rest}")
        if len(keys) > 1 and len(exact) != 1:
            raise DataError(f"{where}holds both {keys[0]} and {keys[1]}{rest}")
        chosen[side] = exact[0] if len(exact) == 1 else keys[0]
    return Pair(chosen["images"], chosen["labels"], split)


def _other(given: str) -> str:
    """Name what belongs to a lonely array: y_train for x_train."""
    swap = {x: y for x, y, _ in _PLAIN} | {y: x for x, y, _ in _PLAIN}
    found = _meaning(given)
    side = "labels" if found and found[0] == "images" else "images"
    return swap.get(given, f"an array of {side}")


def _meaning(key: str) -> tuple[str, int] | None:
    """Tell (`images` or `labels`, split) of a name; None if it speaks of neither."""
    parts = words(key)
    sides = {"images" for word in parts if word in _IMAGES} | {
        "labels" for word in parts if word in _LABELS
    }
    # "image_labels": the last word is what it is.
    side = "labels" if "labels" in sides else "images" if sides else None
    split, rest = split_like(key)
    strange = [word for word in rest if word not in _IMAGES | _LABELS]
    if side is None or strange:
        return None
    return side, FREE if split in {None, "train"} else SPLITS.index(split)


def _numbered(shapes: Mapping[str, Shape]) -> dict[str, tuple[str, int]]:
    """Read arr_0, arr_1, …: images have three axes and more, labels one; pairs in their order."""
    keys = sorted((k for k in shapes if k.startswith("arr_")), key=lambda k: (len(k), k))
    images = [key for key in keys if len(shapes[key]) >= 3]
    labels = [key for key in keys if 1 <= len(shapes[key]) <= 2]
    if not images or len(images) != len(labels) or len(images) > len(SPLITS):
        return {}
    order = [FREE, SPLITS.index("test")] if len(images) < 3 else [FREE, *range(1, len(SPLITS))]
    found: dict[str, tuple[str, int]] = {}
    for image, split in zip(images, order, strict=False):
        # Both x_train, y_train, x_test, y_test and x_train, x_test, y_train, y_test are written.
        label = next((k for k in labels if shapes[k][0] == shapes[image][0]), labels[0])
        labels.remove(label)
        found |= {image: ("images", split), label: ("labels", split)}
    return found
