"""Which split a name means: of a folder, an array or a table's cell, as people write them."""

import re
from collections.abc import Iterable
from typing import Final

from archsearch.data.dataset import SplitName

_EXACT: Final[dict[str, SplitName]] = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
# An "evaluation" beside a validation set is a test set; alone, it must not train either way.
_WORDS: Final[dict[str, SplitName]] = {
    **_EXACT,
    "tr": "train", "trainval": "train", "dev": "val", "te": "test", "holdout": "test",
    "eval": "test", "evaluation": "test",
}  # fmt: skip
# Words that say nothing of their own: "Train Images", "training_set", "test_data_final".
_NEUTRAL_WORDS: Final = """
set sets data dataset datasets image images img imgs pic pics picture pictures photo photos folder folders
dir split splits sample samples file files all new final raw resized small large jpg jpeg png public private
labeled labelled orig original x y
"""
_NEUTRAL: Final = frozenset(_NEUTRAL_WORDS.split())
_GLUED: Final = re.compile(
    r"(train|training|val|valid|validation|test|testing)(set|sets|data|images?|imgs?|labels?|x|y)"
    r"|([xy])(train|val|valid|test)"
)
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def split_named(name: str) -> SplitName | None:
    """Find the split that a name is, exactly: `train`, `Validation`, `testing`; None if it is none."""
    return _EXACT.get(name.strip().lower())


def words(name: str) -> list[str]:
    """Split a name into its words, lower case: `TrainImages_2` gives train, images, 2."""
    found = []
    for part in (part.lower() for part in _PARTS.findall(name)):
        glued = _GLUED.fullmatch(part)
        found += [word for word in glued.groups() if word] if glued else [part]
    return found


def split_like(name: str) -> tuple[SplitName | None, tuple[str, ...]]:
    """Find the split that a name speaks of, and the words that are neither that nor neutral.

    `Train Images` gives ("train", ()), `seg_test` ("test", ("seg",)), `roses` (None, ("roses",)).
    """
    if exact := split_named(name):
        return exact, ()
    parts = words(name)
    meant = {_WORDS[word] for word in parts if word in _WORDS}
    rest = tuple(
        word for word in parts if word not in _WORDS and word not in _NEUTRAL and not word.isdigit()
    )
    if meant == {"train", "val"}:
        meant = {"train"}  # "train_val": what trains and what validates, not yet parted
    return (next(iter(meant)), rest) if len(meant) == 1 else (None, rest)


def name_splits(names: Iterable[str]) -> dict[str, SplitName]:
    """Tell which of the names beside each other mean splits.

    A name with words of its own, as `seg_train`, does so only beside one of the same words and
    another split, as `seg_test`: `bullet_train` beside `car` is a class.
    """
    like = {name: split_like(name) for name in names}
    kinds: dict[tuple[str, ...], set[SplitName]] = {}
    for split, rest in like.values():
        if split:
            kinds.setdefault(rest, set()).add(split)
    return {
        name: split
        for name, (split, rest) in like.items()
        if split and (not rest or len(kinds[rest]) > 1)
    }
