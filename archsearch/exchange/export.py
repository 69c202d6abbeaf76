"""A trained network as a model that needs no archsearch: a SavedModel or a `.keras` file."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Dataset, load
from archsearch.errors import ArchsearchError, UserError
from archsearch.ir.codec import from_json
from archsearch.training.weights import load_weights, set_weights

Format: TypeAlias = Literal["saved_model", "keras"]

_COMPARED = 64  # real images on which the reloaded model must agree
_TOLERANCE = 1e-3  # of a probability


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """What to export and where; plain values, so that they go to another process."""

    graph: str
    """Graph JSON."""
    weights: str
    """File that a job left."""
    dataset: str
    """Folder of the prepared dataset: class names, preprocessing, images to compare on."""
    out: str
    """A folder for a SavedModel, a file ending in `.keras` otherwise."""
    format: Format = "saved_model"
    overwrite: bool = False


def export(request: ExportRequest) -> Path:
    """Export, reload what was written, and compare it with the trained network on real images.

    A SavedModel's `serve` signature takes uint8 images (n, height, width, channels) and returns
    `probabilities` (n, classes), `class_index` and `class_name`; a `.keras` model takes the same
    images and returns probabilities, and lists its classes in its `archsearch.json`. Imports
    TensorFlow.

    Raises:
        UserError: the output exists, or its name does not fit the format.
        ArchsearchError: the weights are not this network's, or the reloaded model disagrees.
    """
    import keras

    from archsearch.training.lowering.keras_model import build_model

    out = check_out(request)
    keras.backend.clear_session()
    graph, data = from_json(request.graph), load(Path(request.dataset))
    # Inference needs none of Keras's own grouped convolution, which is XLA's, compiled anew for
    # every batch length; a SavedModel holds operations, so no layer of archsearch is in it.
    model = build_model(graph, lowering="train" if request.format == "saved_model" else "plain")
    set_weights(model, load_weights(Path(request.weights)))
    images = data.val.images[:_COMPARED]
    wanted = _trained_probabilities(request, model, data, images)
    facts = {
        "classes": list(data.classes),
        "input": list(data.input),
        "mean": list(data.mean),
        "std": list(data.std),
        "dataset": data.name,
        "graph": json.loads(request.graph),
    }
    with _new(out) as part:
        if request.format == "saved_model":
            mean, std = _preprocessing(data)
            write_saved_model(model, part, mean=mean, std=std, facts=facts)
            got = _call_saved_model(part, images, data)
        else:
            _write_keras(model, data, part, facts)
            got = _call_keras(part, images)
        worst = float(np.abs(got - wanted).max())
        if not worst <= _TOLERANCE:
            raise ArchsearchError(
                f"the exported model disagrees with the trained one: probabilities differ by up to "
                f"{worst:.2g} on {len(images)} images; nothing was written"
            )
    return out


def check_out(request: ExportRequest) -> Path:
    """Return where the export goes; the folder above it is made.

    Raises:
        UserError: something is there already, the name does not fit the format, or nothing can be written
            there.
    """
    out = Path(request.out)
    if request.format not in ("saved_model", "keras"):
        raise UserError(f"no format {request.format!r}; there are saved_model and keras")
    if (request.format == "keras") != (out.suffix == ".keras"):
        raise UserError(
            f"{out} does not fit --format {request.format}: a .keras file's name ends in .keras, "
            "a SavedModel is a folder"
        )
    if out.name in ("", ".."):  # what is there would have to be moved away under the caller's feet
        raise UserError(
            f"{out} can't become a model; give a folder of its own, like {out / 'model'}"
        )
    try:
        if not request.overwrite and out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise UserError(f"{out} exists; give another --out, or --force to replace it")
        _try_writing(out)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{out} can't be written: {out.parent} is no folder") from None
    except (OSError, ValueError) as error:  # a NUL in the name
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise UserError(f"{out} can't be written ({reason}); give another --out") from None
    return out


def _try_writing(out: Path) -> None:
    """Make the folder above and, for a moment, another one in it: permissions alone do not tell."""
    out.parent.mkdir(parents=True, exist_ok=True)
    tried = _beside(out, "test")
    tried.mkdir(exist_ok=True)
    tried.rmdir()


def _beside(out: Path, what: str) -> Path:
    """Name a place of this process next to `out`; the suffix stays, as Keras goes by it."""
    return out.with_name(f".{out.stem}.{os.getpid()}.{what}{out.suffix}")


def _trained_probabilities(
    request: ExportRequest, model: Any, data: Dataset, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Ask the network as it was trained: the training lowering, normalised as in training."""
    from archsearch.training.lowering.keras_model import build_model

    if request.format == "keras":
        trained = build_model(from_json(request.graph), lowering="train")
        trained.set_weights(model.get_weights())
        model = trained
    mean, std = _preprocessing(data)
    x = (images.astype(np.float32) - mean) / std
    logits = np.asarray(model(x, training=False), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def _preprocessing(data: Dataset) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    return (
        np.asarray(data.mean, np.float32),
        np.maximum(np.asarray(data.std, np.float32), np.float32(1e-3)),
    )


def write_saved_model(
    model: Any,
    out: Path,
    *,
    mean: npt.NDArray[np.float32],
    std: npt.NDArray[np.float32],
    facts: Mapping[str, Any],
) -> None:
    """Write a model (float images in, logits out) as a SavedModel that takes uint8 images.

    Args:
        model: built in this process, its weights set.
        out: the folder.
        mean: of the preprocessing, one number a channel.
        std: likewise.
        facts: what `archsearch.json` says; `classes` and `input` (height, width, channels) count.
    """
    import tensorflow as tf

    module = tf.Module()
    module.trained = [variable.value for variable in model.variables]
    module.names = tf.constant(list(facts["classes"]))

    def answer(images: Any) -> dict[str, Any]:
        logits = model((tf.cast(images, tf.float32) - mean) / std, training=False)
        index = tf.argmax(logits, axis=-1)
        return {
            "probabilities": tf.nn.softmax(logits),
            "class_index": index,
            "class_name": tf.gather(module.names, index),
        }

    spec = tf.TensorSpec((None, *facts["input"]), tf.uint8, name="images")
    serve = tf.function(answer, input_signature=[spec])
    module.serve = serve
    # `serve` is the name; TensorFlow Serving and others look for the default one.
    tf.saved_model.save(module, str(out), signatures={"serve": serve, "serving_default": serve})
    extra = out / "assets.extra"
    extra.mkdir(exist_ok=True)
    (extra / "archsearch.json").write_text(json.dumps(facts, indent=1), encoding="utf-8")


def _call_saved_model(
    out: Path, images: npt.NDArray[np.uint8], data: Dataset
) -> npt.NDArray[np.float64]:
    import tensorflow as tf

    answer = tf.saved_model.load(str(out)).signatures["serve"](images=tf.constant(images))
    names = [name.decode() for name in answer["class_name"].numpy()]
    if names != [data.classes[index] for index in answer["class_index"].numpy()]:
        raise ArchsearchError("the exported model's class names are not the dataset's")
    return np.asarray(answer["probabilities"], np.float64)


def _write_keras(model: Any, data: Dataset, out: Path, facts: dict[str, Any]) -> None:
    import warnings
    import zipfile

    import keras

    mean, std = _preprocessing(data)
    images = keras.Input(data.input, dtype="uint8", name="images")
    x = keras.layers.Rescaling((1 / std).tolist(), (-mean / std).tolist(), name="preprocessing")(
        images
    )
    probabilities = keras.layers.Softmax(name="probabilities")(model(x))
    with warnings.catch_warnings():
        # Keras 3.15 saves variables through np.array(), which NumPy 2.4 warns about.
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
        keras.Model(images, probabilities, name="archsearch_export").save(out)
    with zipfile.ZipFile(out, "a") as file:
        file.writestr("archsearch.json", json.dumps(facts, indent=1))


def _call_keras(out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    import keras

    model = keras.models.load_model(out, safe_mode=True, compile=False)
    return np.asarray(model(images, training=False), np.float64)


def clear_leftovers(out: Path) -> None:
    """Clear away what a killed export to `out` has left; a model that it was to replace comes back."""
    for leftover in out.parent.glob(f".{out.stem}.*.old{out.suffix}"):
        if not out.exists():
            leftover.replace(out)
        _remove(leftover)
    for leftover in out.parent.glob(f".{out.stem}.*.part{out.suffix}"):
        _remove(leftover)


@contextmanager
def _new(out: Path) -> Iterator[Path]:
    """Give a place to write to that becomes `out` when all went well, and vanishes otherwise."""
    clear_leftovers(out)
    part, old = _beside(out, "part"), _beside(out, "old")
    try:
        yield part
        if out.exists():
            out.replace(old)
        part.replace(out)
    finally:
        for leftover in (part, old):
            _remove(leftover)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
