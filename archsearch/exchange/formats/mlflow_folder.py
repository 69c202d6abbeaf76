"""A folder that MLflow's servers and registry take as it is, a SavedModel with all its entry points in it."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained
from archsearch.exchange.formats.read_back import Answers
from archsearch.exchange.formats.saved_model import SavedModel, trained_module
from archsearch.exchange.place import no_pattern
from archsearch.ir.graph import Graph
from archsearch.tracking.model_folder import INSIDE, load_model, save_tensorflow
from archsearch.training.weights import Weights


class MlflowFolder:
    """A folder with MLflow's `MLmodel`, signature and input example; FACTS_FILE beside them.

    MLflow's `predict` takes uint8 images (n, any height, any width, channels) and gives probabilities
    (n, classes); all black ones it takes for a mistake, as `serve` of the SavedModel in it does.
    """

    name = "mlflow"
    suffix = ""
    exact = True
    needs = (Need("tensorflow", "tensorflow"), Need("mlflow", "mlflow"))
    usage = MappingProxyType(
        {
            "MLflow": """
import mlflow.pyfunc

probabilities = mlflow.pyfunc.load_model(path).predict(images)
"""
        }
    )

    def write(self, trained: Trained, out: Path) -> None:
        """Write the folder."""
        module, signatures = trained_module(trained)
        out.mkdir(exist_ok=True)
        with no_pattern(out) as folder:
            save_tensorflow(
                module, folder,
                signatures=signatures, example=_example(trained), classes=trained.classes,
            )  # fmt: skip
        (out / FACTS_FILE).write_text(trained.facts(), encoding="utf-8")

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Load the folder as MLflow's servers do, and return its answers."""
        if images.max(initial=0) <= 1:  # black, which `predict` takes for a mistake
            return np.asarray(self.load(out)(images))
        with no_pattern(out) as folder:
            return np.asarray(load_model(folder).predict(images))

    def load(self, out: Path) -> Answers:
        """Load the SavedModel in it."""
        return SavedModel().load(out / INSIDE)

    def read_weights(self, out: Path, graph: Graph) -> Weights:
        """Return the weights of the network in the folder.

        Raises:
            ArchsearchError: it holds other weights than this network has.
        """
        return SavedModel().read_weights(out / INSIDE, graph)


def _example(trained: Trained) -> npt.NDArray[np.uint8]:
    """Return one validation image as a batch, or noise where there is none."""
    if len(trained.sample):
        return np.asarray(trained.sample[:1])
    return np.random.default_rng(0).integers(0, 256, (1, *trained.input), np.uint8)


MLFLOW: Final[Format] = MlflowFolder()
