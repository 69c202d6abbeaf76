"""A study's log: what happened when, and what libraries said meanwhile."""

import logging
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from archsearch.errors import ArchsearchError
from archsearch.report.live import View, event_lines, say
from archsearch.study.events import Event, StudyStarted
from archsearch.units import printable_lines
from archsearch.uris import without_secrets

_FORM: Final = "%(asctime)s %(levelname)-7s %(message)s"
_LIBRARY_FORM: Final = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_OURS: Final = "archsearch"


class StudyLog:
    """While active, writes a run's events and libraries' lines into the study's `driver.log`.

    Args:
        view: is told every event too.
        verbose: also write all lines, those of the workers' libraries among them, to stderr.
        capture: take libraries' log lines and warnings; they reach the terminal no more.
    """

    def __init__(self, view: View, *, verbose: bool = False, capture: bool = True) -> None:
        self._view = view
        self._verbose = verbose
        self._capture = capture
        self._logger = logging.getLogger(f"{_OURS}.run")
        self._place = logging.getLogger() if capture else self._logger
        self._early = _Kept()
        self._handlers: list[logging.Handler] = [self._early]
        self._file: logging.FileHandler | None = None
        self._workers: Path | None = None
        self._read: dict[Path, int] = {}

    def __enter__(self) -> Self:
        if self._verbose:
            self._handlers.append(logging.StreamHandler(sys.stderr))
        for handler in self._handlers:
            self._attach(handler)
        self._logger.setLevel(logging.INFO)
        if self._capture:
            logging.captureWarnings(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pass_on_workers()
        if isinstance(error, ArchsearchError):
            self._logger.error("ended: %s", error)
        elif error is not None:
            self._logger.error("ended: %s", type(error).__name__, exc_info=error)
        if self._capture:
            logging.captureWarnings(False)
        for handler in self._handlers:
            self._place.removeHandler(handler)
            handler.close()

    def __call__(self, event: Event) -> None:
        """Log the event and pass it on."""
        if isinstance(event, StudyStarted):
            self._begin(Path(event.folder))
        self._pass_on_workers()
        for line in event_lines(event):
            self._logger.info("%s", line)
        self._view(event)

    def _attach(self, handler: logging.Handler) -> None:
        handler.setFormatter(_Form(_FORM))
        self._place.addHandler(handler)

    def _begin(self, folder: Path) -> None:
        """Go on in the study's file; what has been said before is copied into it."""
        self._workers = folder / "workers"
        # Workers append to their logs; what a resumed study's have said is known.
        self._read = {path: path.stat().st_size for path in self._workers.glob("*.log")}
        try:
            self._file = logging.FileHandler(folder / "driver.log", encoding="utf-8")
        except OSError:
            return  # a run whose folder can't be written says so itself
        self._handlers.append(self._file)
        self._attach(self._file)
        self._place.removeHandler(self._early)
        for record in self._early.records:
            self._file.handle(record)

    def _pass_on_workers(self) -> None:
        """Show what libraries in the workers have said since the last event."""
        if not self._verbose or self._workers is None:
            return
        for path in sorted(self._workers.glob("*.log")):
            try:
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    said = file.read()
            except OSError:
                continue
            self._read[path] = self._read.get(path, 0) + len(said)
            for line in said.decode("utf-8", "replace").splitlines():
                if line.strip():
                    say(f"{path.stem}: {line}", sys.stderr)


class _Kept(logging.Handler):
    """Keeps what is said before there is a file."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class _Form(logging.Formatter):
    """Names whoever speaks, unless it is this program; shows no password, and text only."""

    def __init__(self, form: str) -> None:
        super().__init__(form)
        self._library = logging.Formatter(_LIBRARY_FORM)

    def format(self, record: logging.LogRecord) -> str:
        ours = record.name.startswith(_OURS)
        text = super().format(record) if ours else self._library.format(record)
        return printable_lines(without_secrets(text))
