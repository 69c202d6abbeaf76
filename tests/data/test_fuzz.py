"""Malformed inputs of every kind end in a Dataset or in one line for the user, nothing else."""

import io
import os
import shutil
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from archsearch.data import load, prepare
from archsearch.data.sources.published import KERAS_SETS
from archsearch.errors import UserError
from archsearch.inspection import inspect

FUZZ = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def survives(make: Callable[[Path], Path]) -> None:
    """Prepare and inspect what `make` writes into a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        source, home = make(root), root / "home"
        try:
            data = load(prepare(str(source), home=home, input=(8, 8, 3), seed=0))
        except UserError as error:
            check_line(error)
            assert not list(home.glob("data/*"))
        else:
            assert len(data.train)
            assert len(data.val)
            assert len(data.test)
        try:
            inspect(str(source), home=home)
        except UserError as error:
            check_line(error)


def check_line(error: UserError) -> None:
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    text.encode("utf-8")


def valid_image(form: str) -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(1).integers(0, 256, size=(12, 10, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


VALID = [valid_image(form) for form in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")]


@st.composite
def damaged_images(draw: st.DrawFn) -> bytes:
    """A valid image, cut, with bytes changed, or not an image at all."""
    kind = draw(st.sampled_from(["valid", "cut", "changed", "junk"]))
    if kind == "junk":
        return draw(st.binary(max_size=60))
    data = bytearray(draw(st.sampled_from(VALID)))
    if kind == "cut":
        return bytes(data[: draw(st.integers(0, len(data)))])
    if kind == "changed":
        for _ in range(draw(st.integers(1, 8))):
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


SUFFIXES = st.sampled_from([".jpg", ".png", ".webp", ".bmp", ".gif", ".tiff", ".ppm", ".txt", ""])
NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in {".", ".."})


@FUZZ
@given(
    classes=st.lists(NAMES, min_size=0, max_size=4, unique=True),
    images=st.lists(st.tuples(st.integers(0, 3), SUFFIXES, damaged_images()), max_size=12),
    whole=st.integers(0, 6),
    nested=st.sampled_from(
        ["", "train", "test", "val", "seg_train/seg_train", "a/b", "Test Images"]
    ),
)
def test_folders(classes, images, whole, nested):
    def make(root: Path) -> Path:
        folder = root / "p"
        folder.mkdir()
        for name in classes:
            (folder / nested / name).mkdir(parents=True, exist_ok=True)
            for index in range(whole):
                data = VALID[index % len(VALID)]
                (folder / nested / name / f"good{index}.jpg").write_bytes(data)
        for index, (owner, suffix, data) in enumerate(images):
            place = folder / nested / classes[owner % len(classes)] if classes else folder
            (place / f"{index}{suffix}").write_bytes(data)
        return folder

    survives(make)


ANY_ARRAY = hnp.arrays(
    dtype=st.one_of(
        hnp.boolean_dtypes(), hnp.integer_dtypes(), hnp.unsigned_integer_dtypes(),
        hnp.floating_dtypes(), hnp.complex_number_dtypes(), hnp.unicode_string_dtypes(max_len=3),
        hnp.byte_string_dtypes(max_len=3), hnp.datetime64_dtypes(),
    ),
    shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=7),
)  # fmt: skip
IMAGES = hnp.arrays(
    dtype=st.sampled_from([np.uint8, np.float32, np.int64]),
    shape=st.tuples(st.integers(6, 14), st.just(4), st.just(5), st.sampled_from([1, 3, 4])),
    elements=st.integers(0, 255).map(int),
)
LABELS = hnp.arrays(np.int64, st.integers(6, 14), elements=st.integers(-1, 3))
KEYS = [
    *("x", "y", "x_train", "y_train", "x_val", "y_val", "x_test", "y_test", "classes", "other"),
    *(
        "images",
        "labels",
        "train_images",
        "train_labels",
        "testX",
        "testY",
        "arr_0",
        "arr_1",
        "arr_2",
    ),
]


@FUZZ
@given(
    arrays=st.dictionaries(st.sampled_from(KEYS), st.one_of(ANY_ARRAY, IMAGES, LABELS), max_size=6)
)
def test_npz_of_any_arrays(arrays):
    def make(root: Path) -> Path:
        np.savez(root / "a.npz", **arrays)
        return root / "a.npz"

    survives(make)


@FUZZ
@given(
    x=IMAGES,
    y=st.one_of(LABELS, ANY_ARRAY),
    keys=st.sampled_from([("x", "y"), ("x_train", "y_train"), ("X", "target"), ("arr_0", "arr_1")]),
)
def test_npz_that_are_nearly_right(x, y, keys):
    n = min(len(x), y.shape[0] if y.ndim else 0)

    def make(root: Path) -> Path:
        np.savez(root / "a.npz", **{keys[0]: x[:n], keys[1]: y[:n] if y.ndim else y})
        return root / "a.npz"

    survives(make)


def whole_npz() -> bytes:
    buffer = io.BytesIO()
    x = np.random.default_rng(0).integers(0, 256, size=(12, 4, 4, 3), dtype=np.uint8)
    np.savez(buffer, x=x, y=np.arange(12) % 2)
    return buffer.getvalue()


WHOLE = whole_npz()


@FUZZ
@given(
    cut=st.integers(0, len(WHOLE)),
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6),
)
def test_npz_with_bytes_changed_or_cut_off(cut, changes):
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value

    def make(root: Path) -> Path:
        (root / "a.npz").write_bytes(bytes(data[:cut] if cut % 3 == 0 else data))
        return root / "a.npz"

    with warnings.catch_warnings():
        # zipfile warns of members named twice, NumPy of odd headers: no user sees either.
        warnings.simplefilter("ignore")
        survives(make)


@FUZZ
@given(header=st.binary(max_size=120), body=st.binary(max_size=200))
def test_npz_with_array_headers_of_junk(header, body):
    def make(root: Path) -> Path:
        with zipfile.ZipFile(root / "a.npz", "w") as archive:
            for key in ("x", "y"):
                start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
                archive.writestr(f"{key}.npy", start + header + body)
        return root / "a.npz"

    survives(make)


CELLS = st.one_of(
    st.sampled_from(["path", "label", "split", "train", "test", "0.jpg", "1.png", "cat", "1", ""]),
    st.sampled_from(["id", "breed", "0", "a\\0.jpg", "/b/1.png", "Usage", "0.0"]),
    st.text(max_size=8),
)


@FUZZ
@given(
    rows=st.lists(st.lists(CELLS, max_size=4), max_size=14),
    separator=st.sampled_from([",", "\t", ";", ",,", "|"]),
    raw=st.one_of(st.none(), st.binary(max_size=80)),
)
def test_tables(rows, separator, raw):
    text = "\n".join(separator.join(row) for row in rows).encode("utf-8", "surrogatepass")

    def make(root: Path) -> Path:
        for index in range(2):
            (root / f"{index}.{'jpg' if index == 0 else 'png'}").write_bytes(VALID[index])
        (root / "a.csv").write_bytes(text if raw is None else raw)
        return root / "a.csv"

    survives(make)


@FUZZ
@given(
    source=st.one_of(
        st.text(max_size=30),
        st.sampled_from(["", "~nobody", "no/where", "a" * 5000, "tfds:", "hf:"]),
    )
)
def test_any_text_as_a_source(source):
    # What exists here is no malformed input (and "/" would be a very large data set).
    if os.path.exists(source) or source in KERAS_SETS:
        return
    home = Path(tempfile.mkdtemp()) / "home"
    try:
        prepare(source, home=home, input=(8, 8, 3), seed=0)
    except UserError as error:
        check_line(error)
    finally:
        shutil.rmtree(home.parent)
