"""A page of pictures: HTML that needs nothing but the PNGs beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture beside the page, with what it shows."""

    file: str
    caption: str


@dataclass(frozen=True, slots=True)
class Section:
    """Pictures under a title, with a sentence or two on how to read them."""

    title: str
    text: str
    figures: Sequence[Figure]


_STYLE: Final = (
    "body{font:15px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2rem 0 .3rem;overflow-wrap:anywhere}"
    ".row{display:flex;flex-wrap:wrap;gap:.8rem}figure{margin:0;max-width:100%}"
    "img{display:block;max-width:100%;height:auto;image-rendering:pixelated}"
    "figcaption{font-size:.8rem;color:#555;overflow-wrap:anywhere;contain:inline-size}"
)
_MARKER: Final = '<meta name="generator" content="archsearch visualize">'
_BEGINNING: Final = f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">{_MARKER}'
_READING: Final = (
    "Grad-CAM (Selvaraju et al. 2017): what speaks for the class at the end of each stage, from dark to "
    "yellow; early stages see edges, late ones objects, coarsely.",
    "Occlusion (Zeiler & Fergus 2014): where a square of the mean colour costs the class most, in yellow.",
    "Deconvnet (Zeiler & Fergus 2014): one unit sent back to the image, through the switches of the max "
    "pools; it shows what of the patch the unit answers to.",
    "None of them proves why a network decides as it does; they show where to look.",
)


def is_page(path: Path) -> bool:
    """Whether a file is a page that `page` wrote."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return _MARKER in file.read(len(_BEGINNING))


def page(title: str, about: str, sections: Sequence[Section]) -> str:
    """Return the HTML."""
    reading = "".join(f"<li>{escape(line)}</li>" for line in _READING)
    return (
        f'{_BEGINNING}<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n"
        f"<h1>{escape(title)}</h1>\n<p>{escape(about)}</p>\n<ul>{reading}</ul>\n"
        + "\n".join(map(_section, sections))
        + "\n</body></html>\n"
    )


def _section(section: Section) -> str:
    text = f"<p>{escape(section.text)}</p>" if section.text else ""
    figures = "".join(
        f'<figure><img src="{quote(figure.file)}" alt="{escape(figure.caption)}">'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
        for figure in section.figures
    )
    return f'<h2>{escape(section.title)}</h2>{text}<div class="row">{figures}</div>'
