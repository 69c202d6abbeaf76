"""An exported model, opened: what it says of itself, and its answers to images of the right size."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from archsearch.data.arrays.ranges import Range
from archsearch.data.dataset import Images
from archsearch.data.sources.items import Resize, Size
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.formats.format import Format
from archsearch.exchange.formats.read_back import Answers, Loads, answers_of, format_of, read_facts
from archsearch.units import printable


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What an exported model says of itself (see `Trained.facts`).

    Attributes:
        classes: their names, in the order of the probabilities.
        input: height, width and channels of the images it takes.
        mean, std: of the training images, one number a channel.
        dataset: name of the data it was trained on.
        resize: how images of another shape get there; None: a model of an earlier version.
        ranges: the values that become 0..255, of images of more than 8 bits.
        training: which training it holds and what that came to; empty: not known.
        data: digest, content and split of the data; empty: not known.
        graph: its network, as JSON values.
    """

    classes: tuple[str, ...]
    input: Size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    resize: Resize | None
    ranges: Mapping[str, Range]
    training: Mapping[str, Any]
    data: Mapping[str, Any]
    graph: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is loaded."""

    path: Path
    form: Format
    facts: ModelFacts
    answers: Answers

    @property
    def stays_loaded(self) -> bool:
        """Whether a call is only a call; else the model is loaded anew with each."""
        return isinstance(self.form, Loads)

    def probabilities(self, images: Images, length: int) -> npt.NDArray[Any]:
        """Return (n, classes) for at most `length` images.

        Batches are filled up to one length: some runtimes compile anew for every other one.

        Raises:
            ArchsearchError: the answers have another shape.
        """
        batch = images
        if len(images) < length:
            batch = np.zeros((length, *images.shape[1:]), np.uint8)
            batch[: len(images)] = images
        found = self.answers(batch)
        wanted = (len(batch), len(self.facts.classes))
        if found.shape != wanted:
            raise ArchsearchError(
                f"{printable(self.path)} answers with shape {found.shape}, not (images, classes) = "
                f"{wanted}"
            )
        return found[: len(images)]


def open_model(path: str | Path) -> Model:
    """Open an exported model, of any installed format.

    Raises:
        UserError: it is none, or a package is missing.
        ArchsearchError: it is damaged.
    """
    place = Path(path)
    form = format_of(place)
    facts = model_facts(form, place)
    try:
        answers = answers_of(form, place)
    except ArchsearchError:
        raise
    except Exception as error:  # libraries raise nearly every type there is
        said = " ".join(str(error).split())[:300]
        raise ArchsearchError(
            f"{printable(place)} can't be loaded as {form.name}: {type(error).__name__}: {said}"
        ) from error
    return Model(path=place, form=form, facts=facts, answers=answers)


def model_facts(form: Format, path: Path) -> ModelFacts:
    """Read what a model says of itself, and nothing else of it.

    Raises:
        UserError: it says nothing.
        ArchsearchError: what it says is damaged.
    """
    text = read_facts(form, path)
    try:
        found = json.loads(text)
        height, width, channels = (int(side) for side in found["input"])
        return ModelFacts(
            classes=tuple(map(str, found["classes"])),
            input=(height, width, channels),
            mean=tuple(map(float, found["mean"])),
            std=tuple(map(float, found["std"])),
            dataset=str(found["dataset"]),
            resize=found.get("resize"),
            ranges={kind: Range(**scale) for kind, scale in found.get("ranges", {}).items()},
            training=found.get("training", {}),
            data=found.get("data", {}),
            graph=found["graph"],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArchsearchError(
            f"what {printable(path)} says of itself is damaged "
            f"({type(error).__name__}: {error}); export it again"
        ) from error


def held_training(path: Path) -> str:
    """Say which training a model holds, with that training's own accuracies."""
    try:
        training = model_facts(format_of(path), path).training
    except UserError:  # a format that keeps no facts
        training = {}
    if not training:
        return "a training that it does not name"
    names = (("validation", "val_accuracy"), ("test", "test_accuracy"))
    own = [f"{name} {training[key]:.1%}" for name, key in names if training.get(key) is not None]
    return f"training {training['key']}" + (f" ({', '.join(own)})" if own else "")
