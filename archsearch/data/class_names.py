"""Names of classes that differ in their spelling only: one class under two names, as a rule."""

import re
import unicodedata
from collections.abc import Sequence


def plain_name(name: str) -> str:
    """Reduce a name to its letters and digits: `Cat`, `cat ` and `CAT` are alike.

    Case is folded, compatibility forms of Unicode are one (NFKC), and spaces, dashes and underscores
    are left out.
    """
    return re.sub(r"[\s_-]+", "", unicodedata.normalize("NFKC", name).casefold())


def alike(names: Sequence[str]) -> list[tuple[str, ...]]:
    """List the groups of names that differ in case, spaces, dashes or Unicode form only."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(plain_name(name), []).append(name)
    return [tuple(group) for group in groups.values() if len(group) > 1]


def alike_notes(names: Sequence[str]) -> list[str]:
    """Say which classes are one class under two names, as a rule."""
    return [
        f"classes {', '.join(map(repr, group))} differ in their spelling only: are they one class?"
        for group in alike(names)
    ]
