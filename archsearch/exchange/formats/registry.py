"""The formats that are installed, this project's and third parties', found by entry point."""

from typing import Final

from archsearch import plugins
from archsearch.errors import ArchsearchError
from archsearch.exchange.formats.format import Format

FORMATS: Final = "archsearch.formats"
"""The group of entry points."""


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


def _named(name: str, form: Format) -> Format:
    if form.name != name:
        raise ArchsearchError(
            f"the entry point {name} is a format named {form.name!r}; the two must be the same"
        )
    return form
