"""The code inside a registered model: what MLflow loads and serves. It needs TensorFlow, and nothing of ours.

MLflow keeps a copy of this file with the model, and runs it where the model is loaded.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel


class Answers:
    """Answers to images as the exported network does."""

    def load_context(self, context: Any) -> None:
        """Load the SavedModel that lies beside this code."""
        import tensorflow as tf

        folder = Path(context.artifacts["saved_model"])
        self._network = tf.saved_model.load(str(folder))
        card = (folder / "assets.extra" / "archsearch.json").read_text(encoding="utf-8")
        self._classes = json.loads(card)["classes"]

    # MLflow takes types written here for a schema of its own; the model's signature says them.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Return probabilities (n, classes), and the most probable class (n,), as number and name.

        Args:
            context: of MLflow.
            model_input: uint8 images (n, height, width, channels), pixels of 0 to 255.
            params: none is known.
        """
        import tensorflow as tf

        images = tf.constant(np.asarray(model_input, np.uint8))
        answer = self._network.signatures["predict"](images=images)
        best = answer["class_index"].numpy()
        return {
            "probabilities": answer["probabilities"].numpy(),
            "class_index": best,
            "class_name": np.asarray([self._classes[index] for index in best], dtype=str),
        }


class ServedNetwork(Answers, PythonModel):  # type: ignore[misc]
    """The same as MLflow knows it, which has no say about methods that it does not see here."""


set_model(ServedNetwork())
