"""Keras and TensorFlow imported without what they only look for: a process starts sooner.

Both import packages that happen to be installed, for functions that no process of ours calls: wrappers for
scikit-learn, data frames, plots, checkpoints and programs of JAX. They do without where one is not there.
"""

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
_COMPUTES: Final = "jax"
"""The one of these that Keras may compute with: as its backend, or under that of NumPy."""


class _Finder(MetaPathFinder):
    """Finds nothing, and keeps others from finding what is passed over."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname in PASSED_OVER and (fullname != _COMPUTES or _on_tensorflow()):
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
    """Have this process import Keras and TensorFlow without what they only look for.

    Whoever else imports those packages has them, before and after. It is for processes of ours alone: in a
    user's, Keras is to be whole.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
