"""Candidates from files: what `archsearch sample --json` printed, one JSON object a line."""

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from archsearch.errors import GraphError, UserError
from archsearch.exchange.keras_import import first_line
from archsearch.ir.codec import from_dict
from archsearch.ir.graph import Graph

SUFFIXES: Final = frozenset({".json", ".jsonl"})


class StoredCandidate(NamedTuple):
    """A candidate as it was printed: what it is called, its network, the rules it was built to hold."""

    name: str
    graph: Graph
    holds: tuple[str, ...]


def load_candidates(path: Path) -> tuple[StoredCandidate, ...]:
    """Return the candidates in a file, none where it is no file of candidates.

    Raises:
        UserError: the file cannot be read, or a line of it is damaged.
    """
    if path.suffix.lower() not in SUFFIXES:
        return ()
    try:
        return read_candidates(path.read_text(encoding="utf-8"), where=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {first_line(error)}") from None


def read_candidates(text: str, *, where: str) -> tuple[StoredCandidate, ...]:
    """Return the candidates in a text, none where its first line is no candidate.

    Raises:
        UserError: a line of it is damaged.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines or _read(lines[0]) is None:
        return ()
    found = []
    for number, line in enumerate(lines, start=1):
        document = _read(line)
        if document is None:
            raise UserError(f"{where}, line {number}: this is no line of archsearch sample --json")
        try:
            graph = from_dict(document["graph"])
        except GraphError as error:
            raise UserError(f"{where}, line {number}: {error}") from None
        name = f"{document.get('space', '')} {document.get('label', '')}".strip()
        found.append(StoredCandidate(name, graph, tuple(map(str, document["holds"]))))
    return tuple(found)


def _read(line: str) -> dict[str, Any] | None:
    """Return a line's object if it is a candidate's."""
    try:
        document = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or "graph" not in document:
        return None
    return document if isinstance(document.get("holds"), list) else None
