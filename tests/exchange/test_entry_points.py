"""What a SavedModel takes: held to Pillow, which prepares the images of a training, and to its refusals."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data.sources.decode import decode_file, fit_array
from archsearch.exchange.formats.saved_model import SAVED_MODEL
from archsearch.ir.tracer import Tracer
from archsearch.testing.format_case import FormatCase
from archsearch.training.weights import fresh_weights

pytestmark = pytest.mark.keras


def example(channels=3, resize="crop"):
    class Case(FormatCase):
        def network(self):
            net = Tracer("small", (16, 20, channels))
            x = net.relu(net.conv(net.input, 4, kernel=3, stride=2))
            return net.finish(net.dense(net.flatten(x), 5))

    trained = Case().example()
    mean, std = (100.0,) * channels, (60.0,) * channels
    fresh = fresh_weights(trained.graph)
    return replace(trained, weights=fresh, mean=mean, std=std, resize=resize)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    import tensorflow as tf

    models = {}
    for key in ((3, "crop"), (1, "squash")):
        out = tmp_path_factory.mktemp("model") / "saved_model"
        SAVED_MODEL.write(example(*key), out)
        models[key] = (out, tf.saved_model.load(str(out)))
    return models


@pytest.fixture(scope="module")
def photograph():
    """Something smooth, as photographs are: (40, 90, 3)."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (5, 9, 3), np.uint8))
    return np.asarray(coarse.resize((90, 40), Image.Resampling.BICUBIC))


def asked(model, name, images, key="images"):
    import tensorflow as tf

    return model.signatures[name](**{key: tf.constant(images)})["probabilities"].numpy()


@pytest.mark.parametrize("key", [(3, "crop"), (1, "squash")])
@pytest.mark.parametrize("kind", ["RGB", "L", "RGBA"])
def test_images_of_any_size_are_fitted_as_in_training(key, kind, written, photograph):
    from archsearch.exchange.formats.entry_points import fitted

    trained = example(*key)
    image = Image.fromarray(photograph).convert(kind)
    if kind == "RGBA":
        image.putalpha(Image.fromarray(photograph[..., 0]))
    pixels = np.asarray(image).reshape(40, 90, -1)
    wanted = fit_array(pixels, trained.input, trained.resize)
    got = fitted(pixels[None], trained).numpy()[0]
    assert got.dtype == np.uint8
    assert np.abs(got.astype(int) - wanted).max() <= 2
    # Pillow rounds once more where there is transparency.
    assert np.abs(got.astype(int) - wanted).mean() < (0.6 if kind == "RGBA" else 0.3)
    # All entry points give what the fitted image gives.
    _, model = written[key]
    same = asked(model, "predict", wanted[None])
    for answer in (
        asked(model, "serve", pixels[None]),
        asked(model, "serve_float", (pixels[None] / 255).astype(np.float32)),
    ):
        np.testing.assert_allclose(answer, same, atol=0.02)


def test_pixels_of_the_networks_size_stay_as_they_are(written):
    _, model = written[3, "crop"]
    images = np.random.default_rng(1).integers(0, 256, (7, 16, 20, 3), np.uint8)
    wanted = asked(model, "predict", images)
    assert wanted.std(axis=0).max() > 0.01
    np.testing.assert_array_equal(asked(model, "serve", images), wanted)
    floats = (images / 255).astype(np.float32)
    np.testing.assert_allclose(asked(model, "serve_float", floats), wanted, atol=1e-6)
    np.testing.assert_array_equal(asked(model, "serving_default", images), wanted)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("key", [(3, "crop"), (1, "squash")])
def test_files_are_decoded_inside(key, kind, written, photograph, tmp_path: Path):
    trained, (_, model) = example(*key), written[key]
    names = []
    for number, mode in enumerate(("RGB", "L")):
        names.append(tmp_path / f"{number}.{kind}")
        Image.fromarray(photograph).convert(mode).save(names[-1], kind, quality=95)
    wanted = np.stack([decode_file(name, trained.input, resize=trained.resize) for name in names])
    got = asked(model, "serve_bytes", [name.read_bytes() for name in names], key="files")
    np.testing.assert_allclose(got, asked(model, "predict", wanted), atol=0.02)


def test_what_would_be_misunderstood_is_refused(written):
    import tensorflow as tf

    _, model = written[3, "crop"]
    floats = np.random.default_rng(2).random((2, 16, 20, 3)).astype(np.float32)
    # TensorFlow makes bytes of a NumPy array's floats by itself: all of them black.
    with pytest.raises(tf.errors.InvalidArgumentError, match="go to serve_float"):
        model.signatures["serve"](images=floats)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"0 to 255, as uint8, go to serve"):
        asked(model, "serve_float", floats * 255)
    with pytest.raises(tf.errors.InvalidArgumentError, match="go to serve"):
        asked(model, "serve_float", floats - 0.5)
    with pytest.raises(tf.errors.InvalidArgumentError, match="channels here"):
        asked(model, "serve", np.full((1, 16, 20, 5), 9, np.uint8))
    bad = io.BytesIO(b"no image").getvalue()
    with pytest.raises(tf.errors.InvalidArgumentError):
        asked(model, "serve_bytes", [bad], key="files")
    assert asked(model, "serve", np.zeros((0, 16, 20, 3), np.uint8)).shape == (0, 5)


def test_black_images_are_answered_where_they_are_bytes(written):
    out, _ = written[3, "crop"]
    assert SAVED_MODEL.call(out, np.zeros((2, 16, 20, 3), np.uint8)).shape == (2, 5)


def test_the_card_says_what_each_takes(written):
    out, model = written[1, "squash"]
    card = json.loads((out / "assets.extra" / "archsearch.json").read_text())
    assert set(card["takes"]) | {"serving_default"} == set(model.signatures)
    assert (card["resize"], card["input"]) == ("squash", [16, 20, 1])
