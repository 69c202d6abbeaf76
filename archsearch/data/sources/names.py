"""What `--data` may name, and the source behind each name."""

import difflib
from pathlib import Path

from archsearch.data.sources.csv_file import Table
from archsearch.data.sources.digits import Digits
from archsearch.data.sources.folder import Folder
from archsearch.data.sources.imports import LIBRARIES, Imported
from archsearch.data.sources.items import Source
from archsearch.data.sources.npz import Npz
from archsearch.data.sources.published import KERAS_SETS, KerasSet
from archsearch.errors import DataError
from archsearch.units import printable

_NAMES = ("digits", *KERAS_SETS)
_WANTED = (
    "wanted a folder DIR/<class>/*, an .npz file, a CSV file of path,label, one of "
    + ", ".join(_NAMES)
    + ", tfds:NAME or hf:NAME"
)

_WAYS = {
    **dict.fromkeys(
        (".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), "unpack it, and give the folder"
    ),
    ".npy": "save images and labels together: numpy.savez(file, x=…, y=…)",
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save it as CSV, of path,label"),
    **dict.fromkeys(
        (".h5", ".hdf5", ".mat", ".pkl", ".parquet"),
        "save it as an .npz of x and y, or as image files",
    ),
}


def located(text: str) -> str:
    """Return what a person named, a path made absolute: it is the same from any folder."""
    if text in _NAMES or text.partition(":")[0] in LIBRARIES:
        return text
    try:
        path = Path(text).expanduser()
        return str(path.absolute()) if path.exists() else text
    except (OSError, ValueError, RuntimeError):
        return text  # open_source says what is wrong with it


def open_source(text: str, *, home: Path) -> Source:
    """Find the source a person named.

    Args:
        text: `digits`, a Keras data set, a folder, an `.npz` file, a `.csv` file, `tfds:NAME` or
            `hf:NAME`. Names come first: a folder called mnist is `./mnist`.
        home: where a source may keep what it fetched.

    Raises:
        DataError: there is no such thing.
    """
    if text == "digits":
        return Digits()
    if text in KERAS_SETS:
        return KerasSet(text)
    library, colon, name = text.partition(":")
    if colon and library in LIBRARIES:
        return Imported(library, name, home=home)
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return Folder(path, text=text)
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # ~nobody is a RuntimeError
        raise DataError(f"{printable(text)!r} can't be opened: {error}") from error
    if is_file and path.suffix.lower() == ".npz":
        return Npz(path, text=text)
    if is_file and path.suffix.lower() in {".csv", ".tsv"}:
        return Table(path, text=text)
    if is_file:
        way = _WAYS.get(path.suffix.lower(), _WANTED)
        raise DataError(f"{printable(text)} is a file of a kind unknown here; {way}")
    near = difflib.get_close_matches(text, _NAMES, n=1)
    hint = f"; did you mean {near[0]}?" if near else f"; {_WANTED}"
    raise DataError(f"no data at {printable(text)!r}{hint}")
