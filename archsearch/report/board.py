"""The live view's lines: a bar for the stage, a line for every network in training, for any width."""

import time
from dataclasses import dataclass, field

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderResult
from rich.live import Live
from rich.segment import Segment
from rich.text import Text

_BAR = 28
_LEAST_BAR = 6


@dataclass(slots=True)
class JobLine:
    """A network in training: epochs done, and how it stands."""

    label: str
    epochs: int
    done: int = 0
    note: str = ""
    short: str = ""
    """The note where there is little room."""


@dataclass(slots=True)
class Board:
    """What is shown in place; renders as one line of text each, none wider than the window."""

    stage: str = ""
    done: float = 0
    total: float = 0
    note: str = ""
    jobs: dict[str, JobLine] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)

    def begin(self, stage: str, total: float, done: float = 0) -> None:
        """Start a stage; one without a total shows how long it has taken so far."""
        self.stage, self.total, self.done, self.began = stage, total, done, time.monotonic()

    def lines(self, width: int) -> list[str]:
        """Return the lines for a window of so many columns."""
        if not self.stage:
            return []
        taken = f"{time.monotonic() - self.began:.0f} s"
        count = f"{self.done:,.0f}/{self.total:,.0f}" if self.total else taken
        found = [_line(self.stage, self.done, self.total, count, self.note, width)]
        for job in self.jobs.values():
            count = f"{job.done}/{job.epochs}"
            wide = len(job.label) + len(job.note) + len(count) + _LEAST_BAR + 8 <= width
            note = job.note if wide or not job.short else job.short
            found.append(_line(f"  {job.label}", job.done, job.epochs, count, note, width))
        return found

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        # The last column stays free: some terminals break a full line.
        for line in self.lines(max(1, options.max_width - 1)):
            yield Text(line, no_wrap=True, overflow="ellipsis")


class BoardView(Live):
    """A Live that knows how often its last lines wrap in a window that has become narrower."""

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Tell where the cursor is, then go on as usual."""
        width = self.console.width
        shape = self._live_render._shape
        if shape is not None and isinstance(self.renderable, Board):
            drawn = self._drawn
            rows = sum(max(1, -(-cells // width)) for cells in drawn)
            if drawn:
                self._live_render._shape = (shape[0], max(rows, 1))
        found = super().process_renderables(renderables)
        if isinstance(self.renderable, Board):
            lines = self.renderable.lines(max(1, width - 1))
            self._drawn = [Segment.get_line_length([Segment(line)]) for line in lines]
        return found

    _drawn: list[int] = []  # noqa: RUF012  replaced as a whole, never changed


def _line(what: str, done: float, total: float, count: str, note: str, width: int) -> str:
    """Return what, bar, count and note, leaving out the bar, then shortening what, where it is tight."""
    rest = "  ".join(part for part in (count, note) if part)
    room = width - len(what) - len(rest) - 2
    if room >= _LEAST_BAR:
        bar = min(_BAR, room)
        filled = round(bar * min(1.0, done / total)) if total else 0
        return f"{what} {'━' * filled}{'─' * (bar - filled)} {rest}"
    left = width - len(rest) - 1
    if left < 10:
        return _cut(f"{what} {rest}", width)
    return f"{_cut(what, left)} {rest}"


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"
