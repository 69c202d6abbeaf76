"""A contact sheet: some pictures of every class on one page, as the networks will see them."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from archsearch.data.dataset import Images
from archsearch.data.sources.decode import pillow
from archsearch.data.sources.items import BadImageError, Items
from archsearch.errors import DataError, UserError
from archsearch.units import printable

_CELL_PX = 72
_GAP_PX = 4
_LABEL_PX = 150
_ROWS = 40


def contact_sheet(items: Items, path: Path, *, columns: int = 10) -> Path:
    """Write a PNG with a row of pictures for every class (the first 40 classes).

    Args:
        items: the images, from a source's `items()`.
        path: the PNG file to write.
        columns: pictures a class.

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
        pasted = sum(
            _row(page, items, row, _GAP_PX + row * step, columns) for row in range(len(shown))
        )
    if not pasted:
        raise DataError(f"{items.name}: no image can be read, so there is no contact sheet")
    buffer = io.BytesIO()
    page.save(buffer, "PNG")
    try:
        path.write_bytes(buffer.getvalue())
    except OSError as error:
        raise UserError(f"{printable(path)} can't be written: {error.strerror}") from error
    return path


def _row(page: Image.Image, items: Items, label: int, top: int, columns: int) -> int:
    """Draw a class's name, count and pictures; return how many pictures."""
    draw, font = ImageDraw.Draw(page), ImageFont.load_default()
    members = np.flatnonzero(items.labels == label)
    # Pillow's own font has no letters outside ASCII.
    name = items.classes[label].encode("ascii", "backslashreplace").decode("ascii")
    for line, text in enumerate((_short(name), f"{len(members):,}")):
        draw.text((_GAP_PX, top + 22 + 14 * line), text, fill="black", font=font)
    pictures = _pictures(items, members, columns)
    for column, picture in enumerate(pictures):
        left = _LABEL_PX + column * (_CELL_PX + _GAP_PX)
        page.paste(Image.fromarray(picture), (left, top))
    return len(pictures)


def _pictures(
    items: Items, members: "np.ndarray[tuple[int], np.dtype[np.intp]]", most: int
) -> list[Images]:
    """Decode up to `most` of the members, spread evenly over them."""
    chosen = (
        members[np.unique(np.linspace(0, len(members) - 1, num=most).astype(int))]
        if len(members)
        else members
    )
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
