"""A TensorFlow model as MLflow keeps models: a folder that its servers and registry take."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from archsearch.quiet import quietly

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

INSIDE: Final = "tf2model"
"""The SavedModel in the folder, as MLflow's flavour `tensorflow` calls it."""


def save_tensorflow(
    module: Any,
    out: Path,
    *,
    signatures: Mapping[str, Any],
    example: "npt.NDArray[np.uint8]",
    classes: Sequence[str],
) -> None:
    """Write a folder of MLflow's flavours `tensorflow` and `python_function`.

    Its signature is one unnamed tensor each way: uint8 images (n, height, width, channels) of any size to
    float32 probabilities (n, classes).

    Args:
        module: a `tf.Module` that answers a call of images with probabilities.
        out: an empty folder.
        signatures: of the SavedModel in it.
        example: images (n, height, width, channels), kept as the input example.
        classes: names, in the order of the probabilities; kept as metadata.
    """
    import mlflow.tensorflow
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    images = TensorSpec(np.dtype(np.uint8), (-1, -1, -1, -1))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, len(classes)))
    with quietly():
        mlflow.tensorflow.save_model(
            module,
            str(out),
            signature=ModelSignature(Schema([images]), Schema([probabilities])),
            input_example=example,
            # Found out by MLflow itself they take 13 s.
            pip_requirements=[f"tensorflow=={version('tensorflow')}"],
            saved_model_kwargs={"signatures": dict(signatures)},
            metadata={"classes": list(classes)},
        )


def load_model(out: Path) -> Any:
    """Load a folder as MLflow's servers do; its `predict` takes images and gives probabilities."""
    import mlflow.pyfunc

    with quietly():
        return mlflow.pyfunc.load_model(str(out))
