"""What trained networks answer to held-out images of their dataset, asked in a process of its own."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from archsearch.data.dataset import load
from archsearch.data.folds import refolded
from archsearch.data.spreading import spread
from archsearch.errors import ArchsearchError, one_line
from archsearch.exchange.export import ExportRequest, read_trained, trained_probabilities
from archsearch.training.devices import cores
from archsearch.training.processes import leave_if_imported, start

MOST: Final = 2000
"""Images asked about at most: a page is waited for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswersRequest:
    """A trained network and its images; plain values, so that they go to another process."""

    graph: str
    """Graph JSON."""
    weights: str
    """File that a job left."""
    dataset: str
    """Folder of the prepared dataset."""
    split: Literal["val", "test"] = "test"
    fold: int = 0
    """The split of training and validation images, as in `refolded`."""
    every: bool = False
    """Whether all images are asked about, also where they are more than MOST."""


class Answered(NamedTuple):
    """What was asked, by the images' numbers in their split, and the probabilities, (images, classes)."""

    images: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.float64]


def ask(requests: Sequence[AnswersRequest]) -> list[Answered]:
    """Ask networks about images, of more than MOST about evenly chosen ones, on this machine's processor.

    Raises:
        ArchsearchError: something is missing or damaged, or the process died.
    """
    leave_if_imported()
    with _log() as log:
        asked = [asdict(request) for request in requests]
        child = start(_child, asked, cores(), name="answers", log=log)
        try:
            kind, found = child.pipe.recv()
        except (EOFError, OSError):
            child.process.join(5.0)
            raise ArchsearchError(f"the process that asks died: {child.why_ended()}") from None
        finally:
            child.pipe.close()
            child.process.kill()
            child.process.join()
    if kind != "done":
        raise ArchsearchError(str(found))
    return [Answered(*each) for each in found]


@contextlib.contextmanager
def _log() -> Iterator[Path]:
    """Give a file for what libraries print; nobody reads it where all went well."""
    with tempfile.TemporaryDirectory(prefix="archsearch-") as place:
        yield Path(place) / "answers.log"


def _child(pipe: Connection, asked: list[dict[str, Any]], threads: int, log: str) -> None:
    """Send ("done", what each answers) or ("failed", text), and end."""
    from archsearch.training.setup import WorkerSetup
    from archsearch.training.worker import end_at_once, end_with_driver, redirect_output

    end_with_driver()
    redirect_output(Path(log))
    WorkerSetup(threads=threads).apply()
    try:
        answer: tuple[str, Any] = (
            "done",
            [_answers(AnswersRequest(**each)) for each in asked],
        )
    except Exception as error:  # of whatever library
        answer = ("failed", one_line(error))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        pipe.send(answer)
    end_at_once()


def _answers(request: AnswersRequest) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    import keras

    keras.backend.clear_session()  # of the network that was asked before
    network = ExportRequest(
        graph=request.graph, weights=request.weights, dataset=request.dataset, out=""
    )
    trained = read_trained(network)
    images = refolded(load(Path(request.dataset)), request.fold).split(request.split).images
    chosen = spread(len(images), len(images) if request.every else MOST)
    if not len(chosen):
        return chosen, np.zeros((0, len(trained.classes)))
    if len(chosen) < len(images):
        images = np.stack([np.asarray(images[index]) for index in chosen])
    return chosen, trained_probabilities(trained, images)
