"""How a model is loaded where it is used, as Python that runs without archsearch."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from archsearch.exchange.formats.format import Format

IMAGE = "image.jpg"
"""The picture that the programs of a card ask about."""
_RESIZED = {
    "crop": (
        "image = ImageOps.fit(image, ({width}, {height}), Image.Resampling.BICUBIC)"
        "  # cut off at the edges"
    ),
    "squash": "image = image.resize(({width}, {height}), Image.Resampling.BICUBIC)  # squashed",
}
_HEAD = """\
import numpy as np
from PIL import Image, ImageOps

image = ImageOps.exif_transpose(Image.open("{image}")).convert("{mode}")
{resized}
images = np.asarray(image, np.uint8).reshape(1, {height}, {width}, {channels})
"""
_TAIL = """\
best = int(probabilities[0].argmax())
print(classes[best], float(probabilities[0, best]))
"""


@runtime_checkable
class ShowsUse(Protocol):
    """A format that says how its models are loaded where they are used."""

    @property
    def usage(self) -> Mapping[str, str]:
        """Python for each runtime, by its name: from `images` and `path` to `probabilities`.

        `images` is a batch of uint8, as the model takes it, `path` the model's place;
        `probabilities` is to be an array (images, classes).
        """
        ...


def programs(
    form: Format, name: str, *, input: tuple[int, int, int], classes: tuple[str, ...], resize: str
) -> dict[str, str]:
    """Return a whole program for each runtime, by its name; none where the format shows no use.

    Args:
        form: the model's format.
        name: the model's path as the programs have it.
        input: height, width, channels.
        classes: names, in the order of the answers.
        resize: `crop` or `squash`.
    """
    if not isinstance(form, ShowsUse):
        return {}
    values: dict[str, Any] = dict(zip(("height", "width", "channels"), input, strict=True))
    head = _HEAD.format(
        image=IMAGE,
        mode="L" if input[2] == 1 else "RGB",
        resized=_RESIZED[resize].format(**values),
        **values,
    )
    told = f"path = {name!r}\nclasses = {list(classes)!r}\n"
    return {
        runtime: f"{head}{told}\n{code.strip()}\n\n{_TAIL}" for runtime, code in form.usage.items()
    }
