"""Data libraries that would pull TensorFlow into this process run in a child of their own.

`python -m archsearch.data.sources.child LIBRARY NAME OUT` is that child. Libraries are imported by name,
because the contract that keeps Keras out of this package reads import statements.
"""

import contextlib
import csv
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from archsearch.data.sources.split_names import split_named
from archsearch.errors import DataError
from archsearch.lean_imports import import_lean

_MISSING: Final = 3  # exit status: the library is not installed
_MAGIC: Final = (
    (b"\xff\xd8", "jpg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"BM", "bmp"),
    (b"RIFF", "webp"), (b"II*\0", "tiff"), (b"MM\0*", "tiff"),
)  # fmt: skip
_TIME_LIMIT_S: Final = 6 * 3600  # a download of some hundred gigabytes may take that long


def run_child(library: str, name: str, out: Path, *, what: str) -> None:
    """Have a child process write the data set `name` of a library to `out`.

    Raises:
        DataError: the library is not installed, or could not load the data set.
    """
    command = [sys.executable, "-m", "archsearch.data.sources.child", library, name, str(out)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=_TIME_LIMIT_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{what} did not load within {_TIME_LIMIT_S // 3600} hours") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{what} could not be loaded: {error}") from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = " ".join(lines[-1].split()) if lines else f"exit status {done.returncode}"
        if done.returncode == _MISSING:
            extra = {"tfds": "tfds", "hf": "huggingface"}.get(library)
            hint = f"; pip install 'archsearch[{extra}]'" if extra else ""
            raise DataError(f"{what} needs a library that is not installed ({reason}){hint}")
        raise DataError(
            f"{what} is not in the cache and could not be downloaded, or is damaged: {reason}"
        )


def _keras(name: str, out: Path) -> None:
    keras = importlib.import_module("keras")
    # A user's keras.json may say otherwise, and CIFAR's images would come as (3, 32, 32).
    keras.config.set_image_data_format("channels_last")
    module = importlib.import_module(f"keras.datasets.{name}")
    (x_train, y_train), (x_test, y_test) = module.load_data()
    np.savez(out, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


def _hugging_face(name: str, out: Path) -> None:
    datasets = importlib.import_module("datasets")
    place, _, config = name.partition(":")
    saved = [Path(place) / file for file in ("dataset_dict.json", "state.json")]
    if any(path.is_file() for path in saved):
        loaded = datasets.load_from_disk(place)
    else:
        loaded = datasets.load_dataset(place, config or None)
    splits = loaded if isinstance(loaded, dict) else {"train": loaded}
    with ImageTable(out, list(splits)) as table:
        for split, rows in splits.items():
            image = _feature(rows.features, "Image", "an image")
            label = _feature(rows.features, "ClassLabel", "a class label")
            names = rows.features[label].names
            # Undecoded: the files' own bytes are stored, nothing is compressed again.
            plain = rows.select_columns([image, label])
            for row in plain.cast_column(image, datasets.Image(decode=False)):
                number, file = row[label], row[image]
                if number is None or number < 0 or file is None:
                    continue  # unlabelled, as some test splits are
                raw = file["bytes"] or Path(file["path"]).read_bytes()
                table.add(raw, names[number], split)


def _feature(features: Mapping[str, Any], kind: str, what: str) -> str:
    for name, feature in features.items():
        if type(feature).__name__ == kind:
            return name
    raise ValueError(f"no column is {what}; its columns are {', '.join(features)}")


def _tensorflow_datasets(name: str, out: Path) -> None:
    tfds = importlib.import_module("tensorflow_datasets")
    builder = tfds.builder(name)
    builder.download_and_prepare()
    info = builder.info
    image = _feature(info.features, "Image", "an image")
    label = _feature(info.features, "ClassLabel", "a class label")
    names = info.features[label].names
    with ImageTable(out, list(info.splits)) as table:
        for split in info.splits:
            stored = builder.as_dataset(split=split, decoders={image: tfds.decode.SkipDecoding()})
            for row in tfds.as_numpy(stored):
                if row[label] >= 0:
                    table.add(row[image], names[int(row[label])], split)


class ImageTable:
    """A folder of image files and the table.csv (path, label, split) that lists them."""

    def __init__(self, folder: Path, splits: Sequence[str]) -> None:
        """`splits` are the library's names; those that mean none of ours are left out."""
        # Data with one split, whatever its name, train on it and have the others cut out of it.
        self._split = {name: split_named(name) for name in splits}
        if "train" not in self._split.values():
            self._split = dict.fromkeys(splits[:1], "train")
        self._folder = folder
        self._rows = 0

    def __enter__(self) -> "ImageTable":
        self._file = (self._folder / "table.csv").open("w", encoding="utf-8", newline="")
        self._writer = csv.writer(self._file)
        self._writer.writerow(["path", "label", "split"])
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def add(self, raw: bytes, label: str, split: str) -> None:
        """Store one image file."""
        if not self._split.get(split):
            return
        suffix = next((end for start, end in _MAGIC if raw.startswith(start)), "img")
        # A thousand files a folder: some file systems are slow with a million in one.
        place = Path("images", f"{self._rows // 1000:04}", f"{self._rows:07}.{suffix}")
        (self._folder / place).parent.mkdir(parents=True, exist_ok=True)
        (self._folder / place).write_bytes(raw)
        self._writer.writerow([place.as_posix(), label, self._split[split]])
        self._rows += 1


LIBRARIES: Final[Mapping[str, Callable[[str, Path], Any]]] = {
    "keras": _keras,
    "hf": _hugging_face,
    "tfds": _tensorflow_datasets,
}


def main(arguments: list[str]) -> int:
    """Load one data set; the last line on stderr says why if that fails."""
    library, name, out = arguments
    try:
        # Progress bars of downloads go to stdout in Keras; nobody reads them.
        with contextlib.redirect_stdout(sys.stderr):
            LIBRARIES[library](name, Path(out))
    except ModuleNotFoundError as error:
        print(error, file=sys.stderr)
        return _MISSING
    except Exception as error:  # whatever it is, the parent tells it in one line
        text = " ".join(str(error).split())
        print(f"{type(error).__name__}: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    import_lean()
    raise SystemExit(main(sys.argv[1:]))
