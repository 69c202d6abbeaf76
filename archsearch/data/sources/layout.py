"""Which folders are classes, which are splits, and which are neither."""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from archsearch.data.class_names import plain_name
from archsearch.data.dataset import SPLITS, SplitName
from archsearch.data.sources.items import FREE
from archsearch.data.sources.split_names import name_splits, split_like, split_named
from archsearch.errors import DataError
from archsearch.units import counted, printable

_MASKS: Final = frozenset(
    {"mask", "masks", "segmentation", "segmentations", "annotation", "annotations"}
    | {"ground_truth", "groundtruth", "gt"}
)
_IMAGES: Final = frozenset({"image", "images", "img", "imgs"})
_DEPTH: Final = 3  # levels below a folder in which a copy of the classes is looked for


@dataclass(frozen=True, slots=True)
class Tree:
    """A folder as it lies there.

    Attributes:
        name: its own name.
        path: where it is.
        folders: the visible folders in it, sorted by the bytes of their names.
        images: paths of the images directly in it.
        others: suffixes of the files directly in it that are no images.
        count: images in it, at any depth.
    """

    name: str
    path: str
    folders: tuple["Tree", ...]
    images: tuple[str, ...]
    others: tuple[str, ...]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        count = len(self.images) + sum(folder.count for folder in self.folders)
        object.__setattr__(self, "count", count)

    @property
    def pictured(self) -> tuple["Tree", ...]:
        """The folders in it that hold images."""
        return tuple(folder for folder in self.folders if folder.count)

    def every(self) -> Iterator["Tree"]:
        """Give this folder and all below it."""
        yield self
        for folder in self.folders:
            yield from folder.every()


@dataclass(frozen=True, slots=True)
class Place:
    """A folder of images of one class; `fixed` is an index into SPLITS, or FREE."""

    fixed: int
    label: str
    tree: Tree


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the classes are, and what a person should hear about the rest."""

    places: tuple[Place, ...]
    notes: tuple[str, ...]


def arrange(root: Tree, *, table: str | None = None) -> Layout:
    """Find classes and splits in a folder.

    Args:
        root: what lies there.
        table: a CSV file in the folder, to name in messages.

    Raises:
        DataError: there are no class folders, or folders that may be classes as well as splits.
    """
    notes: list[str] = []
    node = _unwrapped(_without_masks(root, notes), notes)
    splits = name_splits(folder.name for folder in node.folders)
    trains = [t for t in node.pictured if splits.get(t.name) == "train" and _classes(t)]
    if trains:
        places = _split_places(node, splits, trains, notes)
    elif node.folders:
        _refuse_splits_without_classes(node, splits, table)
        places = _class_places(node, notes, table)
    else:
        raise DataError(_nothing(node, table))
    return Layout(_one_form(places, notes), tuple(notes))


def _unwrapped(root: Tree, notes: list[str]) -> Tree:
    """Go down as long as one folder holds everything: `archive/photos/<class>`."""
    node = root
    while len(node.pictured) == 1:
        (inner,) = node.pictured
        if inner.images or not any(sub.images or sub.pictured for sub in inner.folders):
            break
        if name_splits([inner.name]).get(inner.name) == "train":
            break
        notes += [_left_out(f, "it holds no images") for f in node.folders if f is not inner]
        node = inner
    if node is not root:
        notes.insert(0, f"the classes were found in {_below(root, node)}/")
    return node


def _below(root: Tree, node: Tree) -> str:
    return printable(node.path[len(root.path) :].strip("/") or node.name)


def _classes(split: Tree, known: frozenset[str] = frozenset()) -> tuple[Tree, ...]:
    """Return the class folders of a split folder, inside one wrapper folder or several."""
    while len(split.pictured) == 1:
        (inner,) = split.pictured
        if inner.images or inner.name in known or not inner.pictured:
            break
        split = inner
    found = tuple(f for f in split.folders if f.count or not (f.folders or f.others))
    # `train/train/*.jpg`, `test/images/*.jpg`: what is unpacked beside its labels has no classes.
    if len(found) == 1 and (split_like(found[0].name)[0] or found[0].name.lower() in _IMAGES):
        return ()
    return found


def _split_places(
    node: Tree, splits: dict[str, SplitName], trains: Sequence[Tree], notes: list[str]
) -> list[Place]:
    known = frozenset(label.name for train in trains for label in _classes(train))
    found = {f.name: _classes(f, known) for f in node.folders if f.name in splits}
    agreed = any(
        known & {label.name for label in labels}
        for name, labels in found.items()
        if splits[name] != "train"
    )
    places: list[Place] = []
    taken: dict[SplitName, Tree] = {}
    # An exact name comes first: beside "train", a "train_small" is likely a copy of part of it.
    for folder in sorted(node.folders, key=lambda f: split_named(f.name) is None):
        name = folder.name
        if name not in splits:
            _check_stranger(node, folder, trains[0], known, agreed=agreed)
            notes.append(_left_out(folder, "it is none of the splits"))
            continue
        split, labels = splits[name], found[name]
        if not labels:
            notes.append(_left_out(folder, "it has no class folders"))
            continue
        if not _share_a_class(known, labels):
            inside = ", ".join(printable(label.name) for label in labels[:3])
            notes.append(_left_out(folder, f"none of its folders ({inside}) is a class of train"))
            continue
        if split in taken and _same_files(taken[split], folder):
            why = f"it holds files of the same names as {printable(taken[split].name)}/"
            notes.append(_left_out(folder, why))
            continue
        taken.setdefault(split, folder)
        if loose := len(folder.images):
            notes.append(
                f"{counted(loose, 'image')} beside the classes of {printable(name)}/ left out"
            )
        # "train" stays FREE: what it does not publish beside it is cut out of it.
        fixed = FREE if split == "train" else SPLITS.index(split)
        places += [Place(fixed, printable(label.name), label) for label in labels]
    return places


def _share_a_class(known: frozenset[str], labels: Sequence[Tree]) -> bool:
    """Whether folders hold a class that trains, perhaps in another spelling, which is refused later."""
    names = {plain_name(name) for name in known}
    return any(plain_name(label.name) in names for label in labels)


def _check_stranger(
    node: Tree, folder: Tree, train: Tree, known: frozenset[str], *, agreed: bool
) -> None:
    """Refuse a folder that may be a class beside another class that is called like a split."""
    if not folder.images or agreed or known & _inner_names(folder):
        return
    where, one, other = printable(node.path), printable(train.name), printable(folder.name)
    raise DataError(
        f"{where}: {one}/ holds class folders as a split does, and {other}/ holds images as a class "
        f"does; move {other}/ away if {one}/ is a split, or rename {one}/ if it is a class"
    )


def _refuse_splits_without_classes(
    node: Tree, splits: dict[str, SplitName], table: str | None
) -> None:
    named = [f for f in node.pictured if f.name in splits]
    kinds = {splits[f.name] for f in named}
    where, listed = printable(node.path), _names(named)
    if "train" not in kinds and named and any(_classes(f) for f in named):
        raise DataError(
            f"{where}: {listed} named like a split, and no folder is named train; wanted "
            f"{where}/train/<class>/*.jpg beside them"
        )
    if "train" in kinds and (len(kinds) > 1 or len(named) == len(node.pictured)):
        what = "like a split, and holds" if len(named) == 1 else "like splits, and hold"
        raise DataError(
            f"{where}: {listed} named {what} images without class folders; wanted "
            f"{where}/train/<class>/*.jpg, other names if these are classes, or {_csv(table)}"
        )


def _class_places(node: Tree, notes: list[str], table: str | None) -> list[Place]:
    if places := _split_inside_classes(node, notes):
        return places
    labels = [_without_masks(f, notes) for f in node.folders]
    labels = [f for f in labels if f.count or not (f.folders or f.others)]
    names = {f.name for f in labels}
    kept = []
    for label in labels:
        again = _inner_names(label) & (names - {label.name})
        if not label.images and len(again) >= 2 and 2 * len(again) >= len(label.pictured):
            notes.append(_left_out(label, "it holds the same class folders again"))
        else:
            kept.append(label)
    notes += [_left_out(f, "it holds no images") for f in node.folders if not f.count and f.others]
    if node.images:
        notes.append(f"{counted(len(node.images), 'image')} outside the class folders left out")
    if len(kept) == 1 and kept[0].name.lower() in _IMAGES:
        raise DataError(_nothing(kept[0], table))
    _refuse_same_folders(node, kept)
    return [Place(FREE, printable(label.name), label) for label in kept]


def _split_inside_classes(node: Tree, notes: list[str]) -> list[Place]:
    """Read `<class>/{train,test}/*`, where every class folder is divided so."""
    places = []
    for label in node.pictured:
        split = {f.name: split_named(f.name) for f in label.pictured}
        if label.images or "train" not in split.values() or None in split.values():
            return []
        if any(f.pictured for f in label.pictured):
            return []
        for folder in label.pictured:
            which = split[folder.name]
            fixed = FREE if which in {None, "train"} else SPLITS.index(which)
            places.append(Place(fixed, printable(label.name), folder))
    if len(node.pictured) < 2 or all(place.fixed == FREE for place in places):
        return []
    notes.append("every class folder has splits of its own inside, which were kept")
    return places


def _without_masks(folder: Tree, notes: list[str]) -> Tree:
    """Leave out the masks that lie beside a folder of images: they are no pictures to tell apart."""
    names = {f.name.lower() for f in folder.pictured}
    if not names & _IMAGES or not names & _MASKS:
        return folder
    masks = [f for f in folder.folders if f.name.lower() in _MASKS]
    notes += [
        _left_out(replace(f, name=f"{folder.name}/{f.name}"), "it holds masks")
        for f in masks
        if f.count
    ]
    return replace(folder, folders=tuple(f for f in folder.folders if f not in masks))


def _refuse_same_folders(node: Tree, labels: Sequence[Tree]) -> None:
    for number, one in enumerate(labels):
        inside = {f.name for f in one.pictured}
        if one.images or len(inside) < 2:
            continue
        same = [one]
        for other in labels[number + 1 :]:
            there = {f.name for f in other.pictured}
            both = len(inside & there)
            if not other.images and both >= 2 and 2 * both >= max(len(inside), len(there)):
                same.append(other)
        if len(same) > 1:
            where = printable(node.path)
            few = ", ".join(sorted(map(printable, inside))[:3])
            raise DataError(
                f"{where}: {_names(same)} no plain classes: they hold the same folders ({few}…), as "
                f"splits or copies of one data set do; give one of them ({printable(one.path)}), name "
                f"them train, val and test, or {_csv(None)}"
            )


def _inner_names(folder: Tree, depth: int = _DEPTH) -> set[str]:
    """Names of the folders with images below a folder."""
    found = {f.name for f in folder.pictured}
    for inner in folder.pictured if depth > 1 else ():
        found |= _inner_names(inner, depth - 1)
    return found


def _same_files(one: Tree, other: Tree) -> bool:
    first = {_tail(path) for tree in one.every() for path in tree.images}
    return any(_tail(path) in first for tree in other.every() for path in tree.images)


def _tail(path: str) -> tuple[str, ...]:
    return tuple(path.rsplit("/", 2)[-2:])


def _one_form(places: Sequence[Place], notes: list[str]) -> tuple[Place, ...]:
    """Make one class of names that are the same letters in two Unicode forms (NFC, NFD)."""
    forms: dict[str, set[str]] = {}
    for place in places:
        forms.setdefault(unicodedata.normalize("NFC", place.label), set()).add(place.label)
    twice = {label: whole for whole, labels in forms.items() if len(labels) > 1 for label in labels}
    for whole in sorted(set(twice.values())):
        notes.append(f"class {whole!r} is written in two Unicode forms, taken for one class")
    return tuple(replace(p, label=twice.get(p.label, p.label)) for p in places)


def _left_out(folder: Tree, why: str) -> str:
    held = f" ({counted(folder.count, 'image')})" if folder.count else ""
    return f"{printable(folder.name)}/ was left out{held}: {why}"


def _names(folders: Sequence[Tree]) -> str:
    """List folders by name, and the verb after them: `a/ and b/ are`."""
    names = [f"{printable(f.name)}/" for f in folders[:4]]
    if len(folders) > 4:
        names.append(f"{len(folders) - 4} more")
    listed = " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else ""
    return f"{listed} {'is' if len(folders) == 1 else 'are'}"


def _csv(table: str | None) -> str:
    return f"give the table {table}" if table else "list the images in a CSV file of path,label"


def _nothing(node: Tree, table: str | None) -> str:
    where, loose = printable(node.path), len(node.images)
    what = f"{loose} images and no class folders" if loose else "no class folders"
    hint = f"; or {_csv(table)}" if table else ""
    return f"{where}: {what}; wanted {where}/<class>/*.jpg, one folder a class{hint}"
