"""Data libraries that would pull TensorFlow into this process run in a child of their own.

`python -m archsearch.data.child LIBRARY NAME OUT` is that child. Libraries are imported by name,
because the contract that keeps Keras out of this package reads import statements.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from archsearch.errors import DataError

_MISSING: Final = 3  # exit status: the library is not installed
_TIME_LIMIT_S: Final = 6 * 3600  # a download of some hundred gigabytes may take that long


def run_child(library: str, name: str, out: Path, *, what: str) -> None:
    """Have a child process write the data set `name` of a library to `out`.

    Raises:
        DataError: the library is not installed, or could not load the data set.
    """
    command = [sys.executable, "-m", "archsearch.data.child", library, name, str(out)]
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
    if done.returncode == _MISSING:
        extra = {"tfds": "tfds", "hf": "huggingface"}.get(library)
        hint = f"; pip install 'archsearch[{extra}]'" if extra else ""
        raise DataError(f"{what} needs a library that is not installed{hint}")
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        reason = " ".join(lines[-1].split()) if lines else f"exit status {done.returncode}"
        raise DataError(
            f"{what} is not in the cache and could not be downloaded, or is damaged: {reason}"
        )


def _keras(name: str, out: Path) -> None:
    module = importlib.import_module(f"keras.datasets.{name}")
    (x_train, y_train), (x_test, y_test) = module.load_data()
    np.savez(out, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)


LIBRARIES: Final[Mapping[str, Callable[[str, Path], Any]]] = {"keras": _keras}


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
    raise SystemExit(main(sys.argv[1:]))
