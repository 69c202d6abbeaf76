"""Keras's old HDF5 files: Keras reads them, in its safe mode, in a process of its own, and says what is in.

They hold what Keras itself has to turn into today's terms, and HDF5 itself is C code that a damaged file may
end; so none of it comes near whoever asks.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from archsearch.errors import UserError

_LONGEST_S: Final = 300.0
_BACKENDS: Final = ("tensorflow", "jax", "torch")
_FOUND: Final = "archsearch-model:"
_REFUSED: Final = "archsearch-refused:"


def h5_config(path: Path) -> Any:
    """Return the config of the model in an HDF5 file, as `model.to_json()` has it (it takes seconds).

    Raises:
        UserError: Keras does not read it in safe mode, or is not installed.
    """
    for package in ("keras", "h5py"):
        if find_spec(package) is None:
            raise UserError(f"{path}: {package} reads such files; pip install {package}")
    command = [sys.executable, "-P", "-m", "archsearch.exchange.legacy_h5", str(path.absolute())]
    try:
        done = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, check=False, timeout=_LONGEST_S
        )
    except subprocess.TimeoutExpired:
        raise UserError(f"{path} is not read within {_LONGEST_S:.0f} s") from None
    for line in reversed(done.stdout.decode("utf-8", "replace").splitlines()):
        if line.startswith(_FOUND):
            return json.loads(line.removeprefix(_FOUND))
        if line.startswith(_REFUSED):
            why = line.removeprefix(_REFUSED)
            raise UserError(
                f"{path}: Keras does not read this HDF5 file in safe mode: {why}; where you can load it, "
                "save the model as .keras"
            )
    raise UserError(f"{path} cannot be read: Keras ended with status {done.returncode} over it")


def _main(path: str) -> None:
    from archsearch.training.setup import WorkerSetup

    backend = next((name for name in _BACKENDS if find_spec(name) is not None), _BACKENDS[0])
    WorkerSetup(backend=backend).apply()
    os.environ["KERAS_BACKEND"] = backend
    try:
        import keras

        text = keras.models.load_model(path, compile=False, safe_mode=True).to_json()
    except Exception as error:
        why = (str(error).strip() or "no message").splitlines()[0]
        print(f"\n{_REFUSED}{type(error).__name__}: {why[:300]}")
        return
    print(f"\n{_FOUND}{text}")


if __name__ == "__main__":
    _main(sys.argv[1])
