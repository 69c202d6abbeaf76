"""A contact sheet: some pictures of every class on one page, as they are or as training changes them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import Augmentation, policy_for
from archsearch.augmentation.transforms import draw
from archsearch.data.dataset import Images
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import BadImageError, Items
from archsearch.data.spreading import spread
from archsearch.errors import DataError, UserError
from archsearch.units import printable

_CELL_PX = 72
_GAP_PX = 4
_LABEL_PX = 150
_ROWS = 40


def contact_sheet(
    items: Items, path: Path, *, columns: int = 10, asked: Augmentation | None = None
) -> Path:
    """Write a PNG with a row of pictures for every class (the first 40 classes).

    Args:
        items: the images, from a source's `items()`.
        path: the PNG file to write.
        columns: pictures a class.
        asked: what a recipe does to training images; each column is a batch. None: nothing.

    Returns:
        The path.

    Raises:
        DataError: not one image can be read.
        UserError: the file can't be written.
    """
    shown = items.classes[:_ROWS]
    step = _CELL_PX + _GAP_PX
    page = Image.new(
        "RGB", (_LABEL_PX + columns * step + _GAP_PX, len(shown) * step + _GAP_PX), "white"
    )
    with pillow():
        rows = [
            _pictures(items, np.flatnonzero(items.labels == row), columns)
            for row in range(len(shown))
        ]
    if not any(rows):
        raise DataError(f"{items.name}: no image can be read, so there is no contact sheet")
    for row, pictures in enumerate(rows if asked is None else _changed(rows, items, asked)):
        _draw_row(page, items, row, _GAP_PX + row * step, pictures)
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise UserError(f"{printable(path)} can't be written: {error.strerror}") from error
    return path


def _draw_row(
    page: Image.Image, items: Items, label: int, top: int, pictures: list[Images]
) -> None:
    """Draw a class's name, count and pictures."""
    draw, font = ImageDraw.Draw(page), ImageFont.load_default()
    members = np.count_nonzero(items.labels == label)
    # Pillow's own font has no letters outside ASCII.
    name = items.classes[label].encode("ascii", "backslashreplace").decode("ascii")
    for line, text in enumerate((_short(name), f"{members:,}")):
        draw.text((_GAP_PX, top + 22 + 14 * line), text, fill="black", font=font)
    for column, picture in enumerate(pictures):
        left = _LABEL_PX + column * (_CELL_PX + _GAP_PX)
        page.paste(Image.fromarray(picture), (left, top))


def _changed(rows: list[list[Images]], items: Items, asked: Augmentation) -> list[list[Images]]:
    """Return the pictures as training changes them; those of a column may be mixed."""
    grey = items.native[2] == 1
    all_of_them = np.stack([picture for row in rows for picture in row])[..., : 1 if grey else 3]
    policy = policy_for(
        all_of_them.shape[1:],
        mirror=items.mirror,
        mean=tuple(all_of_them.mean(axis=(0, 1, 2)).tolist()),
        asked=asked,
        images=all_of_them,
    )
    columns = []
    for column in range(max(map(len, rows))):
        batch = np.stack([row[column] for row in rows if column < len(row)])
        batch = batch[..., : all_of_them.shape[3]]
        transforms = draw(policy, batch.shape[1:], len(batch), np.random.default_rng([0, column]))
        columns.append(
            iter(np.broadcast_to(augment(batch, policy, transforms), (*batch.shape[:3], 3)))
        )
    return [[next(columns[column]) for column in range(len(row))] for row in rows]


def _pictures(
    items: Items, members: "np.ndarray[tuple[int], np.dtype[np.intp]]", most: int
) -> list[Images]:
    """Decode up to `most` of the members, spread evenly over them."""
    chosen = members[spread(len(members), most)]
    pictures = []
    for index in chosen.tolist():
        try:
            picture = items.decode(index, (_CELL_PX, _CELL_PX, 3))
        except BadImageError:
            continue
        pictures.append(picture)
    return pictures


def _short(label: str, most: int = 22) -> str:
    return label if len(label) <= most else label[: most - 3] + "..."
