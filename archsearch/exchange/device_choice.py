"""The device that networks are measured on: its name, and TensorFlow left to see no other GPU."""

from archsearch.errors import UserError


def checked_device(text: str | None) -> str | None:
    """Return a device's name as it is compared: `gpu` is `gpu:0`.

    Raises:
        UserError: it is no name of a device.
    """
    if text is None:
        return None
    kind, colon, number = text.strip().lower().partition(":")
    if kind == "cpu" and not colon:
        return "cpu"
    if kind == "gpu" and ((number.isascii() and number.isdecimal()) or not colon):
        return f"gpu:{int(number or 0)}"
    raise UserError(f"no device {text!r}; write cpu, gpu or gpu:1")


def choose_device(wanted: str | None) -> str:
    """Hide all GPUs but the one to measure on; once in a process, before TensorFlow uses any.

    Args:
        wanted: `cpu` or `gpu:1`; None: the first GPU where there is one.

    Returns:
        The device.

    Raises:
        UserError: the device is not there.
    """
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    known = ["cpu", *(f"gpu:{n}" for n in range(len(gpus)))]
    device = wanted or known[min(1, len(gpus))]
    if device not in known:
        raise UserError(
            f"no device {device!r} that TensorFlow can use; there are: {', '.join(known)}"
        )
    mine = [] if device == "cpu" else [gpus[int(device.removeprefix("gpu:"))]]
    tf.config.set_visible_devices(mine, "GPU")
    for gpu in mine:  # others train on it at the same time
        tf.config.experimental.set_memory_growth(gpu, True)
    return device
