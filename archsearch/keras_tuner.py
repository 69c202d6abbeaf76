"""Every space as a HyperModel for Keras Tuner: each model its tuners build is on budget.

    import keras_tuner
    from archsearch.keras_tuner import SpaceHyperModel

    hypermodel = SpaceHyperModel(space="resnext", flops="20M", input_shape=(32, 32, 3), classes=10)
    tuner = keras_tuner.RandomSearch(hypermodel, objective="val_accuracy", max_trials=20)
    tuner.search(x_train, y_train, validation_data=(x_val, y_val), epochs=3)

The knobs are the space's own; Keras Tuner's proposals are one more way of choosing them.

Models train with this package's own layers, which are fast where Keras's are slow or, for grouped
convolutions on a CPU, fail. A `.keras` file of such a model loads where they are known:

    import archsearch.keras_tuner

    model = keras.models.load_model("best.keras")
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner

from archsearch.errors import UserError
from archsearch.recipes.named import find_recipe
from archsearch.space.budget import Budget, Request
from archsearch.space.knobs import IntKnob, Knob, KnobValue
from archsearch.space.registry import find_space
from archsearch.space.solve import Candidate, solve
from archsearch.training.lowering.keras_model import build_model

Compile = Callable[[keras.Model, keras_tuner.HyperParameters], None]


class SpaceHyperModel(keras_tuner.HyperModel):  # type: ignore[misc]  # Keras Tuner has no types
    """A design space under a FLOP budget, as Keras Tuner takes it.

    Models take float images of `input_shape`, scaled as you like, and give one logit a class. They are
    compiled with the default recipe's optimizer and a loss for integer labels, unless `compile` does it.

    Args:
        space: name of a design space.
        flops: the budget: `20M`, `3.8G:4.2G`.
        input_shape: (height, width, channels).
        classes: number of classes.
        compile: given the model and the hyperparameters, compiles the model.
        name: as for any HyperModel.

    Raises:
        UserError: an unknown space, a budget it cannot meet, an image size that is none.
    """

    def __init__(
        self,
        space: str,
        flops: str,
        input_shape: Sequence[int],
        classes: int,
        *,
        compile: Compile | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(name=name or f"{space}_{flops}")
        if len(input_shape) != 3:
            raise UserError(f"input_shape is (height, width, channels), got {tuple(input_shape)}")
        self.space = find_space(space)
        height, width, channels = input_shape
        size = (height, width, channels)
        self.request = Request(size, classes, Budget.parse(flops, size))
        self._knobs = self.space.knobs(self.request)
        self._compile = compile or _compile

    def candidate(self, hp: keras_tuner.HyperParameters) -> Candidate:
        """Return the candidate of these hyperparameters: its network, exact cost and fill."""
        return solve(
            self.space, {knob.name: _choose(hp, knob) for knob in self._knobs}, self.request
        )

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of these hyperparameters."""
        model = build_model(self.candidate(hp).graph, lowering="train")
        self._compile(model, hp)
        return model


def _choose(hp: keras_tuner.HyperParameters, knob: Knob) -> KnobValue:
    if isinstance(knob, IntKnob):
        value: Any = hp.Int(knob.name, knob.low, knob.high)
    elif all(isinstance(choice, bool) for choice in knob.choices):
        value = hp.Boolean(knob.name)
    else:
        value = hp.Choice(knob.name, list(knob.choices))
    chosen: KnobValue = value
    return chosen


def _compile(model: keras.Model, hp: keras_tuner.HyperParameters) -> None:
    recipe = find_recipe("default")
    model.compile(
        optimizer=keras.optimizers.SGD(
            recipe.peak_lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            global_clipnorm=recipe.clip_norm,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        # XLA makes grouped convolutions several times slower on CPUs and costs a minute to compile.
        jit_compile=False,
    )
