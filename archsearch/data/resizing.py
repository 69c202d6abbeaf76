"""How images of another shape are brought to the size that is prepared, in words."""

from archsearch.data.sources.items import Items, Resize, Size
from archsearch.units import format_size

_WORTH_SAYING = 0.03  # of an image cut off, or of a side stretched


def resizing(items: Items, size: Size, resize: Resize, *, asked: bool) -> str:
    """Say at which size images are prepared, why, and what becomes of those of another shape.

    Args:
        items: the images.
        size: the size they are prepared at.
        resize: how.
        asked: whether somebody asked for the size.
    """
    why = "as asked for" if asked else items.why
    fate = _fate(items, size, resize)
    return f"{format_size(size)}, {why}" + (f"; {fate}" if fate else "")


def resizing_note(items: Items, size: Size, resize: Resize, *, asked: bool) -> list[str]:
    """Return what `resizing` says where it changes images of several sizes, or their shape."""
    shrunk = not asked and any(min(found) > min(size[:2]) for found in items.sizes)
    if _fate(items, size, resize) or shrunk:
        return [f"prepared at {resizing(items, size, resize, asked=asked)}"]
    return []


def _fate(items: Items, size: Size, resize: Resize) -> str:
    """Say what is lost of the image whose shape differs most."""
    # How much wider or higher an image is than the size, both scaled to one side: 1 is no difference.
    ratios = [(w * size[0]) / (h * size[1]) for h, w in items.sizes]
    worst = max(max(ratio, 1 / ratio) for ratio in ratios)
    if 1 - 1 / worst < _WORTH_SAYING:
        return ""
    if resize == "squash":
        return f"other shapes are squashed, by {worst:.2g} to 1 at most (--resize crop cuts off instead)"
    return (
        f"other shapes are cropped at the edges, {1 - 1 / worst:.0%} of an image at most "
        "(--resize squash keeps all of it)"
    )
