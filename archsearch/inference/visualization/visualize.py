"""A folder of pictures of what a network sees in some images, and a page that shows them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from archsearch.data.dataset import Images
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import BadImageError
from archsearch.errors import DataError, UserError
from archsearch.exchange.formats.format import preprocessing
from archsearch.exchange.formats.read_back import HoldsWeights
from archsearch.exchange.formats.registry import load_formats
from archsearch.exchange.place import check_place, new_at
from archsearch.inference.exported import Model
from archsearch.inference.predict import file_decoder
from archsearch.inference.visualization import pictures
from archsearch.inference.visualization.inside import Inside
from archsearch.inference.visualization.occlusion import occlusion_map
from archsearch.inference.visualization.page import Figure, Section, is_page, page
from archsearch.inference.visualization.strongest import strongest_units
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.ir.ops import Conv
from archsearch.units import format_size, printable

PAGE: Final = "index.html"
Progress = Callable[[int, int], None]
_BATCH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """How much is shown.

    Attributes:
        shown: images with maps of their own; the strongest units are looked for in all.
        units: channels a stage.
        examples: images a channel.
        label: the class that maps explain; None: the one that the model names.
    """

    shown: int = 8
    units: int = 6
    examples: int = 4
    label: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Visualized:
    """What came of it: the page, its pictures, and the files that could not be read with reasons."""

    page: Path
    pictures: tuple[str, ...]
    bad: tuple[tuple[str, str], ...]


def visualize(
    model: Model,
    files: Sequence[Path],
    out: Path,
    *,
    wanted: Wanted | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Visualized:
    """Write a folder with a page and PNGs: Grad-CAM a stage, occlusion, strongest units, first filters.

    Args:
        model: whose weights its format gives back.
        files: images; all are held in memory.
        out: the folder.
        wanted: how much is shown.
        overwrite: replace what is at `out`.
        progress: told how far it is, in steps.

    Raises:
        UserError: the model's format does not give weights back, there is no such class, or something is
            at `out` (with `overwrite`: something else than such a folder).
        DataError: no image can be read.
        ArchsearchError: the model does not hold the weights of its own network.
    """
    wanted = wanted or Wanted()
    check_place(out, overwrite=overwrite, ours=lambda folder: is_page(folder / PAGE))
    number = _number(model, wanted.label)
    inside = _inside(model)
    images, names, bad = _images(model, files)
    with new_at(out) as part:
        part.mkdir()
        drawn = _Drawn(part, progress or (lambda done, total: None))
        sections = _sections(model, inside, images, names, wanted, number, drawn)
        text = page(f"What {model.path.name} sees", _about(model, len(images)), sections)
        (part / PAGE).write_text(text, encoding="utf-8")
    return Visualized(page=out / PAGE, pictures=tuple(drawn.names), bad=tuple(bad))


@dataclass(slots=True)
class _Drawn:
    """Writes pictures into a folder, and tells how far it is."""

    folder: Path
    progress: Progress
    steps: int = 1
    names: list[str] = field(default_factory=list)

    def keep(self, name: str, image: Image.Image) -> str:
        image.save(self.folder / name)
        self.names.append(name)
        return name

    def step(self, done: int) -> None:
        self.progress(done, self.steps)


def _sections(
    model: Model,
    inside: Inside,
    images: Images,
    names: Sequence[str],
    wanted: Wanted,
    number: int | None,
    drawn: _Drawn,
) -> list[Section]:
    shown = min(wanted.shown, len(images))
    drawn.steps = shown + len(inside.ends) + 1
    found = np.concatenate(
        [
            model.probabilities(images[at : at + _BATCH], _BATCH)
            for at in range(0, len(images), _BATCH)
        ]
    )
    explained = found.argmax(axis=1) if number is None else np.full(len(images), number)
    class_maps = inside.class_maps(images[:shown], explained[:shown].tolist())
    sections = []
    for index in range(shown):
        share = found[index, explained[index]]
        label = f"{model.facts.classes[explained[index]]} {share:.1%}"
        figures = _of_image(
            model, inside, images[index], [stage[index] for stage in class_maps],
            int(explained[index]), f"image{index + 1}", drawn,
        )  # fmt: skip
        sections.append(Section(f"{names[index]}: {label}", "", figures))
        drawn.step(index + 1)
    maps, _ = inside.maps(images)
    for end, node in enumerate(inside.ends):
        figures = _of_stage(inside, images, names, end, maps[end], wanted, drawn)
        size = format_size(tuple(int(side) for side in node.shape))  # type: ignore[arg-type]
        sections.append(Section(f"Strongest units of {node.name}, {size}", _UNITS, figures))
        drawn.step(shown + end + 1)
    sections += _first_filters(inside.graph, model, drawn)
    drawn.step(drawn.steps)
    return sections


_UNITS: Final = (
    "Channels that stand out most, each with the images that drive it most: above the patch of the image "
    "that reaches the unit, below the unit sent back to the image by a deconvnet (grey: nothing)."
)


def _of_image(
    model: Model,
    inside: Inside,
    image: Images,
    class_maps: Sequence[npt.NDArray[Any]],
    number: int,
    name: str,
    drawn: _Drawn,
) -> list[Figure]:
    """Draw an image, its Grad-CAM at each stage's end, and its occlusion map."""
    figures = [Figure(drawn.keep(f"{name}.png", pictures.picture(image)), "as the model takes it")]
    for node, found in zip(inside.ends, class_maps, strict=True):
        file = f"{name}-cam-{_file_part(node.name)}.png"
        caption = f"Grad-CAM, {node.name}" + (
            "" if found.any() else ": nothing speaks for the class"
        )
        figures.append(Figure(drawn.keep(file, pictures.overlay(image, found)), caption))
    loss = occlusion_map(model, image, number)
    caption = f"occlusion: up to {max(0.0, float(loss.max())):.1%} lost"
    file = drawn.keep(f"{name}-occlusion.png", pictures.overlay(image, loss))
    return [*figures, Figure(file, caption)]


def _of_stage(
    inside: Inside,
    images: Images,
    names: Sequence[str],
    end: int,
    found: npt.NDArray[Any],
    wanted: Wanted,
    drawn: _Drawn,
) -> list[Figure]:
    units = strongest_units(
        inside, images, end, found, units=wanted.units, examples=wanted.examples
    )
    figures = []
    for unit in units:
        sheet = pictures.pairs([(drive.patch, drive.back) for drive in unit.drives])
        file = drawn.keep(f"{_file_part(inside.ends[end].name)}-unit{unit.channel}.png", sheet)
        driven = ", ".join(f"{names[drive.image]} ({drive.value:.3g})" for drive in unit.drives)
        figures.append(Figure(file, f"channel {unit.channel}: {driven}"))
    return figures


def _first_filters(graph: Graph, model: Model, drawn: _Drawn) -> list[Section]:
    first = next((node for node in graph if isinstance(node.op, Conv)), None)
    if first is None or not isinstance(model.form, HoldsWeights):
        return []
    kernel = model.form.read_weights(model.path, graph)[f"{first.name}:0"]
    sheet = drawn.keep("first-filters.png", pictures.filters(kernel))
    what = f"The {kernel.shape[-1]} filters of {first.name}: grey is no weight, lighter more, darker less."
    return [Section("First filters", what, [Figure(sheet, first.name)])]


def _inside(model: Model) -> Inside:
    if not isinstance(model.form, HoldsWeights):
        able = [name for name, form in load_formats().items() if isinstance(form, HoldsWeights)]
        raise UserError(
            f"{printable(model.path)}: a model of format {model.form.name} does not give its weights back; "
            f"export it as {', '.join(able[:-1])} or {able[-1]}"
        )
    import json

    graph = from_json(json.dumps(model.facts.graph))
    shift, scale = preprocessing(model.facts.mean, model.facts.std)
    weights = model.form.read_weights(model.path, graph)
    return Inside(graph, weights, shift=shift, scale=scale)


def _number(model: Model, label: str | None) -> int | None:
    if label is None:
        return None
    if label not in model.facts.classes:
        raise UserError(
            f"no class {printable(label)!r}; the model knows {len(model.facts.classes)}: "
            f"{printable(', '.join(model.facts.classes[:10]))}"
        )
    return model.facts.classes.index(label)


def _images(model: Model, files: Sequence[Path]) -> tuple[Images, list[str], list[tuple[str, str]]]:
    decode = file_decoder(model.facts, files)
    images, names, bad = [], [], []
    with pillow():
        for index, file in enumerate(files):
            try:
                images.append(decode(index))
                names.append(printable(file))
            except BadImageError as error:
                bad.append((str(file), str(error)))
    if not images:
        raise DataError(f"no image can be read; the first, {printable(bad[0][0])}: {bad[0][1]}")
    return np.stack(images), names, bad


def _about(model: Model, images: int) -> str:
    return (
        f"{len(model.facts.classes)} classes of {model.facts.dataset}, images of "
        f"{format_size(model.facts.input)}; {images} looked at."
    )


def _file_part(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name)
