"""What a study says of itself in its storage: found by name, read, and what is damaged told in one line."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from archsearch.archive import codec
from archsearch.archive.databases import MARK, study_names
from archsearch.errors import ArchsearchError, DamagedError, UserError, one_line
from archsearch.settings import nearest

if TYPE_CHECKING:
    from optuna.storages import BaseStorage


def find_study(storage: "BaseStorage", name: str) -> int:
    """Return the storage's number of a study.

    Raises:
        UserError: there is none of that name.
    """
    try:
        return storage.get_study_id_from_name(name)
    except KeyError:
        known = study_names(storage)
        hint = nearest(name, tuple(known)) if known else "there are none yet"
        raise UserError(f"no study {name!r}; {hint}") from None


def read_attributes(storage: "BaseStorage", study_id: int, name: str) -> dict[str, Any]:
    """Return what a study says of itself, all that was written as it was made among it.

    Raises:
        UserError: this version does not read it.
    """
    with readable(name, "attributes"):
        kept = dict(storage.get_study_user_attrs(study_id))
        kept = {**kept.pop(MARK, {}), **kept}
        found = kept.get("format")
    if found not in codec.READABLE:
        raise UserError(_of_another_version(name, found))
    return kept


def by_prefix(attributes: Mapping[str, Any], prefix: str, read: Any) -> dict[str, Any]:
    """Return the attributes whose names begin so, each as `read` reads it, by the rest of their names."""
    return {
        name.removeprefix(prefix): read(value)
        for name, value in attributes.items()
        if name.startswith(prefix)
    }


@contextmanager
def readable(name: str, what: str) -> Iterator[None]:
    """Say in one line which part of a study in its storage is damaged."""
    from optuna.exceptions import StorageInternalError

    try:
        yield
    except (ArchsearchError, StorageInternalError):
        raise
    except Exception as error:  # of any kind: what was written there may be anything
        raise DamagedError(
            f"study {name!r} is damaged: its {what} in the storage can't be read ({one_line(error)}); "
            f"put the storage back from a copy, or `archsearch delete {shlex.quote(name)}` removes it"
        ) from error


def _of_another_version(name: str, found: object) -> str:
    if isinstance(found, int) and found > (last := max(codec.READABLE)):
        return (
            f"study {name!r} was not made by this version of archsearch but by a later one (format {found}; "
            f"this one reads up to {last}): pip install --upgrade archsearch"
        )
    return f"study {name!r} was not made by this version of archsearch"
