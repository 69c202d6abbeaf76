import gzip
import os
import struct
from pathlib import Path

import numpy as np
import pytest

from archsearch.data import load, prepare
from archsearch.data.sources.published import KERAS_SETS
from archsearch.errors import DataError


def idx(array: np.ndarray) -> bytes:
    """The format of the MNIST files."""
    head = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return gzip.compress(head + array.tobytes(), compresslevel=1)


@pytest.fixture
def keras_without_tensorflow(monkeypatch):
    """For processes: Keras's data sets are the same on every backend; this one starts in half the time."""
    monkeypatch.setenv("KERAS_BACKEND", "numpy")


def test_class_names_are_complete_and_in_label_order():
    assert {name: len(s.classes) for name, s in KERAS_SETS.items()} == {
        "mnist": 10, "fashion_mnist": 10, "cifar10": 10, "cifar100": 100,
    }  # fmt: skip
    # Both CIFAR sets number their (fine) classes alphabetically.
    for name in ("cifar10", "cifar100"):
        assert list(KERAS_SETS[name].classes) == sorted(set(KERAS_SETS[name].classes))


@pytest.mark.keras
@pytest.mark.usefixtures("keras_without_tensorflow")
def test_what_keras_has_in_its_cache_is_used(tmp_path: Path, monkeypatch):
    cache = tmp_path / "keras" / "datasets" / "fashion-mnist"
    cache.mkdir(parents=True)
    rng = np.random.default_rng(0)
    want = {}
    for part, file, n in (("train", "train", 600), ("test", "t10k", 100)):
        x = rng.integers(0, 256, size=(n, 28, 28), dtype=np.uint8)
        want[part] = x, np.arange(n, dtype=np.uint8) % 10
        (cache / f"{file}-images-idx3-ubyte.gz").write_bytes(idx(x))
        (cache / f"{file}-labels-idx1-ubyte.gz").write_bytes(idx(want[part][1]))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    folder = prepare("fashion_mnist", home=tmp_path, input=(28, 28, 1), seed=0)
    data = load(folder)
    assert data.classes[9] == "ankle boot"
    assert np.array_equal(data.test.images[..., 0], want["test"][0])
    assert np.array_equal(data.test.labels, want["test"][1])
    assert (len(data.train), len(data.val)) == (510, 90)
    assert data.mirror
    # Found again without asking Keras.
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "nothing"))
    monkeypatch.setattr("sys.executable", "/bin/false")
    assert prepare("fashion_mnist", home=tmp_path, input=(28, 28, 1), seed=0) == folder


@pytest.mark.keras
@pytest.mark.usefixtures("keras_without_tensorflow")
def test_a_download_that_fails_says_so(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setitem(os.environ, name, "http://127.0.0.1:9")
    with pytest.raises(DataError) as caught:
        prepare("mnist", home=tmp_path / "home", seed=0)
    assert "the Keras data set mnist is not in the cache and could not be downloaded" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.keras
def test_images_come_channels_last_whatever_keras_is_configured_to(tmp_path: Path, monkeypatch):
    import keras
    from keras.datasets import cifar10

    from archsearch.data.sources import child

    def load_data():  # as Keras's own ends, behind a download
        x = np.arange(2 * 3 * 32 * 32).reshape(2, 3, 32, 32).astype("uint8")
        if keras.config.image_data_format() == "channels_last":
            x = x.transpose(0, 2, 3, 1)
        return (x, np.zeros((2, 1))), (x, np.zeros((2, 1)))

    monkeypatch.setattr(cifar10, "load_data", load_data)
    keras.config.set_image_data_format("channels_first")
    try:
        child._keras("cifar10", tmp_path / "out.npz")
    finally:
        keras.config.set_image_data_format("channels_last")
    with np.load(tmp_path / "out.npz") as found:
        assert found["x_train"].shape == (2, 32, 32, 3)
