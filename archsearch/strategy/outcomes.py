"""What an outcome must have to count, and what one becomes that was stopped."""

import math
from collections.abc import Mapping
from dataclasses import replace

from archsearch.archive.orders import Order
from archsearch.strategy.phase import Stop
from archsearch.training.job import Outcome


def checked(order: Order, outcome: Outcome) -> Outcome:
    """Return a training's outcome, as `failed` if what it says makes no sense."""
    if order.key.purpose == "pace":  # it learns nothing
        return outcome
    tested = order.key.purpose == "final" and outcome.status == "complete"
    if tested and not _is_finite(outcome.test_accuracy):
        reason = f"its test accuracy is {outcome.test_accuracy}"
        outcome = replace(outcome, status="failed", reason=reason)
    judged = outcome.status != "failed" and order.validated
    if judged and not _is_finite(outcome.val_accuracy):
        reason = f"its validation accuracy is {outcome.val_accuracy}"
        outcome = replace(outcome, status="failed", reason=reason)
    if outcome.status == "failed":
        return replace(
            outcome, val_accuracy=None, val_loss=None, test_accuracy=None, test_loss=None
        )
    return replace(
        outcome, val_loss=_finite(outcome.val_loss), test_loss=_finite(outcome.test_loss)
    )


def settled(
    order: Order,
    outcome: Outcome,
    stop: Stop | None,
    *,
    epoch: int,
    accuracies: Mapping[int, float],
) -> Outcome | None:
    """Return what counts of how a training ended; None: it stays to be done.

    Args:
        order: the training.
        outcome: as it ended; it may be an epoch ahead of the decision to stop it.
        stop: why it was stopped; None: it was not.
        epoch: its last one when it was stopped.
        accuracies: validation accuracy by epoch until then.
    """
    if stop is None:
        if outcome.status == "pruned":
            reason = "stopped without being asked to"
            outcome = replace(outcome, status="failed", reason=reason)
        return checked(order, outcome)
    if order.key.purpose == "final":
        # One that came to its end all the same counts; one that was cut short can't be compared.
        if outcome.status == "pruned":
            if stop.open:
                return None
            outcome = replace(outcome, status="failed", reason=stop.why)
        return checked(order, outcome)
    # What follows from a search must not depend on whether the worker was ahead.
    accuracy = accuracies[max(accuracies)] if accuracies else None
    pruned = replace(
        outcome,
        status="pruned",
        epochs=epoch,
        val_accuracy=accuracy,
        reason=stop.why,
        stalled=False,
    )
    return checked(order, pruned)


def _is_finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
