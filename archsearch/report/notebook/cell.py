"""What a person sees of a run in a Jupyter notebook: the bars and the last lines, redrawn in the cell."""

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any, Final, Self

from archsearch.report.live import BarsView, SilentView, View, lasting_lines
from archsearch.study.events import EpochDone, Event

_WIDTH: Final = 110
"""Characters a line: what a cell shows without scrolling."""

_LINES: Final = 30
"""Lines that stay in sight above the bars."""

_EVERY_S: Final = 0.25
"""Between two drawings for nothing but an epoch: a page of many networks should stay quick."""

Bundle = dict[str, str]
"""One text as several media types, as IPython's `display` takes it."""


def open_notebook_view() -> View:
    """Return the view of the notebook that this process is the kernel of; elsewhere one that says nothing."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    # A terminal's IPython has no kernel, and no cell to draw in.
    if not hasattr(shell, "kernel"):
        return SilentView()
    from IPython.display import display

    return NotebookView(display)


class NotebookView(BarsView):
    """The bars and the last lines in a notebook's cell; `display` is IPython's."""

    def __init__(
        self, display: Callable[..., Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._display = display
        self._clock_s = clock
        self._said: list[str] = []
        self._drawn_s = -_EVERY_S
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._handle = self._display(self._bundle(), raw=True, display_id=True)
        return self

    def __exit__(self, *details: object) -> None:
        self._board.stage = ""  # what was said stays, the bars are over
        self._draw()

    def _show(self, event: Event) -> None:
        self._said += lasting_lines(event)
        now_s = self._clock_s()
        if not isinstance(event, EpochDone) or now_s - self._drawn_s >= _EVERY_S:
            self._drawn_s = now_s
            self._draw()

    def _draw(self) -> None:
        self._handle.update(self._bundle(), raw=True)

    def _bundle(self) -> Bundle:
        text = "\n".join([*self._said[-_LINES:], *self._board.lines(_WIDTH)])
        return {"text/plain": text, "text/html": f"<pre>{escape(text)}</pre>"}
