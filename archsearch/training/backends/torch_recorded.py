"""Training steps recorded once as a CUDA graph and replayed.

A GPU is through with a small network's operation before Python has launched the next one; replayed, a step is
one launch, however many operations it has.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

Step = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From images (n, height, width, channels), labels (n,) or (n, 2) and rates (4,) to what came of it (2,)."""

_WARM_UPS: Final = 3  # cuDNN tries its algorithms, the allocator finds its blocks


def record(step: Step, images: Tensor, labels: Tensor, rates: Tensor) -> Callable[[], Tensor]:
    """Record a step that reads these tensors; return what replays it.

    It is taken a few times on the way: put back afterwards what it has changed.

    Raises:
        RuntimeError: something in it can't be recorded.
    """
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            step(images, labels, rates)
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    # The next batch is cut by another thread meanwhile, which may ask for memory.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        result = step(images, labels, rates)

    def replay() -> Tensor:
        graph.replay()
        return result.clone()

    return replay


class Recorded:
    """A step that is recorded when it is first taken; taken as it is where that fails.

    Args:
        step: it reads its arguments and changes nothing but what `keep` copies.
        keep: copies what a step changes.
        put_back: puts back what `keep` returned.
        record: records a step (tests bring their own).
    """

    def __init__(
        self,
        step: Step,
        *,
        keep: Callable[[], Any],
        put_back: Callable[[Any], None],
        record: Callable[[Step, Tensor, Tensor, Tensor], Callable[[], Tensor]] = record,
    ) -> None:
        self._step = step
        self._keep = keep
        self._put_back = put_back
        self._record = record
        self._places: tuple[Tensor, ...] = ()
        self._replay: Callable[[], Tensor] | None = None
        self._able = True

    def __call__(self, images: Tensor, labels: Tensor, rates: Tensor) -> Tensor:
        """Take a step."""
        if self._able and self._replay is None:
            self._try((images, labels, rates))
        if self._replay is None:
            return self._step(images, labels, rates)
        for place, value in zip(self._places, (images, labels, rates), strict=True):
            place.copy_(value, non_blocking=True)
        return self._replay()

    def _try(self, values: tuple[Tensor, Tensor, Tensor]) -> None:
        self._places = tuple(value.clone() for value in values)
        kept = self._keep()
        try:
            self._replay = self._record(self._step, *self._places)
        except RuntimeError as error:
            self._able = False
            first = str(error).partition("\n")[0]
            logging.getLogger(__name__).warning("training step is not recorded: %s", first)
        self._put_back(kept)
