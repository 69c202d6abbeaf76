"""A trained network as a model that needs no archsearch: written, loaded again and compared."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import load, read_facts
from archsearch.data.sources.deep import ranges_in
from archsearch.errors import UserError
from archsearch.exchange.cards.beside import write_card
from archsearch.exchange.checking.agreement import Exported, compared, size_of
from archsearch.exchange.checking.reloading import answers_afresh
from archsearch.exchange.formats.format import Format, Need, Trained, why_unusable
from archsearch.exchange.formats.read_back import is_export
from archsearch.exchange.formats.registry import DEFAULT_FORMAT, find_format, format_for
from archsearch.exchange.place import check_place, new_at
from archsearch.ir.codec import from_json
from archsearch.training.weights import load_weights

_COMPARED: Final = 64
"""Validation images on which an exact model is compared; another one is on all of them."""
_CALIBRATION: Final = 200
"""Training images from which the ranges of values are read, where they are rounded."""
_BATCH: Final = 256
_TRAINED_BY: Final = (Need("tensorflow", "tensorflow"),)
"""What runs the trained network itself, with which every export is compared."""


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
    """A folder or a file, as the format has it."""
    format: str = DEFAULT_FORMAT
    """The name of one that is installed."""
    overwrite: bool = False
    about: str = "{}"
    """JSON: which training it holds, and what else the model is to say of itself."""


def export(request: ExportRequest) -> Exported:
    """Export, load what was written in a new process, and compare it with the network; a card beside it.

    Raises:
        UserError: the output exists, its name does not fit the format, or a package is missing.
        ArchsearchError: the weights are not this network's, or the reloaded model disagrees.
    """
    out, form = check_out(request), find_format(request.format)
    import keras

    keras.backend.clear_session()
    trained = read_trained(request)
    made = export_trained(trained, form, out, overwrite=request.overwrite)
    write_card(trained, form, made.path, load(Path(request.dataset)).test)
    return made


def read_trained(request: ExportRequest) -> Trained:
    """Return the network, its weights and what is needed of its dataset, as read.

    Raises:
        ArchsearchError: something is missing or damaged.
    """
    data, kept = load(Path(request.dataset)), read_facts(Path(request.dataset))
    chosen = np.random.default_rng(0).permutation(len(data.train))[:_CALIBRATION]
    return Trained(
        graph=from_json(request.graph),
        weights=load_weights(Path(request.weights)),
        classes=data.classes,
        mean=data.mean,
        std=data.std,
        dataset=data.name,
        sample=data.val.images,
        labels=data.val.labels,
        calibration=data.train.images[np.sort(chosen)],
        # Images prepared by an earlier version were cropped; it did not say so.
        resize=kept.get("resize", "crop"),
        about={**_data_facts(kept), **json.loads(request.about)},
    )


def _data_facts(kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return how images were read and split, for whoever is going to ask or judge the model."""
    content = str(kept.get("content", ""))
    split = {name: kept[name] for name in ("content", "seed", "fractions") if name in kept}
    return {
        "ranges": {kind: asdict(scale) for kind, scale in ranges_in(content).items()},
        "data": {"digest": kept["digest"], **split, "counts": kept["splits"]},
    }


def export_trained(
    trained: Trained, form: Format, out: Path, *, overwrite: bool = False
) -> Exported:
    """Write a model beside `out`, compare it with the network on its sample, and rename it.

    Raises:
        UserError: as `check_out`.
        ArchsearchError: the weights are not this network's, or the reloaded model disagrees.
    """
    _check(form, out, overwrite=overwrite)
    trained = replace(trained, about={"format": form.name, **trained.about})
    count = _COMPARED if form.exact else len(trained.sample)
    images, labels = np.asarray(trained.sample[:count]), trained.labels[:count]
    wanted = trained_probabilities(trained, images)
    with new_at(out) as part:
        form.write(trained, part)
        found = compared(answers_afresh(form, part, images), wanted, labels, exact=form.exact)
        size = size_of(part)
    return Exported(path=out, format=form.name, size_bytes=size, **found)


def check_out(request: ExportRequest) -> Path:
    """Return where the export goes; the folder above it is made.

    Raises:
        UserError: there is no such format, a package for it is missing, something is there already, the
            name does not fit the format, or nothing can be written there.
    """
    out = Path(request.out)
    _check(find_format(request.format), out, overwrite=request.overwrite)
    return out


def why_no_export(form: Format) -> str | None:
    """Return in one line which packages are missing and how to install them; None: none is."""
    return why_unusable(form, others=_TRAINED_BY)


def trained_probabilities(
    trained: Trained, images: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """Return the probabilities (n, classes) of the network as it was trained.

    Args:
        trained: the network.
        images: (n, height, width, channels).

    Raises:
        ArchsearchError: the weights are another network's.
    """
    from archsearch.exchange.formats.keras_network import keras_network

    shift, scale = trained.preprocessing()
    model = keras_network(trained, lowering="train")
    parts = [
        np.asarray(model((images[at : at + _BATCH] - shift) / scale, training=False), np.float64)
        for at in range(0, len(images), _BATCH)
    ]
    logits = np.concatenate(parts)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]


def _check(form: Format, out: Path, *, overwrite: bool) -> None:
    if form.suffix and (out.suffix != form.suffix or out.name == form.suffix):
        raise UserError(
            f"{out} does not fit --format {form.name}: a {form.suffix} file's name ends in "
            f"{form.suffix}, like model{form.suffix}"
        )
    if not form.suffix and (fits := format_for(out)) != DEFAULT_FORMAT:
        raise UserError(
            f"{out} does not fit --format {form.name}, which is a folder; a {out.suffix} file "
            f"is --format {fits}"
        )
    if (why := why_no_export(form)) is not None:
        raise UserError(why)
    check_place(out, overwrite=overwrite, ours=Path.is_file if form.suffix else is_export)
