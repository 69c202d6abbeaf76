import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from archsearch.data import load, prepare
from archsearch.data.sources.npz import array_items
from archsearch.errors import DataError

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, size=(60, 10, 12, 3), dtype=np.uint8)
Y = np.arange(60) % 3


def save(tmp_path: Path, **arrays: np.ndarray) -> Path:
    path = tmp_path / "set.npz"
    np.savez(path, **arrays)
    return path


def made(tmp_path: Path, **arrays: np.ndarray):
    return load(prepare(str(save(tmp_path, **arrays)), home=tmp_path, seed=0))


def test_x_and_y_are_split_and_small_images_scaled_up(tmp_path):
    data = made(tmp_path, x=X, y=Y)
    assert data.name == "set"
    assert data.classes == ("0", "1", "2")
    assert data.input == (32, 38, 3)
    assert (len(data.train), len(data.val), len(data.test)) == (42, 9, 9)
    assert data.mirror


def test_a_test_split_is_kept_and_large_enough_images_stay_as_they_are(tmp_path):
    big = RNG.integers(0, 256, size=(60, 32, 40), dtype=np.uint8)
    data = made(tmp_path, x_train=big[:40], y_train=Y[:40, None], x_test=big[40:], y_test=Y[40:])
    assert data.input == (32, 40, 1)
    assert np.array_equal(data.test.images[..., 0], big[40:])
    assert np.array_equal(data.test.labels, Y[40:])
    assert len(data.train) + len(data.val) == 40
    assert not data.mirror


@pytest.mark.parametrize(
    ("values", "pixel"),
    [
        (np.float32([0, 0.5, 1]), [0, 128, 255]),
        (np.float64([0, 127.6, 255]), [0, 128, 255]),
        (np.float16([0, 0.25, 1]), [0, 64, 255]),
        (np.int64([0, 7, 255]), [0, 7, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
    ],
)
def test_numbers_of_every_kind_become_bytes(tmp_path, values, pixel):
    x = np.broadcast_to(values, (60, 32, 32, 3))
    data = made(tmp_path, x=x, y=Y)
    assert data.train.images[0, 0, 0].tolist() == pixel


@pytest.mark.parametrize(
    ("train", "test"),
    [
        (X, X / np.float32(255)),
        (X / np.float32(255), X),
        (X / np.float32(255), X.astype(np.int64)),
        (X.astype(np.float64), X),
        (X / 255, X / np.float32(510)),
        (X.astype(np.float32), np.zeros_like(X, dtype=np.float32)),
    ],
)
def test_bytes_and_floats_side_by_side_keep_their_brightness(train, test):
    arrays = {"x_train": train, "y_train": Y, "x_test": test, "y_test": Y}
    items = array_items(arrays, name="set", where="set.npz")
    brightness = test / 255 if test.max() > 1 else test
    found = np.stack([items.decode(60 + i, (10, 12, 3)) for i in range(60)])
    assert np.abs(found / 255 - brightness).max() < 0.003


def test_class_names_are_taken_along(tmp_path):
    assert made(tmp_path, x=X, y=Y, classes=np.array(["a", "b", "c"])).classes == ("a", "b", "c")
    data = made(tmp_path, x=X, y=np.array(["dog", "ant", "cat"])[Y])
    assert data.classes == ("ant", "cat", "dog")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_whole_floats_are_labels(tmp_path, kind):
    assert made(tmp_path, x=X, y=Y.astype(kind)).classes == ("0", "1", "2")


OBJECTS = np.array([{"a": 1}] * 60, dtype=object)
NAN = np.full((60, 8, 8, 3), 0.5)
NAN[3, 2, 1] = np.nan


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"foo": X}, "no training images (found foo (60, 10, 12, 3)); wanted x_train and y_train"),
        ({"images": X}, "an array of labels is missing for images (found images (60, 10, 12, 3))"),
        ({"x_train": X}, "y_train is missing for x_train (found x_train (60, 10, 12, 3))"),
        ({"y": Y}, "x is missing for y"),
        ({"x": X.reshape(60, -1)[:, :300], "y": Y}, "try x.reshape(-1, 10, 10, 3)"),
        ({"x": X.reshape(60, -1)[:, :81], "y": Y}, "try x.reshape(-1, 9, 9)"),
        ({"x_test": X, "y_test": Y}, "no training images"),
        ({"x": X, "y": Y, "x_train": X, "y_train": Y}, "both x and x_train"),
        ({"x": X, "y": Y[:50]}, "y has shape (50,) for 60 images in x; wanted (60,)"),
        ({"x": X, "y": np.eye(3)[Y] / 2}, "y.argmax(axis=1)"),
        ({"x": X, "y": np.ones((60, 3), dtype=int)}, "several labels an image are not supported"),
        ({"x": X[..., 0, 0], "y": Y}, "wanted (images, height, width, channels)"),
        ({"x": X[..., [0, 1]], "y": Y}, "wanted 1, 3 or 4 channels, as the last axis"),
        ({"x": X[:0], "y": Y[:0]}, "there is nothing in it"),
        ({"x": NAN, "y": Y}, "x holds 3 values that are NaN or infinite"),
        ({"x": np.where(X > 9, np.inf, 0.0), "y": Y}, "NaN or infinite"),
        (
            {"x_train": X * 1.0, "y_train": Y, "x_test": X / 255, "y_test": Y},
            "x_test runs from 0 to 1 only, other floats here up to 255; write all in one scale",
        ),
        (
            {"x": np.where(X > 9, 1e308, -1e308), "y": Y},
            "wanted pixels, of any scale within ±1e+30",
        ),
        ({"x": X.astype("datetime64[s]"), "y": Y}, "images are uint8 or float numbers"),
        ({"x": OBJECTS, "y": Y}, "x holds pickled Python objects"),
        ({"x": X, "y": OBJECTS}, "y holds pickled Python objects"),
        ({"x": X, "y": Y, "classes": np.array(["a", "b"])}, "label 2; wanted 0..1 (the class"),
        ({"x": X, "y": Y, "classes": np.array(["a", "a", "b"])}, "names a class twice"),
        ({"x": X, "y": Y, "classes": np.array(3)}, "classes must be a list of strings"),
        ({"x": X, "y": Y + 0.5}, "no whole numbers"),
        ({"x": X, "y": np.where(Y, Y, np.nan)}, "y holds 20 labels that are NaN"),
        ({"x": X, "y": Y * 1j}, "labels are whole numbers or strings"),
        ({"x": X, "y": Y.astype(np.uint64) + 2**63}, "no class number"),
        ({"x": X, "y": Y * 0}, "has one class"),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:3], "y_test": Y[:3] + 2},
            "y_test holds label 3; wanted 0..2 (the labels of the training images)",
        ),
        (
            {"x_train": X, "y_train": Y, "x_test": X[:9, 1:], "y_test": Y[:9]},
            "x_test holds images (9, 12, 3) and x_train (10, 12, 3)",
        ),
    ],
)
def test_arrays_that_cannot_be_used_are_refused_in_one_line(tmp_path, arrays, text):
    path = save(tmp_path, **arrays)
    with pytest.raises(DataError) as caught:
        prepare(str(path), home=tmp_path / "home", seed=0)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x93NUMPY\x01\x00"])
def test_files_that_are_no_npz_are_refused(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"is no readable \.npz file"):
        prepare(str(tmp_path / "a.npz"), home=tmp_path / "home", seed=0)


def test_a_truncated_npz_is_refused(tmp_path):
    path = save(tmp_path, x=X, y=Y)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) - 30):
        path.write_bytes(data[:size])
        with pytest.raises(DataError, match=r"is no readable \.npz file"):
            prepare(str(path), home=tmp_path / "home", seed=0)


def test_pickles_are_never_loaded(tmp_path):
    """The object's reduce would create a file; it must not exist afterwards."""

    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    trap = np.empty(60, dtype=object)
    trap[:] = [Trap() for _ in range(60)]
    path = save(tmp_path, x=X, y=trap)
    with pytest.raises(DataError, match="pickled"):
        prepare(str(path), home=tmp_path / "home", seed=0)
    assert not (tmp_path / "sprung").exists()


def test_a_header_that_claims_more_than_there_is_is_refused(tmp_path):
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (999999999, 99999, 3, 3), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
        buffer = io.BytesIO()
        np.save(buffer, Y)
        archive.writestr("y.npy", buffer.getvalue())
    with pytest.raises(DataError, match="x is shorter than its header says"):
        prepare(str(tmp_path / "a.npz"), home=tmp_path / "home", seed=0)


def test_an_npz_that_would_fill_the_memory_is_refused(tmp_path, monkeypatch):
    import psutil

    path = save(tmp_path, x=X, y=Y)
    facts = SimpleNamespace(total=20_000, available=10_000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: facts)
    with pytest.raises(DataError, match="save the images as a folder"):
        prepare(str(path), home=tmp_path / "home", seed=0)
