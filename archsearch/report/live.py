"""What a person sees while a run works: a live view in a terminal, plain lines elsewhere.

Both are told the same events. Everything goes to stderr; stdout is the result's.
"""

import os
import sys
import time
from collections.abc import Callable
from typing import Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Column
from rich.text import Text

from archsearch.report.plan import plan_lines
from archsearch.search.events import (
    EpochDone,
    Event,
    ExportStarted,
    FinalistsStarted,
    JobEnded,
    JobStarted,
    Notice,
    Planned,
    StudyStarted,
)
from archsearch.units import format_count, format_duration, format_size


def open_view(*, quiet: bool, stream: TextIO | None = None) -> "View":
    """Return the view that fits: none if `quiet`, live in a terminal, else plain lines."""
    stream = stream or sys.stderr
    if quiet:
        return View()
    dumb = os.environ.get("TERM") == "dumb" or "NO_COLOR" in os.environ or "CI" in os.environ
    if dumb or not stream.isatty():
        return PlainView(stream)
    return LiveView(Console(file=stream, highlight=False))


class View:
    """Watches a run; this one says nothing but what a person must hear."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, event: Event) -> None:
        """Take note of what happened."""
        if isinstance(event, Notice):
            print(event.text, file=sys.stderr)


class _Clock:
    """How much of the run's work is done, and so how long the rest may take."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.done = 0.0
        self.total = 0.0

    def left(self) -> str:
        """Return e.g. `about 3 min left`, or nothing before there is anything to go by."""
        if self.done < 1 or self.total <= self.done:
            return ""
        spent = time.monotonic() - self.began
        return f"about {format_duration(spent / self.done * (self.total - self.done))} left"


class PlainView(View):
    """A line for what begins and ends, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._clock = _Clock()

    def __call__(self, event: Event) -> None:
        """Print the event's line."""
        for line in self._lines(event):
            print(line, file=self._stream, flush=True)

    def _lines(self, event: Event) -> list[str]:
        if isinstance(event, StudyStarted):
            self._clock.total = event.settings.trials - event.done
            return [headline(event), *event.notes]
        if isinstance(event, Planned):
            return plan_lines(event.forecast)
        if isinstance(event, JobStarted):
            return [f"{event.key}: {event.label} ({format_count(event.flops)} FLOPs) starts"]
        if isinstance(event, EpochDone):
            return [f"{event.report.key}: {progress_text(event)}"]
        if isinstance(event, JobEnded):
            self._clock.done += 1
            return [" ".join((f"{event.key}:", ended_text(event), self._clock.left())).rstrip()]
        if isinstance(event, FinalistsStarted):
            self._clock = _Clock()
            self._clock.total = event.jobs - event.done
            return [finals_text(event)]
        if isinstance(event, ExportStarted):
            return ["exporting the best model"]
        return [event.text] if isinstance(event, Notice) else []


class LiveView(View):
    """Bars for the study and for every network in training, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._clock = _Clock()
        self._study = Progress(
            TextColumn("{task.description}", style="bold"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn(
                "{task.fields[note]}", table_column=Column(overflow="ellipsis", no_wrap=True)
            ),
            console=console,
            expand=True,
        )
        self._jobs = Progress(
            TextColumn(
                "  {task.description}", table_column=Column(overflow="ellipsis", no_wrap=True)
            ),
            BarColumn(bar_width=12),
            TextColumn(
                "{task.fields[note]}", table_column=Column(overflow="ellipsis", no_wrap=True)
            ),
            console=console,
            expand=True,
        )
        self._bar: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        self._best = ""
        self._live = Live(
            Group(self._study, self._jobs), console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._live.__exit__(None, None, None)

    def __call__(self, event: Event) -> None:
        """Bring the bars up to date; print what should stay."""
        handler: Callable[[Event], None] | None = {
            StudyStarted: self._study_started,
            Planned: self._planned,
            JobStarted: self._job_started,
            EpochDone: self._epoch_done,
            JobEnded: self._job_ended,
            FinalistsStarted: self._finals_started,
            ExportStarted: self._export_started,
            Notice: self._notice,
        }.get(type(event))  # type: ignore[assignment]  # each handler takes its own event
        if handler is not None:
            handler(event)

    def _study_started(self, event: StudyStarted) -> None:
        self._print(headline(event))
        for note in event.notes:
            self._print(note)
        self._begin("search", event.settings.trials, event.done)

    def _planned(self, event: Planned) -> None:
        for line in plan_lines(event.forecast):
            self._print(line)

    def _begin(self, what: str, total: int, done: int) -> None:
        if self._bar is not None:
            self._study.remove_task(self._bar)
        self._clock = _Clock()
        self._clock.total = total - done
        self._bar = self._study.add_task(what, total=total, completed=done, note=self._note())

    def _job_started(self, event: JobStarted) -> None:
        note = f"{format_count(event.flops)} FLOPs, {format_count(event.params)} parameters"
        task = self._jobs.add_task(event.label, total=event.epochs, note=note)
        self._tasks[event.key] = task

    def _epoch_done(self, event: EpochDone) -> None:
        if event.report.key in self._tasks:
            self._jobs.update(
                self._tasks[event.report.key],
                completed=event.report.epoch,
                note=progress_text(event),
            )

    def _job_ended(self, event: JobEnded) -> None:
        if event.key in self._tasks:
            self._jobs.remove_task(self._tasks.pop(event.key))
        self._clock.done += 1
        if event.best and event.val_accuracy is not None:
            self._best = f"best {event.val_accuracy:.1%}"
        self._print(f"{event.label}: {ended_text(event)}")
        if self._bar is not None:
            self._study.update(self._bar, advance=1, note=self._note())

    def _finals_started(self, event: FinalistsStarted) -> None:
        self._print(finals_text(event))
        self._begin("finals", event.jobs, event.done)

    def _export_started(self, event: ExportStarted) -> None:
        if self._bar is not None:
            self._study.update(self._bar, description="export", note="writing the best model")

    def _notice(self, event: Notice) -> None:
        self._print(event.text)

    def _note(self) -> str:
        return ", ".join(part for part in (self._best, self._clock.left()) if part)

    def _print(self, text: str) -> None:
        self._console.print(Text(text))


def headline(event: StudyStarted) -> str:
    """Say what a study is about to do."""
    s = event.settings
    images = ", ".join(f"{count:,} {name}" for name, count in event.images.items())
    goes_on = f" (goes on; {event.done} done)" if event.done else ""
    return (
        f"Study {event.study}{goes_on}: {s.trials} trials of {s.space} under {s.flops} FLOPs, "
        f"{format_size(event.input)} images of {event.classes} classes ({images}), "
        f"{event.distinct:,} distinct settings of the knobs, {s.workers} at a time"
    )


def progress_text(event: EpochDone) -> str:
    """Say how a network stands after an epoch."""
    r = event.report
    return (
        f"epoch {r.epoch}/{event.epochs}  loss {r.loss:.3f}  val {r.val_accuracy:.1%}  "
        f"{r.images_per_s:.0f} images/s"
    )


def ended_text(event: JobEnded) -> str:
    """Say how a network's training ended."""
    parts = [event.status if not event.reason else f"{event.status} ({event.reason})"]
    if event.val_accuracy is not None:
        parts.append(f"val {event.val_accuracy:.1%}")
    if event.test_accuracy is not None:
        parts.append(f"test {event.test_accuracy:.1%}")
    parts.append(format_duration(event.total_s))
    return ", ".join(parts) + (" - best so far" if event.best else "")


def finals_text(event: FinalistsStarted) -> str:
    """Say what is retrained."""
    return f"Finals: {', '.join(event.entrants)} from scratch, {event.jobs} trainings"
