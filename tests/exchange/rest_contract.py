"""TensorFlow Serving's REST contract as it is documented, over a SavedModel that TensorFlow has loaded.

There is no package of the server itself. What it does between a request's JSON and a signature's tensors is
documented (tensorflow/serving, `g3doc/api_rest.md`: Predict API, JSON mapping, Encoding binary values), and
written down here once more. It imports nothing of archsearch.
"""

import base64

DEFAULT = "serving_default"


def answered(signatures, body):
    """Return the response to a request of `predict`."""
    try:
        signature = signatures[body.get("signature_name", DEFAULT)]
        rows = "instances" in body
        if rows == ("inputs" in body):
            raise ValueError("a request has instances or inputs, and not both")
        specs = signature.structured_input_signature[1]
        given = _by_rows(body["instances"], specs) if rows else _by_columns(body["inputs"], specs)
        tensors = {name: _tensor(given[name], spec) for name, spec in specs.items()}
        found = {name: _values(name, value) for name, value in signature(**tensors).items()}
    except Exception as error:
        return {"error": str(error)}
    if rows:
        together = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        return {"predictions": together if len(found) > 1 else next(iter(found.values()))}
    return {"outputs": found if len(found) > 1 else next(iter(found.values()))}


def _by_rows(instances, specs):
    """Return values by name: an instance is an object of named values, or the value of the only input."""
    if all(isinstance(one, dict) and set(one) == set(specs) for one in instances):
        return {name: [one[name] for one in instances] for name in specs}
    [name] = specs
    return {name: instances}


def _by_columns(inputs, specs):
    if isinstance(inputs, dict) and set(inputs) == set(specs):
        return inputs
    [name] = specs
    return {name: inputs}


def _tensor(value, spec):
    import tensorflow as tf

    return tf.constant(_decoded(value), spec.dtype)


def _decoded(value):
    """Return a value with binary strings for objects of `b64`."""
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return [_decoded(one) for one in value] if isinstance(value, list) else value


def _values(name, tensor):
    found = tensor.numpy().tolist()
    if tensor.dtype.name != "string":
        return found
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(one).decode()} for one in found]
    return [one.decode() for one in found]
