import importlib.util
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import load, prepare
from archsearch.data.sources.child import ImageTable
from archsearch.data.sources.csv_file import Table
from archsearch.errors import DataError


def missing(library: str) -> bool:
    return importlib.util.find_spec(library) is None


@pytest.mark.parametrize(
    ("source", "library", "text"),
    [
        ("tfds:mnist", "tensorflow_datasets", "archsearch[tfds]"),
        ("hf:mnist", "datasets", "archsearch[huggingface]"),
    ],
)
def test_a_library_that_is_not_installed_names_its_extra(tmp_path, source, library, text):
    if not missing(library):
        pytest.skip(f"{library} is installed")
    with pytest.raises(DataError) as caught:
        prepare(source, home=tmp_path / "home", seed=0)
    assert f"pip install '{text}'" in str(caught.value)
    assert not [p for p in (tmp_path / "home").rglob("*") if not p.is_dir()]


@pytest.mark.parametrize("source", ["tfds:", "hf:", "hf:--help"])
def test_no_name_is_refused(tmp_path, source):
    with pytest.raises(DataError, match=r"names no .* data; (tfds|hf):NAME"):
        prepare(source, home=tmp_path / "home", seed=0)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (32, 32), (value, 9, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_image_table_keeps_labels_with_any_characters_and_known_splits(tmp_path):
    splits = ["train", "validation", "extra"]
    with ImageTable(tmp_path, splits) as table:
        for index in range(9):
            table.add(png(index), 'a/"b", 🐜', splits[index % 3])
        table.add(b"what", "c", "train")
    listing = Table(tmp_path / "table.csv").listing()
    assert listing.classes == ('a/"b", 🐜', "c")
    assert [file.fixed for file in listing.files] == [-1, 1, -1, 1, -1, 1, -1]
    assert [Path(file.path).suffix for file in listing.files] == [".png"] * 6 + [".img"]


def test_a_single_split_of_any_name_is_for_training(tmp_path):
    with ImageTable(tmp_path, ["test"]) as table:
        table.add(png(1), "a", "test")
    assert [file.fixed for file in Table(tmp_path / "table.csv").listing().files] == [-1]


@pytest.mark.keras
@pytest.mark.filterwarnings("default")
def test_hugging_face_data_on_disk(tmp_path, make_folder):
    datasets = pytest.importorskip("datasets")
    root = make_folder(tmp_path / "p" / "train", count=10)
    make_folder(tmp_path / "p" / "test", count=3, seed=1)
    loaded = datasets.load_dataset(
        "imagefolder", data_dir=str(root.parent), cache_dir=str(tmp_path / "c")
    )
    loaded.save_to_disk(str(tmp_path / "saved"))
    data = load(prepare(f"hf:{tmp_path / 'saved'}", home=tmp_path / "home", seed=0))
    want = load(prepare(str(root.parent), home=tmp_path / "home", seed=0))
    assert data.classes == want.classes
    assert np.array_equal(np.sort(data.test.images, axis=0), np.sort(want.test.images, axis=0))
    assert (len(data.train), len(data.val)) == (len(want.train), len(want.val))


@pytest.mark.keras
@pytest.mark.filterwarnings("default")
def test_hugging_face_data_that_do_not_exist_say_so(tmp_path):
    pytest.importorskip("datasets")
    with pytest.raises(DataError, match="could not be downloaded") as caught:
        prepare(f"hf:{tmp_path / 'nothing'}", home=tmp_path / "home", seed=0)
    assert "\n" not in str(caught.value)


@pytest.mark.keras
@pytest.mark.filterwarnings("default")
def test_tensorflow_datasets_on_disk(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(60, 32, 32, 3), dtype=np.uint8)
    names = ["cat", "a/nt", "bee"]
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(names=names),
        }
    )
    rows = [(index, {"image": image, "label": index % 3}) for index, image in enumerate(x)]
    tfds.dataset_builders.store_as_tfds_dataset(
        name="own_set", version="1.0.0", features=features, data_dir=str(tmp_path / "tfds"),
        split_datasets={"train": rows[:48], "test": rows[48:]},
    )  # fmt: skip
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    data = load(prepare("tfds:own_set", home=tmp_path / "home", seed=0))
    assert data.classes == ("a/nt", "bee", "cat")
    assert len(data.test) == 12
    stored = {image.tobytes(): names[index % 3] for index, image in enumerate(x)}
    for split in (data.train, data.val, data.test):
        for image, label in zip(split.images, split.labels, strict=True):
            assert stored[image.tobytes()] == data.classes[label]
