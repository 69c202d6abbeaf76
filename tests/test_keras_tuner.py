"""Spaces under Keras Tuner's own searches: every model on budget, knobs as hyperparameters."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.keras

keras_tuner = pytest.importorskip("keras_tuner", reason="Keras Tuner is not installed")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from archsearch.errors import UserError  # noqa: E402
from archsearch.exchange.keras_import import from_keras  # noqa: E402
from archsearch.exchange.network_files import load_network  # noqa: E402
from archsearch.keras_tuner import SpaceHyperModel  # noqa: E402
from archsearch.readings.cost import cost  # noqa: E402
from archsearch.space.registry import load_spaces  # noqa: E402


@pytest.mark.parametrize("name", ["vgg", "resnet", "resnext", "wrn"])
def test_every_knob_is_a_hyperparameter_and_every_draw_on_budget(name):
    model = SpaceHyperModel(space=name, flops="20M", input_shape=(32, 32, 3), classes=10)
    hp = keras_tuner.HyperParameters()
    model.candidate(hp)
    assert {p.name for p in hp.space} == {k.name for k in load_spaces()[name].knobs(model.request)}
    for seed in range(10):
        chosen = hp.copy()
        chosen.values = {p.name: p.random_sample(seed) for p in hp.space}
        found = model.candidate(chosen)
        assert dict(found.knobs) == chosen.values
        assert 0.95 * 20e6 <= cost(found.graph).flops <= 20e6


ORACLES = ["RandomSearchOracle", "HyperbandOracle", "BayesianOptimizationOracle"]


@pytest.mark.parametrize("oracle", ORACLES)
def test_whatever_an_oracle_proposes_is_a_member(oracle, tmp_path):
    """Searches without their trainings: each proposal has a network, and is told a score."""
    model = SpaceHyperModel(space="vgg", flops="2M", input_shape=(16, 16, 1), classes=3)
    space = keras_tuner.HyperParameters()
    model.candidate(space)
    length = {"max_epochs": 2, "factor": 2} if oracle == "HyperbandOracle" else {"max_trials": 6}
    asked = getattr(keras_tuner.oracles, oracle)(
        objective=keras_tuner.Objective("score", "max"), hyperparameters=space, seed=1, **length
    )
    asked._set_project_dir(tmp_path, "project")
    seen = set()
    for score in range(6):
        trial = asked.create_trial("tuner")
        if trial.status != "RUNNING":
            break
        found = model.candidate(trial.hyperparameters)
        assert found.cost.flops in model.request.budget
        seen.add(found.label)
        asked.update_trial(trial.trial_id, {"score": score})
        trial.status = "COMPLETED"
        asked.end_trial(trial)
    assert len(seen) > 1


class Eager(SpaceHyperModel):
    """Few steps need no graph, which TensorFlow takes seconds for."""

    def build(self, hp):
        model = super().build(hp)
        model.run_eagerly = True
        return model


@pytest.mark.parametrize(
    ("tuner", "kind"),
    [
        ("RandomSearch", Eager),
        pytest.param("RandomSearch", SpaceHyperModel, marks=pytest.mark.slow),
        pytest.param("Hyperband", SpaceHyperModel, marks=pytest.mark.slow),
        pytest.param("BayesianOptimization", SpaceHyperModel, marks=pytest.mark.slow),
    ],
)
def test_a_real_search(tuner, kind, tmp_path):
    size = (16, 16, 1)
    hypermodel = kind(space="vgg", flops="2M", input_shape=size, classes=3)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 24)
    x = rng.normal(size=(24, *size)).astype("float32") + y[:, None, None, None]
    length = {"max_epochs": 2, "factor": 2} if tuner == "Hyperband" else {"max_trials": 2}
    search = getattr(keras_tuner, tuner)(
        hypermodel, objective="val_accuracy", directory=tmp_path, seed=1, **length
    )
    search.search(x, y, validation_data=(x, y), epochs=1, verbose=0)
    best = search.get_best_hyperparameters()[0]
    assert hypermodel.candidate(best).cost.flops in hypermodel.request.budget
    model = search.get_best_models()[0]
    assert model.predict(x, verbose=0).shape == (24, 3)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == (
        hypermodel.candidate(best).cost.params
    )


LAYERS_OF_OURS = [
    ("resnext", {"cardinality": 2}, "GroupedConv2D"),
    ("densenet", {}, "FusedBatchNorm"),
    ("fractal", {"columns": 2, "drop_path": 0.15}, "MeanOfKept"),
]


def test_trained_models_load_from_their_files(tmp_path):
    size = (32, 32, 1)
    x = np.random.default_rng(0).normal(size=(8, *size)).astype("float32")
    for space, knobs, layer in LAYERS_OF_OURS:
        hypermodel = SpaceHyperModel(space=space, flops="9M", input_shape=size, classes=3)
        hp = keras_tuner.HyperParameters()
        hypermodel.candidate(hp)
        # As few layers as there are: TensorFlow takes seconds for each block more.
        hp.values |= {
            k.name: k.values()[0] for k in hypermodel.space.knobs(hypermodel.request)
        } | knobs
        model = hypermodel.build(hp)
        assert layer in {type(one).__name__ for one in model.layers}
        model.run_eagerly = True  # one step needs no graph
        model.fit(x, np.arange(8) % 3, verbose=0)
        np.savez(tmp_path / f"{space}.npz", x=x, y=model.predict(x, verbose=0))
        model.save(tmp_path / f"{space}.keras")
        assert cost(from_keras(model)).flops == hypermodel.candidate(hp).cost.flops
    program = (
        "import sys\n"
        "for name in ('jax', 'matplotlib', 'pandas', 'sklearn'):\n"
        "    sys.modules[name] = None  # as if it were not installed\n"
        "import keras, numpy as np, archsearch.keras_tuner\n"
        "for name in sys.argv[1:]:\n"
        "    model = keras.models.load_model(f'{name}.keras')\n"
        "    model.run_eagerly = True\n"
        "    data = np.load(f'{name}.npz')\n"
        "    found = model.predict(data['x'], verbose=0)\n"
        "    np.testing.assert_allclose(found, data['y'], rtol=1e-4, atol=1e-5)\n"
        "    model.fit(data['x'], np.zeros(8, int), verbose=0)\n"
        "    configs = [layer.get_config() for layer in model.layers]\n"
        "    again = [type(l).from_config(c) for l, c in zip(model.layers, configs)]\n"
        "    assert [layer.get_config() for layer in again] == configs\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(space for space, *_ in LAYERS_OF_OURS)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# The quick run has a search on TensorFlow, below; models are built, saved and loaded on others in
# tests/training/test_user_configuration.py.
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax", "tensorflow"])
def test_models_are_tuned_on_every_backend_and_load_on_tensorflow(backend, tmp_path):
    pytest.importorskip(backend, reason=f"{backend} is not installed")
    program = (
        "import keras, keras_tuner, numpy as np\n"
        "from archsearch.keras_tuner import SpaceHyperModel\n"
        "space = SpaceHyperModel(space='resnext', flops='9M', input_shape=(32, 32, 1), classes=3)\n"
        "hp = keras_tuner.HyperParameters()\n"
        "for knob, value in (('depth3', 1), ('depth4', 0), ('cardinality', 2)):\n"  # few blocks
        "    hp.Fixed(knob, value)\n"
        "tuner = keras_tuner.RandomSearch(\n"
        "    space, objective='val_accuracy', max_trials=1, hyperparameters=hp)\n"
        "x, y = np.ones((8, 32, 32, 1), 'float32'), np.arange(8) % 3\n"
        "tuner.search(x, y, validation_data=(x, y), epochs=1, verbose=0)\n"
        "(model,) = tuner.get_best_models(1)\n"
        "assert not any('.' in layer.name for layer in model.layers)\n"
        "model.save('model.keras')\n"
        "again = keras.models.load_model('model.keras')\n"
        "wanted, got = (keras.ops.convert_to_numpy(m(x)) for m in (model, again))\n"
        "np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)\n"
        "np.savez('x.npz', x=x, y=wanted)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = np.load(tmp_path / "x.npz")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(loaded(data["x"]), data["y"], rtol=1e-4, atol=1e-5)
    # Read back, layers are told by the stages they are in, as in the space itself.
    names = {node.name for node in load_network(tmp_path / "model.keras")}
    assert any(name.startswith("stage1.") for name in names), names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": "resnxt"}, "did you mean resnext"),
        ({"flops": "1k"}, "try --flops"),
        ({"input_shape": (32, 32)}, "height, width, channels"),
        ({"classes": 1}, "at least 2"),
    ],
)
def test_bad_arguments(change, message):
    good = {"space": "resnext", "flops": "20M", "input_shape": (32, 32, 3), "classes": 10}
    with pytest.raises(UserError, match=message):
        SpaceHyperModel(**(good | change))
