"""The seam for export formats: what each is given, and what it has to do."""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

FACTS_FILE: Final = "archsearch.json"
"""What a format stores inside a model, where it can: the network, its classes and preprocessing."""


@dataclass(frozen=True, slots=True)
class Need:
    """A package that a format imports.

    Attributes:
        module: what is imported, such as `tensorflow`.
        install: what pip is given for it, such as `archsearch[onnx]`.
    """

    module: str
    install: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """A trained network and all that an export may hold of it; no framework.

    Attributes:
        graph: from preprocessed float images (height, width, channels) to a raw score (logit) a class.
        weights: by layer, `layer:0`, `layer:1`, …: shapes are Keras's (see `initial_weights`), a batch
            normalization's are gamma, beta, moving mean, moving variance.
        classes: names, in the order of the scores.
        mean: of the training images (0 to 255), one number a channel.
        std: likewise their standard deviation.
        dataset: its name.
        sample: validation images (n, height, width, channels), uint8: answers are compared on these.
        labels: their classes (n,), as numbers.
        calibration: training images, likewise: what ranges of values are read from, where a format
            rounds them.
        resize: how images of another shape got to the network's, `crop` or `squash`.
        about: what else the model is to say of itself, as JSON values: how images are read, which
            training it holds, the data's digest.
    """

    graph: Graph
    weights: "Mapping[str, npt.NDArray[Any]]"
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    dataset: str
    sample: "npt.NDArray[np.uint8]"
    labels: "npt.NDArray[np.int64]"
    calibration: "npt.NDArray[np.uint8]"
    resize: str = "crop"
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> tuple[int, int, int]:
        """The image's (height, width, channels)."""
        return self.graph.input

    def preprocessing(self) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]":
        """Return (shift, scale), a number a channel: the network takes (image - shift) / scale."""
        return preprocessing(self.mean, self.std)

    def facts(self) -> str:
        """Return what FACTS_FILE holds, as JSON."""
        facts = {
            "classes": list(self.classes),
            "input": list(self.input),
            "mean": list(self.mean),
            "std": list(self.std),
            "dataset": self.dataset,
            "resize": self.resize,
            **self.about,
            "graph": json.loads(to_json(self.graph)),
        }
        return json.dumps(facts, indent=1)


def preprocessing(
    mean: Sequence[float], std: Sequence[float]
) -> "tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]":
    """Return (shift, scale) of images with these statistics (see `Trained.preprocessing`)."""
    import numpy as np

    scale = np.maximum(np.asarray(std, np.float32), np.float32(1e-3))
    return np.asarray(mean, np.float32), scale


@runtime_checkable
class Format(Protocol):
    """What a network can be exported as: from uint8 images to probabilities, preprocessing included.

    One is found by an entry point of its name in the group `archsearch.formats`, which names an
    object like this. Whoever exports checks the place, writes beside it and renames what is whole,
    and compares it with the trained network. Its module is imported by commands that export nothing:
    it imports what it needs where it is used. `archsearch.testing.format_case` holds a format to this.
    """

    @property
    def name(self) -> str:
        """What `--format` calls it, such as `saved_model` or `onnx-int8`; the entry point's name."""
        ...

    @property
    def suffix(self) -> str:
        """What the file's name ends in, such as `.keras`: a dot, letters and digits; '' for a folder."""
        ...

    @property
    def needs(self) -> tuple[Need, ...]:
        """Packages that must be there to write a model and to call it."""
        ...

    @property
    def exact(self) -> bool:
        """Whether answers are the trained network's but for the last digits of floats.

        Where they are not, as numbers are rounded to 8 bits, what that costs on all validation images is
        measured and said.
        """
        ...

    def write(self, trained: Trained, out: "Path") -> None:
        """Write a model to `out`, where nothing is, and nothing anywhere else.

        Raises:
            UserError: the network has an operation that the format does not hold; one line, naming it.
        """
        ...

    def call(self, out: "Path", images: "npt.NDArray[np.uint8]") -> "npt.NDArray[Any]":
        """Load what was written, as its users would, and ask it.

        Args:
            out: the file or folder.
            images: (n, height, width, channels), n whatever it likes. Floats of 0 to 1, which users try, are
                an error or the same answers, never those to a black image.

        Returns:
            Probabilities (n, classes).
        """
        ...


def file_name(form: Format) -> str:
    """Return what a model is called where nobody has said: `saved_model`, `model.keras`."""
    stem = "model" if form.suffix == f".{form.name}" else form.name
    return stem + form.suffix


def why_unusable(form: Format, *, others: tuple[Need, ...] = ()) -> str | None:
    """Return in one line what a format lacks and how to install it; None: nothing.

    Args:
        form: the format.
        others: packages that are needed besides its own.
    """
    missing = [need for need in (*others, *form.needs) if find_spec(need.module) is None]
    if not missing:
        return None
    modules = list(dict.fromkeys(need.module for need in missing))
    are = "is" if len(modules) == 1 else "are"
    *first, last = modules
    named = f"{', '.join(first)} and {last}" if first else last
    install = " ".join(shlex.quote(name) for name in dict.fromkeys(n.install for n in missing))
    return (
        f"exporting as {form.name} needs {named}, which {are} not installed: pip install {install}"
    )
