"""A PyTorch program, as `torch.export` writes it: it loads with PyTorch alone, on any device of its."""

import os
import re
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.errors import UserError
from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.quiet import quietly
from archsearch.units import printable

_PLAIN: Final = re.compile(
    r"[^/]+/("
    r"data/(weights|constants)/((weight|tensor)_\d+|\w+_config\.json)|data/sample_inputs/\w+\.pt"
    r"|models/\w+\.json|extra/[\w.-]+|\.data/[\w.-]+|archive_format|archive_version|byteorder|version)"
)
"""What a program consists of that is tensors and text alone."""


def _refuse_objects(out: Path) -> None:
    """Refuse a program with pickled objects or compiled code in it, which run as they are read.

    Raises:
        UserError: it has some, or is no program.
    """
    try:
        with zipfile.ZipFile(out) as archive:
            other = [name for name in archive.namelist() if not _PLAIN.fullmatch(name)]
    except (OSError, zipfile.BadZipFile) as error:
        raise UserError(f"{out} is no program of torch.export's: {error}") from error
    if other:
        raise UserError(
            f"{out} has more in it than tensors and text ({printable(other[0])}), which may run code "
            "when it is read; export the network again"
        )


@contextmanager
def _tensors_only() -> Iterator[None]:
    """Have torch.load refuse pickled objects, though torch.export asks for them, while the block runs."""
    name = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


class TorchProgram:
    """A file; `torch.export.load(file).module()` takes images (n, height, width, channels).

    Pixels are 0 to 255 or 0 to 1, of any type, since a program takes any numbers. It gives probabilities
    (n, classes). FACTS_FILE is among its extra files.
    """

    name = "torch"
    suffix = ".pt2"
    exact = True
    usage = MappingProxyType(
        {
            "PyTorch": """
import torch

module = torch.export.load(path).module()
with torch.no_grad():
    probabilities = module(torch.from_numpy(images.copy())).numpy()
"""
        }
    )
    needs = (Need("torch", "archsearch[torch]"),)

    def write(self, trained: Trained, out: Path) -> None:
        """Write the file."""
        import torch

        images = torch.zeros((2, *trained.input), dtype=torch.uint8)
        batch = torch.export.Dim("batch", min=1)
        with torch.no_grad(), quietly():  # of weights that are laid out anew, among others
            program = torch.export.export(
                torch_module(trained), (images,), dynamic_shapes=({0: batch},)
            )
            torch.export.save(program, out, extra_files={FACTS_FILE: trained.facts()})

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the file and return its answers."""
        return np.asarray(self.load(out)(images))

    def load(self, out: Path) -> Answers:
        """Load the file likewise; its module answers."""
        import torch

        _refuse_objects(out)
        with _tensors_only():
            module = torch.export.load(out).module()

        def answer(images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
            with torch.no_grad():
                return np.asarray(module(torch.from_numpy(np.array(images))))

        return answer


def torch_module(trained: Trained) -> Any:
    """Return the PyTorch network as a module, from images, pixels of 0 to 255 or 0 to 1, to probabilities."""
    import torch

    from archsearch.training.lowering.torch_network import Network

    weights: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    for key, value in trained.weights.items():
        weights[key.rpartition(":")[0]].append(value)
    network = Network(trained.graph, weights, auxiliary=False, device=torch.device("cpu"))
    for tensor in (*network.kernels, *network.others):
        tensor.requires_grad_(False)
    shift, scale = map(torch.from_numpy, trained.preprocessing())

    class Exported(torch.nn.Module):  # type: ignore[misc]  # PyTorch is not looked into here
        def forward(self, images: Any) -> Any:
            pixels = images.to(torch.float32)
            most = pixels.amax((1, 2, 3), keepdim=True)
            pixels = torch.where(most <= 1, pixels * 255, pixels)
            x = ((pixels - shift) / scale).permute(0, 3, 1, 2)
            return torch.softmax(network(x, training=False)[0], dim=1)

    return Exported().eval()


TORCH: Final[Format] = TorchProgram()
