"""A process that packs an exported SavedModel as MLflow's registry wants it: `python -m …packing OUT`.

Standard input has a `ModelRecord` as JSON. What lies in OUT then has a signature, an example of its input,
and code that needs TensorFlow alone.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def pack(asked: dict[str, Any], out: Path) -> None:
    """Write a model into a new folder.

    Args:
        asked: a `ModelRecord` as JSON values.
        out: the folder.
    """
    import mlflow.pyfunc
    import numpy as np

    mlflow.pyfunc.save_model(
        str(out),
        python_model=str(Path(__file__).with_name("served_network.py")),
        artifacts={"saved_model": asked["folder"]},
        signature=_signature(tuple(asked["input"]), len(asked["classes"])),
        input_example=np.asarray(asked["example"], np.uint8),
        # Found by looking they would take 10 s, and name all that is installed here.
        pip_requirements=[f"{name}=={version(name)}" for name in ("tensorflow", "numpy")],
        metadata={"classes": list(asked["classes"]), **asked["tags"]},
    )


def _signature(shape: tuple[int, ...], classes: int) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    answers = [
        TensorSpec(np.dtype("float32"), (-1, classes), "probabilities"),
        TensorSpec(np.dtype("int64"), (-1,), "class_index"),
        TensorSpec(np.dtype("str"), (-1,), "class_name"),
    ]
    images = TensorSpec(np.dtype("uint8"), (-1, *shape))
    return ModelSignature(inputs=Schema([images]), outputs=Schema(answers))


if __name__ == "__main__":
    pack(json.load(sys.stdin), Path(sys.argv[1]))
