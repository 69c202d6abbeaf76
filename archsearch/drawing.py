"""Matplotlib as its makers set it, whatever this user's matplotlibrc and variables say."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

_ELSEWHERE: Final = (
    "backend", "date.", "docstring.", "figure.max_open", "interactive", "savefig.directory",
    "timezone", "tk.", "toolbar", "webagg.",
)  # fmt: skip
"""Settings of windows and dates, which no picture drawn here goes by."""


@contextmanager
def own_style(**more: Any) -> Iterator[None]:
    """Draw with matplotlib's defaults in the block, and names as they are written: a `$` starts no formula.

    Args:
        more: further settings, with `__` for a dot.
    """
    matplotlib = _matplotlib()
    given = {name.replace("__", "."): value for name, value in more.items()}
    wanted = {**matplotlib.rcParamsDefault, "text.parse_math": False, **given}
    # Settings are the whole process's: where nothing differs, nothing is touched.
    other = {
        name: value
        for name, value in wanted.items()
        if not name.startswith(_ELSEWHERE) and matplotlib.rcParams[name] != value
    }
    with matplotlib.rc_context(other):
        yield


def _matplotlib() -> Any:
    """Import matplotlib, which does not start where MPLBACKEND names no backend that it knows."""
    if "matplotlib" in sys.modules:
        return sys.modules["matplotlib"]
    backend = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if backend is not None:
            os.environ["MPLBACKEND"] = backend
    if backend is not None:
        with suppress(ValueError):
            matplotlib.rcParams["backend"] = backend
    return matplotlib
