"""A model's answers to image files, decoded as its training images were, beside its work."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.data.decoding import Decoder, chunk_length, decoding_threads
from archsearch.data.sources.decode import decode_file, pillow
from archsearch.inference.exported import Model, ModelFacts

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""

_LONG: Final = 4  # times as many images a call, where each call loads the model


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one image file; the reason where it can't be read.

    Attributes:
        file: as it was named, or found in a named folder.
        classes: the likeliest, best first.
        probabilities: theirs.
        reason: why there is no answer; empty: there is one.
    """

    file: Path
    classes: tuple[str, ...] = ()
    probabilities: tuple[float, ...] = ()
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        if self.reason:
            return {"file": str(self.file), "reason": self.reason}
        top = [
            {"class": name, "probability": probability}
            for name, probability in zip(self.classes, self.probabilities, strict=True)
        ]
        return {"file": str(self.file), **top[0], "top": top}


def predict(
    model: Model,
    files: Sequence[Path],
    *,
    top: int = 1,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Prediction]:
    """Yield what a model says of each file, in their order; a file that can't be read says why.

    Memory use does not grow with the number of files.

    Args:
        model: that is asked.
        files: images of any size.
        top: how many classes to name; no more than there are.
        workers: decoding threads; None takes one a CPU.
        progress: told how far it is.
    """
    decode, done = file_decoder(model.facts, files), 0
    with pillow():
        for indices, found, bad in answered(
            model, decode, np.arange(len(files)), model.facts.input, workers
        ):
            answers = {
                int(index): _prediction(model.facts, files[index], row, top)
                for index, row in zip(indices, found, strict=True)
            }
            answers |= {index: Prediction(files[index], reason=why) for index, why in bad}
            yield from (answers[index] for index in sorted(answers))
            done += len(answers)
            if progress:
                progress(done, len(files))


def answered(
    model: Model,
    decode: Callable[[int], Images],
    members: npt.NDArray[np.intp],
    size: tuple[int, int, int],
    workers: int | None,
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[Any], list[tuple[int, str]]]]:
    """Yield indices, the model's probabilities for them, and bad images with reasons, chunk by chunk.

    Threads decode the chunks to come while the model works on one.
    """
    threads = decoding_threads(workers)
    step = min(chunk_length(size) * (1 if model.stays_loaded else _LONG), max(1, len(members)))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for chunk in Decoder(pool, decode, size, 2 * threads).chunks(members, step):
            found = np.zeros((0, len(model.facts.classes)))
            if len(chunk.images):
                found = model.probabilities(chunk.images, step)
            yield chunk.indices, found, chunk.bad


def file_decoder(facts: ModelFacts, files: Sequence[Path]) -> Callable[[int], Images]:
    """Return what decodes one of the files as training images were: size, shape, range of deep greys."""
    large = threading.Lock()

    def decode(index: int) -> Images:
        return decode_file(
            files[index],
            facts.input,
            resize=facts.resize or "crop",
            ranges=facts.ranges,
            large=large,
        )

    return decode


def _prediction(
    facts: ModelFacts, file: Path, probabilities: npt.NDArray[Any], top: int
) -> Prediction:
    best = np.argsort(-probabilities, kind="stable")[:top]
    return Prediction(
        file,
        tuple(facts.classes[number] for number in best),
        tuple(float(probabilities[number]) for number in best),
    )
