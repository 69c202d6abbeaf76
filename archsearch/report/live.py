"""What a person sees while a run works: a live view in a terminal, plain lines elsewhere.

Both are told the same events. Everything goes to stderr; stdout is the result's.
"""

import errno
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self, TextIO, cast

from rich.console import Console
from rich.text import Text

from archsearch.archive.orders import Order
from archsearch.planning.forecast import Forecast
from archsearch.report.board import Board, BoardView, JobLine
from archsearch.report.columns import share_text
from archsearch.report.plan import plan_lines, plan_rows
from archsearch.report.tables import PlainConsole, pairs
from archsearch.settings import BOUNDED_TRIALS
from archsearch.study.events import (
    EpochDone,
    Event,
    ExportStarted,
    FinalistsStarted,
    JobEnded,
    JobStarted,
    Measuring,
    Notice,
    Planned,
    Preparing,
    StudyStarted,
)
from archsearch.training.job import EpochReport
from archsearch.units import (
    counted,
    format_count,
    format_duration,
    format_size,
    printable_lines,
)

Progress = Callable[[int, int], None]
"""Called with how much is done, and how much there is."""


def open_view(*, quiet: bool, verbose: bool = False, stream: TextIO | None = None) -> "View":
    """Return the view that fits: none if `quiet`, live in a terminal, else plain lines.

    None if `verbose` either: then the log's lines are shown.
    """
    stream = stream or sys.stderr
    if quiet:
        return View()
    if verbose:
        return SilentView()
    if not _draws(stream):
        return PlainView(stream)
    return LiveView(PlainConsole(file=stream))


def _draws(stream: TextIO) -> bool:
    """Whether lines can be redrawn in place."""
    dumb = os.environ.get("TERM") == "dumb" or "NO_COLOR" in os.environ or "CI" in os.environ
    return not dumb and stream.isatty()


@contextmanager
def progress_bar(what: str, *, stream: TextIO | None = None) -> Iterator[Progress]:
    """Give a function to tell how much is done; a bar shows it where there is a terminal."""
    stream = stream or sys.stderr
    if not _draws(stream):
        yield lambda done, total: None
        return
    board = Board()

    def tell(done: int, total: int) -> None:
        if not board.stage:
            board.begin(what, total)
        board.done = done

    console = PlainConsole(file=stream)
    with BoardView(board, console=console, refresh_per_second=4, transient=True):
        yield tell


def say(text: str, stream: TextIO) -> None:
    """Print a line for whoever watches; where nobody does any more, the run goes on unwatched."""
    with _unwatched(stream):
        print(printable_lines(text), file=stream, flush=True)


@contextmanager
def _unwatched(stream: TextIO) -> Iterator[None]:
    """Go on where nobody reads a stream any more: a pipe that is closed, a terminal that is gone (EIO)."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EPIPE, errno.EIO):
            raise
        discard(stream)


def discard(stream: TextIO) -> None:
    """Have what is written to a stream go nowhere; the interpreter, too, complains no more at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class View:
    """Watches a run; this one says nothing but what a person must hear."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take note of what happened."""
        if isinstance(event, Notice):
            say(event.text, sys.stderr)


class SilentView(View):
    """Says nothing at all: someone else does."""

    def __call__(self, event: Event) -> None:
        """Do nothing."""


def _trainings(found: Forecast) -> int:
    """Count the trainings of a search; under a bound no more than what fits is to be done."""
    trials = found.trials if found.fit is None else found.fit
    return trials + found.promotions


class _Clock:
    """How much of the run's work is done, and so how long the rest may take: in trainings of full length."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.total = 0.0
        self._done = 0.0
        self._ended = 0
        self._full_images = 0
        self._parts: dict[str, float] = {}  # of the networks in training

    def note(self, event: Event) -> None:
        """Count the stages' work and what of it is done."""
        if isinstance(event, StudyStarted):
            self.begin(event.settings.trials - event.done)
        elif isinstance(event, Planned):
            found = event.forecast
            self._full_images = found.trial_images
            share = 1.0 if found.short is None else self._share(found.short.images)
            self.begin((_trainings(found) - found.promotions) * share + found.promotions)
        elif isinstance(event, FinalistsStarted):
            self.begin(event.jobs - event.done)
        elif isinstance(event, EpochDone):
            part = event.report.epoch / event.order.length.epochs
            self._parts[event.report.key] = part * self._length(event.order)
        elif isinstance(event, JobEnded):
            self._parts.pop(str(event.order.key), None)
            if event.status != "interrupted":
                self._done += self._length(event.order)
                self._ended += 1

    def _length(self, order: Order) -> float:
        return 1.0 if order.key.purpose == "final" else self._share(order.length.images)

    def _share(self, images: int) -> float:
        return min(1.0, images / self._full_images) if self._full_images else 1.0

    def begin(self, total: float) -> None:
        """Start anew, with so much to do."""
        self.began, self.total, self._done = time.monotonic(), total, 0.0
        self._ended = 0
        self._parts.clear()

    def left(self) -> str:
        """Return e.g. `about 3 min left`, or nothing before there is anything to go by."""
        done = self._done + sum(self._parts.values())
        if not self._ended or self.total <= done + 1e-6:  # thirds do not add up to whole ones
            return ""
        spent = time.monotonic() - self.began
        return f"about {format_duration(spent / done * (self.total - done))} left"


class PlainView(View):
    """A line for what begins and ends, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._clock = _Clock()
        self._preparing = False

    def __call__(self, event: Event) -> None:
        """Print the event's line."""
        for line in self._lines(event):
            say(line, self._stream)

    def _lines(self, event: Event) -> list[str]:
        self._clock.note(event)
        lines = event_lines(event)
        if isinstance(event, Preparing) and not self._preparing:
            self._preparing = True  # once: every one of them would be a line
            lines = [f"preparing {event.images:,} images"]
        if isinstance(event, JobEnded):
            lines = ["; ".join(filter(None, (*lines, self._clock.left())))]
        return lines


class BarsView(View):
    """Keeps bars for the study and for every network in training; subclasses show them."""

    def __init__(self) -> None:
        self._clock = _Clock()
        self._board = Board()
        self._best = ""

    def __call__(self, event: Event) -> None:
        """Bring the bars up to date; print what should stay."""
        self._clock.note(event)
        self._update(event)
        self._show(event)

    def _show(self, event: Event) -> None:
        """Print what should stay of an event."""
        raise NotImplementedError

    def _update(self, event: Event) -> None:
        if isinstance(event, Preparing):
            self._begin("images", event.images, event.done)
        elif isinstance(event, StudyStarted):
            self._begin("plan", 0, event.done)
        elif isinstance(event, Planned):
            total = self._board.done + _trainings(event.forecast)
            self._begin("search", total, self._board.done)
        elif isinstance(event, JobStarted):
            order, design = event.order, event.order.design
            sizes = f"{format_count(design.flops)} FLOPs, {format_count(design.params)} parameters"
            line = JobLine(printable_lines(_named(event)), order.length.epochs, note=sizes)
            self._board.jobs[str(order.key)] = line
            if order.key.purpose == "final":  # a bound may leave room for more than was planned
                under_way = self._board.done + len(self._board.jobs)
                self._board.total = max(self._board.total, under_way)
        elif isinstance(event, EpochDone):
            self._epoch_done(event)
        elif isinstance(event, JobEnded):
            self._job_ended(event)
        elif isinstance(event, FinalistsStarted):
            self._begin("training" if event.full else "finals", event.jobs, event.done)
        elif isinstance(event, ExportStarted):
            self._begin("export", 0, 0)
            self._board.note = "writing the best model"

    def _begin(self, what: str, total: float, done: float) -> None:
        self._board.begin(what, total, done)
        self._board.note = self._note()

    def _epoch_done(self, event: EpochDone) -> None:
        job = self._board.jobs.get(event.report.key)
        if job is not None:
            job.done = event.report.epoch
            job.short = _validated(event.report) or job.short
            job.note = standing(event.report, validated=job.short)
            if event.report.before:
                job.note = f"second try  {job.note}"

    def _job_ended(self, event: JobEnded) -> None:
        self._board.jobs.pop(str(event.order.key), None)
        outcome = event.outcome
        if event.best and outcome is not None and outcome.val_accuracy is not None:
            self._best = f"best {outcome.val_accuracy:.1%}"
        self._board.done += event.status != "interrupted"
        self._board.note = self._note()

    def _note(self) -> str:
        return ", ".join(part for part in (self._best, self._clock.left()) if part)


class LiveView(BarsView):
    """The bars in a terminal, redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._live = BoardView(self._board, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.__exit__(None, None, None)

    def _show(self, event: Event) -> None:
        with _unwatched(cast(TextIO, self._console.file)):
            if isinstance(event, Planned):
                self._console.print(pairs(plan_rows(event.forecast)))
                return
            for line in lasting_lines(event):
                self._console.print(Text(line))


def lasting_lines(event: Event) -> list[str]:
    """Say what should stay where bars show the rest."""
    if isinstance(event, JobEnded):
        return [f"{_named(event)}: {ended_text(event)}"]
    if isinstance(event, JobStarted | EpochDone | ExportStarted):
        return []
    return event_lines(event)


def _named(event: JobStarted | JobEnded) -> str:
    """Name a network; in the finals also the seed, as it is trained with several."""
    key, label = event.order.key, event.order.design.label
    if key.seed is not None:
        return f"{label} seed {key.seed}"
    return f"{label} rung {key.rung}" if key.rung else label


def event_lines(event: Event) -> list[str]:
    """Say in plain lines what happened; nothing where that is of no interest."""
    if isinstance(event, StudyStarted):
        return [headline(event), *event.notes]
    if isinstance(event, Planned):
        return plan_lines(event.forecast)
    if isinstance(event, JobStarted):
        design = event.order.design
        flops = format_count(design.flops)
        return [f"{event.order.key}: {design.label} ({flops} FLOPs) starts"]
    if isinstance(event, EpochDone):
        return [f"{event.report.key}: {progress_text(event)}"]
    if isinstance(event, JobEnded):
        return [f"{event.order.key}: {ended_text(event)}"]
    if isinstance(event, FinalistsStarted):
        return [finals_text(event)] if event.jobs else []
    if isinstance(event, ExportStarted):
        return ["exporting the best model"]
    return [event.text] if isinstance(event, Notice | Measuring) else []


def headline(event: StudyStarted) -> str:
    """Say what a study is about to do."""
    s = event.settings
    images = ", ".join(f"{count:,} {name}" for name, count in event.images.items())
    data = f"{format_size(event.input)} images of {event.classes} classes ({images})"
    if event.network:
        return f"Full training {event.study}: {event.network}; {data}"
    goes_on = f" (goes on; {event.done} done)" if event.done else ""
    trials = counted(min(s.trials, event.distinct), "trial")
    if s.trials >= BOUNDED_TRIALS:
        trials = "as many trials as fit" if event.distinct > s.trials else f"at most {trials}"
    slices = f" in {len(s.budgets())} slices" if s.budgets() else ""
    bounds = [f"within {bound}" for bound in (s.max_time, s.search_flops) if bound]
    return (
        f"Study {event.study}{goes_on}: {' '.join([trials, *bounds])} of {s.space} under "
        f"{s.flops} FLOPs{slices}, {data}, "
        f"{event.distinct:,} distinct settings of the knobs"
    )


def progress_text(event: EpochDone) -> str:
    """Say how a network stands after an epoch, and which one."""
    report, epochs = event.report, event.order.length.epochs
    second = " of a second try" if report.before else ""
    return (
        f"epoch {report.epoch}/{epochs}{second}  {standing(report, validated=_validated(report))}"
    )


def standing(report: EpochReport, *, validated: str) -> str:
    """Say how a network stands after an epoch; `validated` is how it did when it was last evaluated."""
    parts = [f"loss {report.loss:.3f}", validated, f"{report.images_per_s:.0f} images/s"]
    return "  ".join(part for part in parts if part)


def _validated(report: EpochReport) -> str:
    return "" if report.val_accuracy is None else f"val {report.val_accuracy:.1%}"


def ended_text(event: JobEnded) -> str:
    """Say how a network's training ended."""
    outcome = event.outcome
    if outcome is None:
        return event.status
    status: str = "stalled" if outcome.stalled else outcome.status
    if outcome.rate_share < 1:
        status = f"{status} at {share_text(outcome.rate_share)} of the rate"
    if outcome.microbatches > 1:
        status = f"{status}, in {outcome.microbatches} microbatches"
    parts = [f"{status} ({outcome.reason})" if outcome.reason else status]
    if outcome.val_accuracy is not None:
        parts.append(f"val {outcome.val_accuracy:.1%}")
    if outcome.test_accuracy is not None:
        parts.append(f"test {outcome.test_accuracy:.1%}")
    parts.append(format_duration(outcome.total_s))
    return ", ".join(parts) + (" - best so far" if event.best else "")


def finals_text(event: FinalistsStarted) -> str:
    """Say what is retrained."""
    trainings = counted(event.jobs, "training")
    named = ", ".join(event.entrants)
    if event.full:
        return f"Training {named} from scratch, {trainings}"
    if not event.candidates:
        return f"Finals: {named} from scratch, {trainings}"
    others = f"those of {counted(event.candidates, 'candidate')} that may win"
    return f"Finals: {' and '.join(filter(None, (named, others)))} from scratch, {trainings}"
