"""How long one call of an exported network takes: measured.

What is measured is what an export gives: a SavedModel, loaded again, its `serve` signature called
with a batch that is a tensor already, until the answer is at hand. Where other work disturbs, calls
take very different times: such a measurement is repeated, and the calmest counts.
"""

import contextlib
import gc
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from archsearch.exchange.formats.format import Trained
from archsearch.ir.codec import from_json

LEAST_CALLS: Final = 30
MEASURE_S: Final = 1.0
_LONGEST: Final = 5
"""Times as long, at most, that a slow network is called, so that there are calls enough."""
_MOST_CALLS: Final = 20_000
_CALM: Final = 1.5


Call: TypeAlias = Callable[[], object]
"""Calls a network with a batch of images, and waits for the answer."""


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
    attempts: int = 3
    """Measurements at most, while they are disturbed."""
    weights: str | None = None
    """File that a job left; None: random weights."""


def exported_call(request: LatencyRequest, folder: Path) -> Call:
    """Export the network and load what was written; return what calls it. Imports TensorFlow.

    Args:
        request: what is going to be measured.
        folder: where the export lies meanwhile; whatever is there is removed.

    Raises:
        ArchsearchError: the weights are not this network's.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    from archsearch.exchange.formats.saved_model import SAVED_MODEL, serving

    graph = from_json(request.graph)
    shape = (request.batch, *graph.input)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    with _removed(folder):
        SAVED_MODEL.write(_network(request), folder)
        keras.backend.clear_session()
        gc.collect()
        serve = serving(folder)
    batch = tf.constant(images)

    def call() -> object:
        # On a GPU an answer is not at hand before it is copied.
        return serve(batch)["probabilities"].numpy()

    return call


def measure(request: LatencyRequest, call: Call, *, device: str, threads: int) -> Latency:
    """Return what calls of an exported network take, measured.

    Args:
        request: what to measure.
        call: calls it.
        device: what `choose_device` has left TensorFlow to see.
        threads: CPU threads it computes with.
    """
    times_s = calmest(lambda: timed(call, request.seconds), request.attempts)
    p10_s, median_s, p90_s = _quantiles(times_s)
    return Latency(
        median_ms=1e3 * median_s,
        p10_ms=1e3 * p10_s,
        p90_ms=1e3 * p90_s,
        calls=len(times_s),
        batch=request.batch,
        device=device,
        threads=threads,
    )


def calmest(measured: Callable[[], list[float]], attempts: int) -> list[float]:
    """Return the first measurement that nothing disturbed; else, of so many, that of least median."""
    best: list[float] = []
    for _ in range(attempts):
        found = measured()
        p10_s, median_s, _ = _quantiles(found)
        if not best or median_s < statistics.median(best):
            best = found
        if is_calm(median_s, p10=p10_s):
            break
    return best


def is_calm(median: float, *, p10: float) -> bool:
    """Whether nothing disturbed a measurement: half of the calls took little more than the quickest."""
    return median < _CALM * p10


def _quantiles(times_s: Sequence[float]) -> tuple[float, float, float]:
    cuts = statistics.quantiles(times_s, n=10, method="inclusive")
    return cuts[0], cuts[4], cuts[-1]


def timed(
    call: Call, seconds: float, *, clock: Callable[[], float] = time.perf_counter
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


def _network(request: LatencyRequest) -> Trained:
    """Return what is exported; classes and preprocessing have no influence on time."""
    import numpy as np

    from archsearch.training.weights import fresh_weights, load_weights

    graph = from_json(request.graph)
    weights = request.weights
    return Trained(
        graph=graph,
        weights=fresh_weights(graph) if weights is None else load_weights(Path(weights)),
        classes=tuple(str(n) for n in range(graph.classes)),
        mean=(127.5,) * graph.input[-1],
        std=(64.0,) * graph.input[-1],
        dataset="",
        sample=np.zeros((0, *graph.input), np.uint8),
        labels=np.zeros(0, np.int64),
        calibration=np.zeros((0, *graph.input), np.uint8),
    )
