"""The licence of a model, as whoever exports it names it; its card has it in its head."""

from collections.abc import Mapping
from typing import Any, Final

from archsearch.errors import UserError
from archsearch.units import as_markdown

_KEY: Final = "license"
_MOST: Final = 100
_UNSTATED: Final = "unknown"
"""What model hubs take for a licence that nobody has named."""


def licensed(name: str | None) -> dict[str, str]:
    """Return what a model is to say of its licence; nothing where none is named.

    Raises:
        UserError: it is no name of one line.
    """
    if name is None:
        return {}
    if not name.strip() or not name.isprintable() or len(name) > _MOST:
        raise UserError(
            f"--license is {name[:_MOST]!r}, wanted a name of one line, such as apache-2.0 or mit"
        )
    return {_KEY: name.strip()}


def head_name(about: Mapping[str, Any]) -> str:
    """Return the name for a card's head."""
    return str(about.get(_KEY, _UNSTATED))


def section(about: Mapping[str, Any]) -> str:
    """Return a card's section."""
    if (name := about.get(_KEY)) is not None:
        return f"## Licence\n\n{as_markdown(name)}"
    return (
        "## Licence\n\n"
        "Not stated. Whoever publishes this model names one, here and in the head of this file."
    )
