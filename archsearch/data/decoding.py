"""Images decoded in threads, some chunks ahead of their use: who computes on them does not wait."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import Images
from archsearch.data.sources.items import BadImageError, Size

_CHUNK_BYTES: Final = 4_000_000  # pixels one task decodes; some tasks a thread are under way
_MOST: Final = 256


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images (k, H, W, C) at these indices, and those that are bad with their reasons."""

    images: Images
    indices: npt.NDArray[np.intp]
    bad: list[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class Decoder:
    """What is decoded, how, and how many chunks ahead of their use.

    Attributes:
        pool: of the threads.
        decode: index → the image, uint8 of `size`; raises BadImageError.
        size: height, width, channels.
        ahead: chunks that are under way at a time.
    """

    pool: ThreadPoolExecutor
    decode: Callable[[int], Images]
    size: Size
    ahead: int

    def chunks(self, members: npt.NDArray[np.intp], step: int | None = None) -> Iterator[Chunk]:
        """Yield the images at these indices, in order; `step` at a time, else what 4 MB hold."""
        step = step or chunk_length(self.size)
        under_way: deque[Future[Chunk]] = deque()
        for start in range(0, len(members), step):
            under_way.append(self.pool.submit(self._chunk, members[start : start + step]))
            if len(under_way) > self.ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()

    def _chunk(self, members: npt.NDArray[np.intp]) -> Chunk:
        images = np.empty((len(members), *self.size), dtype=np.uint8)
        kept: list[int] = []
        bad: list[tuple[int, str]] = []
        for index in members.tolist():
            try:
                images[len(kept)] = self.decode(index)
            except BadImageError as error:
                bad.append((index, str(error)))
            else:
                kept.append(index)
        return Chunk(images[: len(kept)], np.array(kept, dtype=np.intp), bad)


def chunk_length(size: Sequence[int]) -> int:
    """Return how many images of a size are decoded, or computed on, at a time."""
    return int(min(_MOST, max(1, _CHUNK_BYTES // int(np.prod(size)))))


def decoding_threads(workers: int | None) -> int:
    """Return how many threads decode; None takes one a CPU."""
    return workers or os.cpu_count() or 1
