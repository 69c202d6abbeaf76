"""Data sets of TensorFlow Datasets and Hugging Face: fetched once into files, then read as files."""

import hashlib
import re
from pathlib import Path
from typing import Final

from archsearch.data.prepared_files import new_folder
from archsearch.data.sources.child import run_child
from archsearch.data.sources.csv_file import Table
from archsearch.data.sources.items import Items
from archsearch.errors import DataError
from archsearch.units import printable

LIBRARIES: Final = {"tfds": "TensorFlow Datasets", "hf": "Hugging Face"}


class Imported:
    """`tfds:NAME` or `hf:NAME[:CONFIG]`, kept under home/data/imports after the first use."""

    def __init__(self, library: str, name: str, *, home: Path) -> None:
        self.text = f"{library}:{name}"
        self._library = library
        self._name = name
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", self.text).strip("-")[:80]
        mark = hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
        self._folder = home / "data" / "imports" / f"{plain}-{mark}"
        self._source: Table | None = None

    def content(self) -> str:
        """Digest the imported files."""
        return self._table().content()

    def stamp(self) -> str | None:
        """Digest the imported files' places, sizes and times."""
        return self._table().stamp()

    def items(self) -> Items:
        """Offer the imported images."""
        return self._table().items()

    def _table(self) -> Table:
        """Import the data if they are not there yet.

        Raises:
            DataError: the library is not installed, or can't load data of that name.
        """
        if self._source is None:
            title = LIBRARIES[self._library]
            if not self._name or self._name.startswith("-"):
                raise DataError(
                    f"{printable(self.text)!r} names no {title} data; {self._library}:NAME"
                )
            what = f"{title} data set {printable(self._name)!r}"
            table = self._folder / "table.csv"
            if not table.is_file():
                with new_folder(self._folder) as partial:
                    run_child(self._library, self._name, partial, what=what)
            name = printable(Path(self._name.partition(":")[0]).name) or self._library
            self._source = Table(table, text=self.text, name=name)
        return self._source
