"""How a network is trained: optimizer, schedule, regularisation; plain values, no Keras."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_type_hints

from archsearch.augmentation.policy import Augmentation
from archsearch.errors import UserError
from archsearch.fields import as_kind, kind_of
from archsearch.readings.normalization import Normalized
from archsearch.settings import PART, nearest

Optimizer: TypeAlias = Literal["sgd", "adamw"]
Precision: TypeAlias = Literal["float32", "bfloat16"]
"""Of the forward and backward pass; weights and statistics are float32 always."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe(Augmentation):
    """How a network is trained: every trial of a study alike.

    Two networks are compared fairly only under the same recipe, so a study has one. The defaults
    suit trials of a few epochs, with batch normalization or without.
    """

    name: str = "default"
    batch: int = 32
    """Images a step."""
    optimizer: Optimizer = "sgd"
    """Stochastic gradient descent with momentum, or AdamW (Loshchilov & Hutter 2019, arXiv:1711.05101), whose
    steps do not depend on the size of the gradients; its rates are a hundred times smaller."""
    base_lr: float = 1.6
    """Peak learning rate for a batch of 256, if it grew linearly up to there (Goyal et al. 2017,
    arXiv:1706.02677); with `adamw` it grows with the batch's square root (Malladi et al. 2022,
    arXiv:2205.10287)."""
    linear_batch: int | None = 128
    """Images a step from which on the rate of `sgd` grows with the square root of the batch and no longer
    linearly (Krizhevsky 2014, arXiv:1404.5997). None: linearly, however large the batch."""
    unnormalized_lr: float = 0.2
    """Share of the learning rate that networks without any normalization get: plain VGG stands
    still at the rates that normalized networks need to learn in a few epochs."""
    unnormalized_head_lr: float = 0.2
    """The same of networks whose normalization ends before their last hidden layer: VGG with batch
    normalization in its convolutions and dense layers after them."""
    unnormalized_batch: int | None = 32
    """The same of both of these rates: the images from which on they grow with the square root. None: as the
    others."""
    momentum: float = 0.9
    """Decay of the mean of gradients (β₁ of `adamw`)."""
    square_momentum: float = 0.999
    """Decay of the mean of squared gradients, of `adamw` alone (β₂)."""
    nesterov: bool = True
    """Whether a step looks ahead, of `sgd` alone (Sutskever et al. 2013)."""
    weight_decay: float = 5e-4
    """Of convolution and dense kernels, never of batch normalization or biases: an L2 penalty, with `adamw` a
    share of the kernel that each step takes away, times its rate."""
    label_smoothing: float = 0.1
    dropout_epochs: float | None = 180.0
    """Epochs from which dropout and drop-path have the rates that the network names; a shorter training
    has the share of them that its length is of this one. Papers chose their rates for 75 to 500 epochs;
    in a few, what is dropped is only missed. None: those rates always."""
    schedule: Literal["cosine", "step"] = "cosine"
    warmup: float = 0.3
    """Share of all steps in which the learning rate rises linearly from nearly nothing."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Shares of all steps at which the `step` schedule makes the learning rate smaller."""
    milestone_factor: float = 0.1
    """What it multiplies the learning rate by there."""
    clip_norm: float | None = 2.0
    """Largest global norm of the gradients, against the first steps' leaps. None: no clipping."""
    retry_rate: float | None = 1 / 3
    """Share of the learning rate at which a training that stalled is tried once more, from the start: one
    that diverged, or is no better than guessing at its end (archsearch.recipes.guessing). None: it is not."""
    ema: float | None = None
    """Decay of an exponential moving average of the weights, evaluated and kept in their place; short
    runs average over fewer steps. None: the weights themselves."""
    class_weights: bool = False
    """Weigh the loss so that every class counts alike (archsearch.data.class_weights)."""
    zero_init_residual: bool = False
    """Start every residual block as the identity (its last batch normalization's gamma is 0)."""
    centred_init: bool = True
    """Start kernels behind rectifiers with mean 0 where nothing is normalized between: what all images have
    in common is then not added to all answers (Brock et al. 2021, arXiv:2101.08692)."""
    test_crops: int = 1
    """Crops of each test image, of which probabilities are averaged. 10: the corners and the centre, and the
    same mirrored (Krizhevsky et al. 2012, section 4.1); mirrored only where images may be."""

    def __post_init__(self) -> None:
        # A recipe read back from JSON brings lists.
        object.__setattr__(self, "milestones", tuple(self.milestones))
        object.__setattr__(self, "scale", tuple(self.scale))
        for value, ok, wanted in (*self.checks(), *self._own_checks()):
            if not ok:
                raise UserError(f"recipe {self.name}: {value} does not work; it must be {wanted}")

    def _own_checks(self) -> tuple[tuple[str, bool, str], ...]:
        momenta = {"momentum": self.momentum, "square momentum": self.square_momentum}
        again = self.retry_rate
        return (
            *self._rate_checks(),
            (f"test crops {self.test_crops}", self.test_crops in (1, 10), "1 or 10"),
            (f"batch {self.batch}", self.batch >= 1, "at least 1"),
            *(
                (f"{name} {images}", images is None or images >= 1, "at least 1, or none")
                for name, images in (
                    ("linear batch", self.linear_batch),
                    ("unnormalized batch", self.unnormalized_batch),
                )
            ),
            (f"optimizer {self.optimizer!r}", self.optimizer in ("sgd", "adamw"), "sgd or adamw"),
            *((f"{name} {value}", 0 <= value < 1, "in [0, 1)") for name, value in momenta.items()),
            (f"weight decay {self.weight_decay}", 0 <= self.weight_decay < math.inf, "0 or more"),
            (f"label smoothing {self.label_smoothing}", 0 <= self.label_smoothing < 1, "in [0, 1)"),
            (
                f"dropout epochs {self.dropout_epochs}",
                self.dropout_epochs is None or 0 < self.dropout_epochs < math.inf,
                "above 0",
            ),
            (f"retry rate {again}", again is None or 0 < again < 1, "between 0 and 1"),
            (f"ema {self.ema}", self.ema is None or 0 < self.ema < 1, "between 0 and 1"),
            (
                f"clip norm {self.clip_norm}",
                self.clip_norm is None or 0 < self.clip_norm < math.inf,
                "above 0",
            ),
        )

    def _rate_checks(self) -> tuple[tuple[str, bool, str], ...]:
        shares, factor = (self.unnormalized_lr, self.unnormalized_head_lr), self.milestone_factor
        return (
            (f"learning rate {self.base_lr}", 0 < self.base_lr < math.inf, "above 0"),
            *((f"share {s} of the learning rate", 0 < s <= 1, "in (0, 1]") for s in shares),
            (f"schedule {self.schedule!r}", self.schedule in ("cosine", "step"), "cosine or step"),
            (f"warm-up {self.warmup}", 0 <= self.warmup <= 1, "a share of the steps, in [0, 1]"),
            (
                f"milestones {self.milestones}",
                all(0 < milestone < 1 for milestone in self.milestones),
                "shares of the steps, between 0 and 1",
            ),
            (f"milestone factor {factor}", 0 < factor <= 1, "in (0, 1]"),
        )

    @property
    def peak_lr(self) -> float:
        """The learning rate after warm-up, for this batch."""
        if self.optimizer == "adamw":
            return self.base_lr * math.sqrt(self.batch / 256)
        return self.base_lr * _grown(self.batch, self.linear_batch) / 256

    def dropped_share(self, epochs: float) -> float:
        """Return the share of the network's own rates of dropping that a training of that length has."""
        return 1.0 if self.dropout_epochs is None else min(1.0, epochs / self.dropout_epochs)

    def rate_share(self, normalized: Normalized) -> float:
        """Return the share of the learning rate that a network gets, by what of it is normalized."""
        if normalized == "whole":
            return 1.0
        share = self.unnormalized_lr if normalized == "nothing" else self.unnormalized_head_lr
        # AdamW's rate grows with the square root as it is.
        if self.unnormalized_batch is None or self.optimizer == "adamw":
            return share
        own, others = (
            _grown(self.batch, linear) for linear in (self.unnormalized_batch, self.linear_batch)
        )
        return share * min(1.0, own / others)

    def learning_rate(self, step: int, steps: int) -> float:
        """Give the learning rate of 0-based `step` out of all `steps` of a job, for a share of one."""
        warm = round(self.warmup * steps)
        if step < warm:
            return self.peak_lr * (step + 1) / warm
        if self.schedule == "step":
            passed = sum(step >= milestone * steps for milestone in self.milestones)
            return self.peak_lr * self.milestone_factor**passed
        # The middle of the step, so that the last step still learns something.
        progress = (step - warm + 0.5) / max(1, steps - warm)
        return self.peak_lr * 0.5 * (1 + math.cos(math.pi * progress))


def _grown(batch: int, linear: int | None) -> float:
    """Return the images that a rate is in proportion to: beyond `linear` they grow with the batch's root."""
    return batch if linear is None or batch <= linear else math.sqrt(linear * batch)


def with_parts(recipe: Recipe, parts: Mapping[str, object]) -> Recipe:
    """Return a recipe with some parts changed.

    Args:
        recipe: keeps its name.
        parts: values by the names of Recipe's fields; `none` for None, and numbers of a list as a text,
            separated by commas.

    Raises:
        UserError: a part that there is not (the nearest one is named), a value of the wrong type or out of
            range.
    """
    hints = {part: hint for part, hint in get_type_hints(Recipe).items() if part != "name"}
    changes: dict[str, Any] = {}
    for part, value in parts.items():
        if part not in hints:
            raise UserError(f"a recipe has no part {part!r}; {nearest(part, hints)}")
        changes[part] = _as_part(hints[part], value, name=f"{PART}{part}")
    return replace(recipe, **changes)


def _as_part(hint: Any, value: object, *, name: str) -> object:
    kind = kind_of(hint)
    if NoneType in get_args(hint):
        if value in (None, "none"):
            return None
        try:
            return as_kind(kind, value, name=name)
        except UserError as error:
            raise UserError(f"{error}, or none") from None
    if kind is not tuple:
        return as_kind(kind, value, name=name)
    given = value if isinstance(value, tuple | list) else str(value).split(",")
    try:
        return tuple(float(number) for number in given if number != "")
    except (TypeError, ValueError):
        raise UserError(f"{name} is {value!r}; it must be numbers, separated by commas") from None
