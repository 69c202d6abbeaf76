"""How long one call of an exported network takes: measured, in a process of its own.

What is measured is what an export gives: a SavedModel, loaded again, its `serve` signature called
with a batch that is a tensor already, until the answer is at hand.
"""

import contextlib
import gc
import os
import shutil
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, Self

from archsearch.errors import ArchsearchError, UserError
from archsearch.ir.codec import from_json
from archsearch.runtime.spawn import no_signals

LEAST_CALLS: Final = 30
MEASURE_S: Final = 1.0
SILENCE_S: Final = 900.0
"""A process that says nothing for so long hangs: no network of ours takes so long to build."""
_LONGEST: Final = 5
"""Slow networks are called for this many times as long, rather than too seldom; three times at least."""
_MOST_CALLS: Final = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of a call of `batch` images, over `calls` calls after warm-up.

    Attributes:
        median_ms: half of the calls were quicker.
        p10_ms, p90_ms: a tenth of them was quicker, or slower.
        device: `cpu`, `gpu:0`.
        threads: that TensorFlow computes with.
    """

    median_ms: float
    p10_ms: float
    p90_ms: float
    calls: int
    batch: int
    device: str
    threads: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRequest:
    """What to measure; plain values, so that they go to another process."""

    graph: str
    """Graph JSON."""
    batch: int = 1
    seconds: float = MEASURE_S
    weights: str | None = None
    """File that a job left; None: random weights."""


class LatencyGauge:
    """Measures networks one after another, in a process that imports TensorFlow once.

    The process starts with the first question, and again where it has died. Use it as a context, or
    call `close`; it ends with the process that started it in any case.

    Args:
        log: file for what libraries print; the exported networks lie beside it while they are
            measured.
        device: `cpu`, `gpu` or `gpu:1`; None: the first GPU where there is one.
        threads: CPU threads; None: one for each core this process may use.
        main: what the process runs (tests bring their own).
        silence_s: a measurement that takes longer is given up.
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
        self._threads = threads or _cores()
        self._main = main or _child
        self._silence_s = silence_s
        self._process: SpawnProcess | None = None
        self._pipe: Connection | None = None
        self._asked_at: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Of the process that measures; None before the first question."""
        return None if self._process is None else self._process.pid

    def ask(self, request: LatencyRequest) -> None:
        """Begin a measurement; `poll` gives what came of it.

        Raises:
            ValueError: another is under way.
        """
        if self._asked_at is not None:
            raise ValueError("a measurement is under way")
        for last in (False, True):  # the process may have died since the last answer
            pipe = self._pipe or self._start()
            try:
                pipe.send(asdict(request))
                break
            except (BrokenPipeError, ConnectionResetError):
                if last:
                    raise self._died() from None
                self._end()
        self._asked_at = time.monotonic()

    def poll(self, timeout_s: float = 0.0) -> Latency | None:
        """Return the answer; None where there is none within `timeout_s`.

        Raises:
            UserError: the device is not there; says what there is.
            ArchsearchError: the measurement failed, took too long, or its process died.
        """
        if self._asked_at is None or self._pipe is None:
            raise ValueError("nothing was asked")
        try:
            if not self._pipe.poll(timeout_s):
                if time.monotonic() - self._asked_at <= self._silence_s:
                    return None
                self._end()
                raise ArchsearchError(f"no latency measured within {self._silence_s:.0f} s")
            kind, answer = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise self._died() from None
        self._asked_at = None
        if kind == "done":
            return Latency(**answer)
        raise (UserError if kind == "user" else ArchsearchError)(answer)

    def measure(self, request: LatencyRequest) -> Latency:
        """Measure and wait for it.

        Raises:
            UserError: the device is not there; says what there is.
            ArchsearchError: the measurement failed, took too long, or its process died.
        """
        self.ask(request)
        return self.wait()

    def wait(self) -> Latency:
        """Return the answer to what was asked; raises what `poll` raises."""
        while (found := self.poll(1.0)) is None:
            pass
        return found

    def close(self) -> None:
        """End the process, whatever it does."""
        self._end()

    def _start(self) -> Connection:
        from multiprocessing import get_context

        context = get_context("spawn")
        mine, theirs = context.Pipe()
        self._process = context.Process(
            target=self._main,
            args=(theirs, self._device, self._threads, str(self._log)),
            name="archsearch-latency",
            daemon=True,
        )
        with no_signals():
            self._process.start()
        theirs.close()
        self._pipe = mine
        return mine

    def _died(self) -> ArchsearchError:
        """Clear away a process that has died, and say why it has."""
        process = self._process
        self._end(kill=False)
        code = None if process is None else process.exitcode
        why = "it closed its pipe" if code is None else f"exit status {code}{_last_line(self._log)}"
        if code is not None and code < 0:
            memory = "; perhaps the memory ran out" if -code == signal.SIGKILL else ""
            why = f"signal {-code} ({signal.Signals(-code).name}){memory}"
        return ArchsearchError(f"the process that measures latency died: {why}")

    def _end(self, *, kill: bool = True) -> None:
        self._asked_at = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._process is not None:
            if kill:
                self._process.kill()  # it keeps nothing that could be half written
            self._process.join(5.0)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None
        shutil.rmtree(_place(self._log), ignore_errors=True)


def checked_device(text: str | None) -> str | None:
    """Return a device's name as it is compared: `gpu` is `gpu:0`.

    Raises:
        UserError: it is no name of a device.
    """
    if text is None:
        return None
    kind, colon, number = text.strip().lower().partition(":")
    if kind == "cpu" and not colon:
        return "cpu"
    if kind == "gpu" and ((number.isascii() and number.isdecimal()) or not colon):
        return f"gpu:{int(number or 0)}"
    raise UserError(f"no device {text!r}; write cpu, gpu or gpu:1")


def measure(request: LatencyRequest, folder: Path, *, device: str, threads: int) -> Latency:
    """Export the network, load what was written, and time its calls. Imports TensorFlow.

    Args:
        request: what to measure.
        folder: where the export lies meanwhile; whatever is there is removed.
        device: `cpu`, or a GPU, the only one that TensorFlow sees.
        threads: CPU threads it computes with.

    Raises:
        ArchsearchError: the weights are not this network's.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    graph = from_json(request.graph)
    shape = (request.batch, *graph.input)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    place = "/CPU:0" if device == "cpu" else "/GPU:0"  # the others are hidden
    with _removed(folder), tf.device(place):
        _export(request, folder)
        keras.backend.clear_session()
        gc.collect()
        module = tf.saved_model.load(str(folder))
        serve, batch = module.signatures["serve"], tf.constant(images)

        def call() -> object:
            return serve(images=batch)["probabilities"].numpy()  # on a GPU it is not at hand before

        times_s = timed(call, request.seconds)
    cuts = statistics.quantiles(times_s, n=10, method="inclusive")
    return Latency(
        median_ms=1e3 * statistics.median(times_s),
        p10_ms=1e3 * cuts[0],
        p90_ms=1e3 * cuts[-1],
        calls=len(times_s),
        batch=request.batch,
        device=device,
        threads=threads,
    )


def timed(
    call: Callable[[], object], seconds: float, *, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Return the seconds of each of many calls, after warm-up: `seconds` and LEAST_CALLS at least.

    Where the calls are so slow that these take much longer than `seconds`, there are fewer.
    """
    began = clock()
    warm = 0
    while warm < 2 or (clock() - began < 0.2 * seconds and warm < LEAST_CALLS):
        call()
        warm += 1
    times: list[float] = []
    collecting = gc.isenabled()
    gc.disable()
    try:
        began = before = clock()
        while len(times) < _MOST_CALLS:
            call()
            now = clock()
            times.append(now - before)
            before = now
            spent = now - began
            if spent >= seconds and len(times) >= LEAST_CALLS:
                break
            if spent >= _LONGEST * seconds and len(times) >= 3:
                break
    finally:
        if collecting:
            gc.enable()
    return times


@contextlib.contextmanager
def _removed(folder: Path) -> Iterator[None]:
    """Have nothing there before the block and after it."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _place(log: Path) -> Path:
    return log.with_suffix(".model")


def _export(request: LatencyRequest, folder: Path) -> None:
    """Write the network as `export` does; classes and preprocessing have no influence on time."""
    import numpy as np

    from archsearch.runtime.export import write_saved_model
    from archsearch.runtime.model import build_model
    from archsearch.runtime.weights import load_weights, set_weights

    graph = from_json(request.graph)
    model = build_model(graph, lowering="train")
    if request.weights is not None:
        set_weights(model, load_weights(Path(request.weights)))
    channels = graph.input[-1]
    write_saved_model(
        model,
        folder,
        mean=np.full(channels, 127.5, np.float32),
        std=np.full(channels, 64.0, np.float32),
        facts={
            "classes": [str(n) for n in range(int(model.output_shape[-1]))],
            "input": list(graph.input),
        },
    )


def _last_line(log: Path) -> str:
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return ""
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f", {last[:200]}" if last else ""


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _child(pipe: Connection, device: str | None, threads: int, log: str) -> None:
    """Answer requests until the pipe closes: ("done", values), ("user", text) or ("failed", text)."""
    import traceback

    from archsearch.runtime.devices import gpu_numbers
    from archsearch.runtime.setup import WorkerSetup
    from archsearch.runtime.worker import end_with_driver, redirect_output

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # what to do about it is the driver's to say
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end_with_driver()
    redirect_output(Path(log))
    # SavedModels are TensorFlow's.
    WorkerSetup(threads=threads, gpu=",".join(gpu_numbers()) or None).apply()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            asked: dict[str, Any] = pipe.recv()
            answer: tuple[str, object]
            try:
                chosen = _choose_device(device)
                request = LatencyRequest(**asked)
                found = measure(request, _place(Path(log)), device=chosen, threads=threads)
                answer = ("done", asdict(found))
            except UserError as error:
                answer = ("user", str(error))
            except ArchsearchError as error:
                answer = ("failed", str(error))
            except Exception as error:
                traceback.print_exc()
                first = (str(error).strip() or "no message").splitlines()[0]
                answer = ("failed", f"latency not measured: {type(error).__name__}: {first[:300]}")
            pipe.send(answer)


def _choose_device(wanted: str | None) -> str:
    """Hide all GPUs but the one to measure on, before TensorFlow uses any.

    Raises:
        UserError: the device is not there.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    known = ["cpu", *(f"gpu:{n}" for n in range(len(gpus)))]
    device = wanted or known[min(1, len(gpus))]
    if device not in known:
        raise UserError(
            f"no device {device!r} that TensorFlow can use; there are: {', '.join(known)}"
        )
    mine = [] if device == "cpu" else [gpus[int(device.partition(":")[2])]]
    if gpus and tf.config.get_visible_devices("GPU") != mine:
        tf.config.set_visible_devices(mine, "GPU")
        for gpu in mine:  # others train on it at the same time
            tf.config.experimental.set_memory_growth(gpu, True)
    return device
