"""A process of its own that has TensorFlow: it measures and exports, and the driver goes on with its work."""

import contextlib
import importlib
import os
import shutil
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Self

from archsearch.errors import ArchsearchError, MachineError, UserError
from archsearch.exchange.checking.agreement import Exported
from archsearch.exchange.device_choice import checked_device, choose_device
from archsearch.exchange.export import ExportRequest, check_out, export
from archsearch.exchange.latency import Call, Latency, LatencyRequest, exported_call, measure
from archsearch.exchange.place import clear_leftovers
from archsearch.training.devices import cores, gpu_numbers
from archsearch.training.faults import disk_fails
from archsearch.training.processes import NAME, Child, leave_if_imported, start

SILENCE_S: Final = 900.0
"""Seconds after which a silent process is taken to hang: no network of ours takes so long to build."""

_PREPARE: Final = "prepare"
_MEASURE: Final = "measure"
_EXPORT: Final = "export"
_KINDS: Final = {"user": UserError, "machine": MachineError}
"""What is raised of an answer that is none, by its kind; else an ArchsearchError."""


class ModelProcess:
    """Measures and exports networks one after another, in a process that imports TensorFlow once.

    The process starts with the first request, if not before (`warm_up`), and again where it has died: what
    it was asked is tried once more. Use it as a context, or call `close`; it ends with the process that
    started it in any case.

    Args:
        log: file for what libraries print; the exported networks lie beside it while they are
            measured.
        device: `cpu`, `gpu` or `gpu:1`; None: the first GPU where there is one.
        threads: CPU threads; None: one for each core this process may use.
        main: what the process runs (tests bring their own).
        silence_s: what takes longer is given up.
    """

    def __init__(
        self,
        *,
        log: Path,
        device: str | None = None,
        threads: int | None = None,
        main: "Callable[[Connection, str | None, int, str], None] | None" = None,
        silence_s: float = SILENCE_S,
    ) -> None:
        self._log = log
        self._device = checked_device(device)
        self._threads = threads or cores()
        self._main = main or _child
        self._silence_s = silence_s
        self._child: Child | None = None
        self._asked_at: float | None = None
        self._asked: tuple[str, LatencyRequest | ExportRequest] | None = None
        self._tried = False  # once already what is asked, by a process that died over it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Of the process; None before it is started."""
        return None if self._child is None else self._child.process.pid

    def warm_up(self, requests: Sequence[LatencyRequest] = ()) -> None:
        """Start the process now, as something will be asked soon: it takes seconds to import TensorFlow.

        Networks that will be measured are exported and loaded, so that only their calls are left to do.
        """
        pipe = self._started()
        # Whoever asks next is told that the process has died.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for request in requests:
                pipe.send((_PREPARE, asdict(request)))

    def ask(self, request: LatencyRequest) -> None:
        """Begin a measurement; `poll` gives what came of it.

        Raises:
            ValueError: another is under way.
        """
        self._send(_MEASURE, request)

    def _send(self, kind: str, request: LatencyRequest | ExportRequest) -> None:
        if self._asked_at is not None:
            raise ValueError("a request is under way")
        self._tried = False
        self._hand_over(kind, request)

    def _hand_over(self, kind: str, request: LatencyRequest | ExportRequest) -> None:
        for last in (False, True):  # the process may have died since the last answer
            pipe = self._started()
            try:
                pipe.send((kind, asdict(request)))
                break
            except (BrokenPipeError, ConnectionResetError):
                if last:
                    raise self._died() from None
                self._end()
        self._asked_at, self._asked = time.monotonic(), (kind, request)

    def poll(self, timeout_s: float = 0.0) -> Latency | None:
        """Return the answer; None where there is none within `timeout_s`.

        Raises:
            UserError: the device is not there; says what there is.
            MachineError: a disk fails: no other network would be measured either.
            ArchsearchError: the measurement failed, took too long, or its process died.
        """
        answer = self._answer(timeout_s)
        return None if answer is None else Latency(**answer)

    def _answer(self, timeout_s: float) -> Any:
        if self._asked_at is None or self._child is None:
            raise ValueError("nothing was asked")
        try:
            if not self._child.pipe.poll(timeout_s):
                if time.monotonic() - self._asked_at <= self._silence_s:
                    return None
                self._end()
                raise ArchsearchError(f"no answer within {self._silence_s:.0f} s; see {self._log}")
            kind, answer = self._child.pipe.recv()
        except (EOFError, OSError):
            error = self._died()
            if self._tried or self._asked is None:
                raise error from None
            # Perhaps it was killed for its memory, or by hand: it need not be what was asked.
            self._tried = True
            kind, request = self._asked
            if isinstance(request, ExportRequest):
                clear_leftovers(Path(request.out))
            self._hand_over(kind, request)
            return None
        self._asked_at = None
        if kind == "done":
            return answer
        raise _KINDS.get(kind, ArchsearchError)(answer)

    def measure(self, request: LatencyRequest) -> Latency:
        """Return a latency as soon as it is measured.

        Raises:
            UserError: the device is not there; says what there is.
            MachineError: a disk fails: no other network would be measured either.
            ArchsearchError: the measurement failed, took too long, or its process died.
        """
        self.ask(request)
        return self.wait()

    def wait(self) -> Latency:
        """Return the answer to what was asked; raises what `poll` raises."""
        while (found := self.poll(1.0)) is None:
            pass
        return found

    def export(self, request: ExportRequest) -> Exported:
        """Export and wait for it; return what came of it (see archsearch.exchange.export).

        Raises:
            UserError: the output exists, its name does not fit the format, or a package is missing.
            ArchsearchError: it failed.
        """
        check_out(request)  # before seconds of importing
        try:
            self._send(_EXPORT, request)
            while (answer := self._answer(1.0)) is None:
                pass
        except BaseException:
            if self._asked_at is not None:  # interrupted: it would go on writing
                self._end()
            clear_leftovers(Path(request.out))
            raise
        return Exported(**answer)

    def close(self) -> None:
        """End the process, whatever it does."""
        self._end()

    def _started(self) -> Connection:
        """Return the pipe to the process, which begins now where there is none."""
        if self._child is None:
            leave_if_imported()
            _clear_dead(self._log)
            self._child = start(
                self._main, self._device, self._threads, name="models", log=self._log
            )
        return self._child.pipe

    def _died(self) -> ArchsearchError:
        """Clear away a process that has died, and say why it has."""
        child = self._child
        assert child is not None
        self._end(kill=False)
        return ArchsearchError(f"the process that measures and exports died: {child.why_ended()}")

    def _end(self, *, kill: bool = True) -> None:
        self._asked_at = None
        if self._child is None:
            return
        self._child.pipe.close()
        process = self._child.process
        if kill:
            process.kill()  # what it was writing has another name until it is whole
        process.join(5.0)
        if process.is_alive():
            process.kill()
            process.join()
        shutil.rmtree(_place(self._log, process.pid), ignore_errors=True)
        for folder in Path(tempfile.gettempdir()).glob(f"{_scratch(process.pid)}*"):
            shutil.rmtree(folder, ignore_errors=True)
        self._child = None


def _place(log: Path, process_id: int | None) -> Path:
    """Name the folder of a process's networks: others may measure beside the same log."""
    return log.with_suffix(f".{process_id}.model")


def _scratch(process_id: int | None) -> str:
    """Begin the name of the folder for what libraries in a process leave as temporary files.

    TensorFlow removes its own as a process ends well; this one is ended in the middle of whatever it does.
    """
    return f"{NAME}{process_id}-"


def _clear_dead(log: Path) -> None:
    """Remove what processes left that were killed with their drivers."""
    import psutil

    for folder in log.parent.glob(f"{log.stem}.*.model"):
        process_id = folder.suffixes[-2].removeprefix(".")
        if not (process_id.isdecimal() and psutil.pid_exists(int(process_id))):
            shutil.rmtree(folder, ignore_errors=True)


def _child(pipe: Connection, device: str | None, threads: int, log: str) -> None:
    """Answer requests until the pipe closes.

    In come a kind and a request's values, out goes ("done", what came of it), ("user", text), ("machine",
    text) or ("failed", text); to `prepare` there is no answer.
    """
    from archsearch.training.setup import WorkerSetup
    from archsearch.training.worker import end_at_once, end_with_driver, redirect_output

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what to do about it is the driver's to say
    end_with_driver()
    redirect_output(Path(log))
    tempfile.tempdir = tempfile.mkdtemp(prefix=_scratch(os.getpid()))
    # SavedModels are TensorFlow's.
    WorkerSetup(threads=threads, gpu=",".join(gpu_numbers()) or None).apply()
    importlib.import_module("archsearch.training.lowering.keras_model")  # Keras and TensorFlow
    answers = _Answers(device, threads, Path(log))
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            kind, asked = pipe.recv()
            answer = answers.to(kind, asked)
            if kind != _PREPARE:
                pipe.send(answer)
    end_at_once()


class _Answers:
    """What the process says to requests, and the networks it has ready to be measured."""

    def __init__(self, device: str | None, threads: int, log: Path) -> None:
        self._wanted = device
        self._device = ""
        self._threads = threads
        self._log = log
        self._ready: dict[LatencyRequest, Call] = {}

    def to(self, kind: str, asked: dict[str, Any]) -> tuple[str, object]:
        try:
            if kind == _EXPORT:
                return "done", asdict(self._export(ExportRequest(**asked)))
            request = LatencyRequest(**asked)
            if kind == _PREPARE:
                self._ready[request] = self._call(request)
                return "done", None
            return "done", asdict(self._measure(request))
        except UserError as error:
            return "user", str(error)
        except ArchsearchError as error:
            return "machine" if isinstance(error, MachineError) else "failed", str(error)
        except Exception as error:
            traceback.print_exc()
            first = (str(error).strip() or "no message").splitlines()[0]
            what = "the export failed" if kind == _EXPORT else "latency not measured"
            kind = "machine" if disk_fails(error) else "failed"
            return kind, f"{what}: {type(error).__name__}: {first[:300]}; see {self._log}"

    def _export(self, request: ExportRequest) -> Exported:
        # On the processor, where nobody has chosen: a GPU may be busy.
        self._device = self._device or choose_device(self._wanted or "cpu")
        return export(request)

    def _measure(self, request: LatencyRequest) -> Latency:
        call = self._ready.pop(request, None) or self._call(request)
        return measure(request, call, device=self._device, threads=self._threads)

    def _call(self, request: LatencyRequest) -> Call:
        self._device = self._device or choose_device(self._wanted)
        return exported_call(request, _place(self._log, os.getpid()))
