"""Frameworks imported without what they only look for: a process starts sooner, and ends sooner.

Keras and TensorFlow import packages that happen to be installed, for functions that no process of ours calls:
wrappers for scikit-learn, data frames, plots, checkpoints and programs of JAX. They do without where one is
not there. And a framework is half a million objects that stay, through which Python looks for garbage many
times while they are made, and once more as the process ends.
"""

import atexit
import gc
import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Final

IMPORTING: Final = ("keras", "tensorflow")
"""Packages that look for others."""
PASSED_OVER: Final = ("jax", "matplotlib", "pandas", "sklearn")
"""What they do not find meanwhile."""
_ASKS: Final = "torch._dynamo"
"""A part of PyTorch, where Keras is on it, that asks where those are: it takes a no, and no error."""
_COMPUTES: Final = "jax"
"""The one of these that Keras may compute with: as its backend, or under that of NumPy."""

_SELDOM: Final = (50_000, 20, 100)
"""How many new objects there are between two searches for garbage that holds itself, and so on: nothing that
is read of 10,000 trials does, and looking through it takes a quarter of a command's time."""
_AS_USUAL: Final = gc.get_threshold()


class _Finder(MetaPathFinder):
    """Finds nothing, and keeps others from finding what is passed over."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        passed_over = fullname in PASSED_OVER and not _is_being_imported(_ASKS)
        if passed_over and (fullname != _COMPUTES or _on_tensorflow()):
            for package in filter(_is_being_imported, IMPORTING):
                raise ModuleNotFoundError(f"{package} is imported without it", name=fullname)
        return None


def _on_tensorflow() -> bool:
    """Whether Keras computes with TensorFlow. Where no variable says so, a file of the user's may not."""
    return os.environ.get("KERAS_BACKEND") == "tensorflow"


def _is_being_imported(package: str) -> bool:
    spec = getattr(sys.modules.get(package), "__spec__", None)
    return bool(getattr(spec, "_initializing", False))  # importlib's own mark


def import_lean() -> None:
    """Have this process import Keras and TensorFlow lean, and seldom look for garbage.

    Whoever else imports those packages has them, before and after. It is for processes of ours alone: in a
    user's, Keras is to be whole.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    gc.set_threshold(*_SELDOM)
    atexit.register(gc.freeze)


def keep_imported() -> None:
    """Have what is imported never looked through again, and garbage looked for as often as usual.

    What is trained with it may be large, and hold itself.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_AS_USUAL)
