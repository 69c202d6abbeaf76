"""How well a model answers on images whose classes are known, and how long a call takes."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import SPLITS, Images, Labels, load
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.files import FileSource
from archsearch.data.sources.items import FREE, Items
from archsearch.data.sources.names import open_source
from archsearch.data.split import TEST, assign
from archsearch.errors import DataError, UserError
from archsearch.exchange.cards.judged import call_latency
from archsearch.exchange.latency import Latency
from archsearch.inference.exported import Model, ModelFacts
from archsearch.inference.predict import Progress, answered
from archsearch.statistics.classification import Classification, classification
from archsearch.units import printable

ALL: Final = "all"
"""Every image of the data, whatever its split."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What came of asking a model about labelled images.

    Attributes:
        model: where it lies.
        data: name of the images.
        split: which of them, `test`, `val`, `train` or `all`.
        why: why these.
        scores: accuracy, per class, confusion, calibration.
        latency: of a call of one image; None: its format loads it anew with every call.
        bad: images that can't be read, with reasons.
    """

    model: str
    data: str
    split: str
    why: str
    scores: Classification
    latency: Latency | None
    bad: tuple[tuple[str, str], ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        bad = [{"file": name, "reason": reason} for name, reason in self.bad]
        return {**asdict(self), "scores": self.scores.to_dict(), "bad": bad}


def evaluate(
    model: Model,
    data: str,
    *,
    home: Path,
    split: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask a model about labelled images.

    Args:
        model: that is asked.
        data: what `--data` of a run takes, or a prepared folder (`mlruns/data/<digest>`).
        home: where a source may keep what it fetched.
        split: `test`, `val`, `train` or `all`. None: the test images that the data publish; of the data
            it was trained with the test images of its study; else all.
        workers: decoding threads; None takes one a CPU.
        progress: told how far it is.

    Raises:
        DataError: the data can't be used, or have no such split.
        UserError: a class is none of the model's.
    """
    chosen = _chosen(model.facts, data, home, split)
    labels, probabilities, bad = _asked(model, chosen, workers, progress)
    return Evaluation(
        model=str(model.path),
        data=chosen.name,
        split=chosen.split,
        why=chosen.why,
        scores=classification(labels, probabilities, model.facts.classes),
        latency=call_latency(model.form, model.answers, model.facts.input, seconds=0.5),
        bad=tuple(bad),
    )


def _asked(
    model: Model, chosen: "_Chosen", workers: int | None, progress: Progress | None
) -> tuple[Labels, npt.NDArray[Any], list[tuple[str, str]]]:
    """Return labels (n,) and probabilities (n, classes) of what can be read, and what can't with reasons.

    Raises:
        DataError: no image can be read.
    """
    numbers = _numbers(chosen.classes, model.facts, chosen.name)
    labels: list[Labels] = []
    rows: list[npt.NDArray[Any]] = []
    bad: list[tuple[str, str]] = []
    done = 0
    with pillow():
        for indices, found, unread in answered(
            model, chosen.decode, chosen.members, model.facts.input, workers
        ):
            labels.append(numbers[chosen.labels[indices]])
            rows.append(found)
            bad += [(chosen.where(index), reason) for index, reason in unread]
            done += len(indices) + len(unread)
            if progress:
                progress(done, len(chosen.members))
    if not any(map(len, rows)):
        name, reason = bad[0]
        raise DataError(f"{chosen.name}: no image can be read; the first, {name}: {reason}")
    return np.concatenate(labels), np.concatenate(rows), bad


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chosen:
    """Images to ask about: all of the data, and which of them."""

    name: str
    classes: tuple[str, ...]
    labels: Labels
    members: npt.NDArray[np.intp]
    split: str
    why: str
    decode: Callable[[int], Images]
    where: Callable[[int], str]


def _chosen(facts: ModelFacts, data: str, home: Path, split: str | None) -> _Chosen:
    if split not in {None, ALL, *SPLITS}:
        raise UserError(f"no split {split!r}; wanted test, val, train or all")
    if (Path(data) / "dataset.json").is_file():
        return _prepared(facts, Path(data), split or "test")
    source = open_source(data, home=home)
    same = bool(facts.data.get("content")) and source.content() == facts.data["content"]
    if isinstance(source, FileSource):
        source.read_as(facts.ranges)
    items = source.items()
    splits, why = _splits(items, facts) if same else (items.fixed, "")
    if split is None:
        published = bool(np.any(splits == TEST))
        split = "test" if published else ALL
        why = why or ("the test images that the data publish" if published else "all images")
    members = np.arange(len(items))
    if split != ALL:
        members = np.flatnonzero(splits == SPLITS.index(split))
        why = why or "as asked for"
    if not len(members):
        raise DataError(
            f"{items.name} publishes no {split} split; --split all takes all its images"
            if np.all(splits == FREE)
            else f"{items.name} has no image in its {split} split"
        )
    return _Chosen(
        name=items.name, classes=items.classes, labels=items.labels, members=members, split=split,
        why=why, where=items.where,
        decode=lambda index: items.decode(index, facts.input, facts.resize or "crop"),
    )  # fmt: skip


def _splits(items: Items, facts: ModelFacts) -> tuple[npt.NDArray[np.int8], str]:
    """Return the split of the model's own study, which follows from what the model says of its data."""
    fractions = facts.data["fractions"]
    split = assign(
        items.labels, items.fixed, classes=items.classes, seed=facts.data["seed"],
        val=fractions["val"], test=fractions["test"], groups=items.groups,
    )  # fmt: skip
    return split, "the data it was trained with, split as there"


def _prepared(facts: ModelFacts, folder: Path, split: str) -> _Chosen:
    found = load(folder)
    if found.input != facts.input:
        raise DataError(
            f"{printable(folder)} holds images of {found.input}, and the model takes {facts.input}; "
            "give the data they were made from"
        )
    parts = [found.split(name) for name in SPLITS if split in (ALL, name)]
    images = np.concatenate([part.images for part in parts]) if len(parts) > 1 else parts[0].images
    labels = np.concatenate([part.labels for part in parts])
    return _Chosen(
        name=found.name, classes=found.classes, labels=labels, members=np.arange(len(labels)),
        split=split, why="prepared images", decode=lambda index: images[index],
        where=lambda index: f"image {index}",
    )  # fmt: skip


def _numbers(classes: tuple[str, ...], facts: ModelFacts, name: str) -> Labels:
    """Return the model's number of each of the data's classes.

    Raises:
        UserError: the model does not know one of them.
    """
    known = {label: number for number, label in enumerate(facts.classes)}
    unknown = [label for label in classes if label not in known]
    if unknown:
        raise UserError(
            f"{printable(name)} has a class {printable(unknown[0])!r} that the model does not know; it "
            f"knows {len(known)}: {printable(', '.join(facts.classes[:10]))}"
        )
    return np.array([known[label] for label in classes], dtype=np.int64)
