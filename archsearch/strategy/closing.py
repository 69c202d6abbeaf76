"""What a run takes after its last training: latencies, and the export."""

from typing import Final

READY: Final = 4
"""Networks at most that wait in memory to be measured."""
_EXPORT_S: Final = 2.0
"""Seconds that writing a model and comparing it takes, whatever its size."""
_EXPORT_STARTS: Final = 2.0
"""Times the start of a training that building, tracing and loading a model for the export take."""
_GAUGED_S: Final = 2.0
"""Seconds that measuring a network's latency takes, besides building and tracing it."""
_LEAST_PROCESS_S: Final = 4.5
"""Seconds that importing TensorFlow takes at least: another backend that has trained imports faster."""
_LEAST_START_S: Final = 1.0
"""Seconds that building a network on TensorFlow takes at least."""


def closing_s(
    export: bool, start_s: float, process_s: float, *, measured: int, training_s: float
) -> float:
    """Return what a run takes after its last training: the export and, before it, latencies.

    Importing TensorFlow and building the networks goes on beside the last training, as far as that is long.

    Args:
        export: whether the best network is exported.
        start_s: that a training needs before its first step.
        process_s: that a process needs before it can train.
        measured: networks whose latency is measured.
        training_s: that a training takes.
    """
    if not export and not measured:
        return 0.0
    process_s, start_s = max(process_s, _LEAST_PROCESS_S), max(start_s, _LEAST_START_S)
    export_s = _EXPORT_S + _EXPORT_STARTS * start_s if export else 0.0
    ready_s = process_s + min(measured, READY) * start_s
    late_s = max(0.0, ready_s - training_s) + max(0, measured - READY) * start_s
    return late_s + export_s + measured * _GAUGED_S
