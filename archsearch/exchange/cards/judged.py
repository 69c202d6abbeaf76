"""An export measured as it lies there: its answers on test images, a call's time, its size."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from archsearch.data.dataset import Split
from archsearch.data.decoding import chunk_length
from archsearch.data.spreading import spread
from archsearch.exchange.formats.format import Format
from archsearch.exchange.formats.read_back import Answers, Loads, answers_of
from archsearch.exchange.latency import Latency, LatencyRequest, measure
from archsearch.statistics.classification import Classification, classification
from archsearch.training.devices import cores, processor

MOST: Final = 2000
"""Test images at most that an export is asked about: it should not take longer than the export."""
_CALLS: Final = 4
"""Calls at most where each loads the model anew."""
_LATENCY_S: Final = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of it.

    Attributes:
        scores: on test images; None: there are none.
        latency: of a call of one image; None: the format loads the model anew with every call.
        machine: that it was measured on.
        size_bytes: of the file, or of all files in the folder.
    """

    scores: Classification | None
    latency: Latency | None
    machine: str
    size_bytes: int


def judge(form: Format, out: Path, test: Split, classes: Sequence[str]) -> Judged:
    """Load an export and measure it.

    Args:
        form: its format.
        out: where it lies.
        test: images that it was not trained on; of more than MOST (or what _CALLS take) evenly chosen ones.
        classes: names, in the order of its answers.
    """
    answers, size = answers_of(form, out), test.images.shape[1:]
    step = chunk_length(size)
    most = MOST if isinstance(form, Loads) else _CALLS * step
    chosen = spread(len(test), most)
    scores = None
    if len(test):
        parts = [
            answers(np.ascontiguousarray(test.images[chosen[at : at + step]]))
            for at in range(0, len(chosen), step)
        ]
        scores = classification(test.labels[chosen], np.concatenate(parts), classes)
    files = [path for path in out.rglob("*") if path.is_file()] if out.is_dir() else [out]
    return Judged(
        scores=scores,
        latency=call_latency(form, answers, size, seconds=_LATENCY_S),
        machine=processor(),
        size_bytes=sum(path.stat().st_size for path in files),
    )


def call_latency(
    form: Format, answers: Answers, size: Sequence[int], *, seconds: float
) -> Latency | None:
    """Measure a call of one image; None where each call loads the model."""
    if not isinstance(form, Loads):
        return None
    image = np.random.default_rng(0).integers(0, 256, (1, *size), np.uint8)
    tensorflow = sys.modules.get("tensorflow")
    gpu = tensorflow is not None and tensorflow.config.list_logical_devices("GPU")
    return measure(
        LatencyRequest(graph="", seconds=seconds, attempts=2),
        lambda: answers(image),
        device="gpu:0" if gpu else "cpu",
        threads=cores(),
    )
