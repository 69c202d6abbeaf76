"""The formats that are installed, this project's and third parties', found by entry point."""

from pathlib import Path
from typing import Final

from archsearch import plugins
from archsearch.errors import ArchsearchError
from archsearch.exchange.formats.format import Format

FORMATS: Final = "archsearch.formats"
"""The group of entry points."""
DEFAULT_FORMAT: Final = "saved_model"
"""What a network is exported as where nobody says."""


def load_formats() -> dict[str, Format]:
    """Return all formats by name, sorted."""
    found = plugins.load(FORMATS, what="format", kind=Format)
    return {name: _named(name, form) for name, form in found.items()}


def find_format(name: str) -> Format:
    """Return one format, loading no other.

    Raises:
        UserError: there is none of that name; says which is meant, or which there are.
        ArchsearchError: the package that brings it is broken, or two packages do.
    """
    return _named(name, plugins.find(FORMATS, name, what="format", kind=Format))


def format_for(out: Path | None) -> str:
    """Return the name of the format that a place speaks of by its suffix; else it is `DEFAULT_FORMAT`."""
    if out is None or not out.suffix:
        return DEFAULT_FORMAT
    of_suffix = [form for form in load_formats().values() if form.suffix == out.suffix]
    of_suffix.sort(key=lambda form: not form.exact)
    return of_suffix[0].name if of_suffix else DEFAULT_FORMAT


def _named(name: str, form: Format) -> Format:
    if form.name != name:
        raise ArchsearchError(
            f"the entry point {name} is a format named {form.name!r}; the two must be the same"
        )
    return form
