"""An exported model asked in a process of its own, as its users will: nothing of the writer's helps it."""

import os
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archsearch.errors import ArchsearchError
from archsearch.lean_imports import import_lean

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from archsearch.exchange.formats.format import Format

_QUESTION: Final = "question"
_ANSWER: Final = "answer"


def answers_afresh(
    form: "Format", out: Path, images: "npt.NDArray[np.uint8]"
) -> "npt.NDArray[Any]":
    """Return what a written model answers to images, in a new process, on the processor.

    Args:
        form: what it was written as; its class lies in a module that can be imported.
        out: the file or folder.
        images: (n, height, width, channels).

    Returns:
        What `form.call` gives: probabilities (n, classes).

    Raises:
        ArchsearchError: it does not load, or does not answer.
    """
    with tempfile.TemporaryDirectory(prefix="archsearch-") as place:
        question, answer = Path(place) / _QUESTION, Path(place) / _ANSWER
        with question.open("wb") as file:
            pickle.dump((form, out.absolute(), images), file, protocol=5)
        # What it prints is the caller's to show or to keep. Its input ends when the caller does.
        with subprocess.Popen(
            [sys.executable, "-m", __name__, place], stdin=subprocess.PIPE, env=_environment(place)
        ) as process:
            try:
                status = process.wait()
            except BaseException:
                process.kill()
                raise
        if status != 0 or not answer.is_file():
            raise ArchsearchError(
                f"the exported model can't be loaded as {form.name}: the process that tried it ended "
                f"with status {status}"
            )
        with answer.open("rb") as file:
            kind, found = pickle.load(file)
        if kind != "done":
            raise ArchsearchError(f"the exported model can't be loaded as {form.name}: {found}")
        return found  # type: ignore[no-any-return]


def _environment(place: str) -> dict[str, str]:
    """Return the caller's, with its import path, no GPU and a folder for what libraries leave behind."""
    return {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        **os.environ,
        "CUDA_VISIBLE_DEVICES": "-1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TMPDIR": place,
    }


def _end_with_caller() -> None:
    """End this process when the one that started it dies: nobody waits for its answer."""

    def watch() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _main(place: Path) -> None:
    _end_with_caller()
    import_lean()
    with (place / _QUESTION).open("rb") as file:
        form, out, images = pickle.load(file)
    try:
        told: tuple[str, Any] = ("done", form.call(out, images))
    except Exception as error:
        first = (str(error).strip() or "no message").splitlines()[0]
        told = ("failed", f"{type(error).__name__}: {first[:300]}")
    part = place / "part"
    with part.open("wb") as file:
        pickle.dump(told, file, protocol=5)
    part.replace(place / _ANSWER)
    sys.stdout.flush()
    os._exit(0)  # libraries take seconds to tidy up


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
