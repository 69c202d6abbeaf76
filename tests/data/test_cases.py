"""Images and labels as people have them: each layout, table, array and scale does what it should."""

import os
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.cli.app import main
from archsearch.data import load, open_source, prepare
from archsearch.data.dataset import Dataset
from archsearch.data.sources.folder import Folder
from archsearch.errors import DataError, UserError
from archsearch.inspection import inspect
from tests.data.conftest import picture

RNG = np.random.default_rng(0)


def fill(root: Path, counts: dict[str, int], *, suffix: str = ".jpg") -> Path:
    """Write so many different pictures into each folder; the picture's tint is its folder's name's."""
    for number, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            image = picture(1000 * number + index, tint=sum(map(ord, Path(name).name)))
            image.save(root / name / f"{number}-{index:02}{suffix}")
    return root


def splits(data: Dataset) -> tuple[int, int, int]:
    return len(data.train), len(data.val), len(data.test)


def made(source: Path | str, tmp_path: Path, **wanted) -> Dataset:
    return load(prepare(str(source), home=tmp_path / "home", seed=0, **wanted))


def refused(source: Path, tmp_path: Path, *texts: str) -> None:
    with pytest.raises(DataError) as caught:
        prepare(str(source), home=tmp_path / "home", seed=0)
    for text in texts:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home" / "data").exists()


# --- Folders ---------------------------------------------------------------------------------------


def both(train: str, test: str, val: str = "", *, inside: str = "") -> dict[str, int]:
    """Counts of NORMAL and PNEUMONIA in split folders of those names."""
    counts = {train: 8, test: 4} | ({val: 4} if val else {})
    return {
        f"{split}/{split + '/' if inside == 'same' else inside}{label}": count
        for split, count in counts.items()
        for label in ("NORMAL", "PNEUMONIA")
    }


def test_a_copy_of_the_whole_beside_the_splits_is_left_out_with_a_note(tmp_path):
    root = fill(tmp_path / "p", both("train", "test", "val"))
    fill(root / "chest_xray", both("train", "test"))
    data = made(root, tmp_path)
    assert data.classes == ("NORMAL", "PNEUMONIA")
    assert splits(data) == (16, 8, 8)
    assert data.notes == ("chest_xray/ was left out (24 images): it is none of the splits",)


@pytest.mark.parametrize(
    ("train", "test", "val"),
    [
        ("train", "test", "val"),
        ("Training", "Testing", "Validation"),
        ("TRAIN", "TEST", "VALID"),
        ("training_set", "test_set", ""),
        ("trainset", "testset", "valset"),
        ("Train Images", "Test Images", "Val Images"),
        ("train_images", "test_images", ""),
        ("TrainImages", "TestImages", ""),
        ("train2017", "test2017", "val2017"),
        ("seg_train", "seg_test", ""),
        ("flowers-train", "flowers-test", "flowers-val"),
        ("train_data", "holdout_data", "dev_data"),
        ("training", "evaluation", "validation"),
        ("train_val", "test", ""),
    ],
)
@pytest.mark.parametrize("inside", ["", "same", "images/", "a/b/"])
def test_splits_are_found_under_any_usual_name_and_nesting(tmp_path, train, test, val, inside):
    root = fill(tmp_path / "p", both(train, test, val, inside=inside))
    listing = Folder(root).listing()
    assert listing.classes == ("NORMAL", "PNEUMONIA")
    assert sum(file.fixed == 2 for file in listing.files) == 8
    assert sum(file.fixed == 1 for file in listing.files) == (8 if val else 0)
    assert sum(file.fixed == -1 for file in listing.files) == 16


@pytest.mark.parametrize("wrapper", ["archive", "data/photos", "a/b/c"])
def test_one_folder_around_everything_is_gone_through(tmp_path, wrapper):
    root = fill(tmp_path / "p", {f"{wrapper}/{name}": 6 for name in ("ant", "bee", "cat")})
    (root / "notes").mkdir()
    (root / "notes" / "readme.txt").write_text("x")
    data = made(root, tmp_path)
    assert data.classes == ("ant", "bee", "cat")
    assert data.notes[0] == f"the classes were found in {wrapper}/"
    assert data.notes[1] == "notes/ was left out: it holds no images"
    inner = fill(tmp_path / "q", {f"{wrapper}/{name}": 3 for name in both("train", "test")})
    assert Folder(inner).listing().classes == ("NORMAL", "PNEUMONIA")


def test_an_unlabelled_folder_for_predictions_is_left_out(tmp_path):
    root = fill(tmp_path / "p", both("seg_train", "seg_test", inside="same"))
    fill(root, {"seg_pred/seg_pred": 5})
    data = made(root, tmp_path)
    assert (data.classes, len(data.test)) == (("NORMAL", "PNEUMONIA"), 8)
    assert data.notes == ("seg_pred/ was left out (5 images): it is none of the splits",)
    fill(root, {"test1": 5})
    assert "test1/ was left out (5 images): it has no class folders" in Folder(root).listing().notes


@pytest.mark.parametrize("inside", ["unknown", "x/y"])
def test_a_test_folder_without_a_class_of_train_is_left_out(tmp_path, inside):
    root = fill(tmp_path / "p", {"train/a/images": 5, "train/b/images": 5, f"test/{inside}": 6})
    data = made(root, tmp_path)
    assert (data.classes, sum(splits(data))) == (("a", "b"), 10)
    assert data.notes[0].startswith("test/ was left out (6 images): none of its folders (")


def test_a_smaller_copy_of_the_training_images_does_not_double_them(tmp_path):
    root = fill(tmp_path / "p", both("train", "test"))
    for path in sorted((root / "train").rglob("*.jpg")):
        copy = root / "train_small" / path.relative_to(root / "train")
        copy.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).resize((24, 20)).save(copy)
    data = made(root, tmp_path)
    assert splits(data) == (14, 2, 8)
    assert any("files of the same names as train/" in note for note in data.notes)


def test_parts_of_one_split_are_put_together(tmp_path):
    root = fill(tmp_path / "p", both("train1", "test"))
    fill(root, {"train2/NORMAL": 2, "train2/PNEUMONIA": 2})
    for path in (root / "train2").rglob("*.jpg"):
        path.rename(path.with_name(f"more-{path.name}"))
    listing = Folder(root).listing()
    assert sum(file.fixed == -1 for file in listing.files) == 20


def test_splits_inside_the_class_folders_are_kept(tmp_path):
    counts = {f"{label}/{split}": n for label in "ab" for split, n in [("train", 8), ("test", 3)]}
    data = made(fill(tmp_path / "p", counts), tmp_path)
    assert (data.classes, splits(data)) == (("a", "b"), (14, 2, 6))
    assert data.notes == ("every class folder has splits of its own inside, which were kept",)


def test_the_same_classes_again_beside_the_classes_are_left_out(tmp_path):
    root = fill(tmp_path / "p", {"daisy": 4, "rose": 4, "tulip": 4, "flowers/daisy": 4})
    fill(root, {"flowers/rose": 4, "flowers/tulip": 4})
    data = made(root, tmp_path)
    assert data.classes == ("daisy", "rose", "tulip")
    assert data.notes == (
        "flowers/ was left out (12 images): it holds the same class folders again",
    )
    root = fill(
        tmp_path / "q", {"cat": 4, "dog": 4, "dataset/train/cat": 3, "dataset/train/dog": 3}
    )
    assert Folder(root).listing().classes == ("cat", "dog")


def test_masks_beside_the_images_of_a_class_are_left_out(tmp_path):
    root = fill(
        tmp_path / "p", {f"{c}/{k}": 5 for c in ("Covid", "Normal") for k in ("images", "masks")}
    )
    data = made(root, tmp_path)
    assert (data.classes, sum(splits(data))) == (("Covid", "Normal"), 10)
    assert "Covid/masks/ was left out (5 images): it holds masks" in data.notes


@pytest.mark.parametrize(
    ("counts", "texts"),
    [
        (
            {
                f"{way}/{label}": 3
                for way in ("color", "gray", "cut")
                for label in ("apple", "pear")
            },
            [
                "color/, cut/ and gray/ are no plain classes",
                "(apple, pear…)",
                "CSV file of path,label",
            ],
        ),
        (
            {f"part{n}/{label}": 3 for n in (1, 2) for label in ("ant", "bee")},
            ["part1/ and part2/ are no plain classes", "name them train, val and test"],
        ),
        (
            {"train": 5, "test": 5},
            ["test/ and train/ are named like splits", "/train/<class>/*.jpg"],
        ),
        (
            {"train": 5, "test1": 5},
            ["test1/ and train/ are named like splits", "other names if these"],
        ),
        (
            {"train/train": 5, "test/test": 5},
            ["test/ and train/ are named like splits, and hold images"],
        ),
        ({"train": 9}, ["train/ is named like a split, and holds images without class folders"]),
        (
            {"train": 5, "test": 5, "car": 5},
            ["test/ and train/ are named like splits, and hold images without class folders"],
        ),
        (
            {"test/a": 5, "test/b": 5, "val/a": 5, "val/b": 5},
            ["test/ and val/ are named like a split, and no folder is named train"],
        ),
        (
            {"train/steam": 5, "train/diesel": 5, "car": 5, "plane": 5},
            ["train/ holds class folders as a split does, and car/ holds images", "rename train/"],
        ),
    ],
)
def test_folders_that_may_be_classes_or_splits_are_refused_with_a_way_out(tmp_path, counts, texts):
    refused(fill(tmp_path / "p", counts), tmp_path, *texts)


def test_a_table_beside_loose_images_is_named(tmp_path):
    root = fill(tmp_path / "p", {"train": 5, "test": 5})
    (root / "labels.csv").write_text("id,breed\n")
    refused(root, tmp_path, f"or give the table {root}/labels.csv")


@pytest.mark.parametrize(
    "names", [("bullet train", "car"), ("test tube", "flask"), ("train", "bus")]
)
def test_classes_may_be_called_like_a_split_among_others(tmp_path, names):
    assert Folder(fill(tmp_path / "p", dict.fromkeys(names, 3))).listing().classes == tuple(
        sorted(names)
    )


def test_a_class_in_two_unicode_forms_is_one_class(tmp_path):
    composed = unicodedata.normalize("NFC", "café")
    apart = unicodedata.normalize("NFD", "café")
    root = fill(tmp_path / "p", {f"train/{composed}": 8, "train/tea": 8, f"test/{apart}": 3})
    data = made(fill(root, {"test/tea": 3}), tmp_path)
    assert data.classes == (composed, "tea")
    assert splits(data) == (14, 2, 6)
    assert "two Unicode forms" in data.notes[0]
    # Alone, a name stays as it is written, and so does the digest.
    assert Folder(fill(tmp_path / "q", {apart: 3, "tea": 3})).listing().classes == (apart, "tea")


@pytest.mark.parametrize("twin", ["Cat", "cat ", "c_at", "ＣＡＴ"])
def test_classes_that_differ_in_spelling_get_a_hint(tmp_path, twin):
    root = fill(tmp_path / "p", {"cat": 4, twin: 4, "dog": 4})
    text = "differ in their spelling only: are they one class?"
    assert any(text in note for note in made(root, tmp_path).notes)
    assert any(text in note for note in inspect(str(root), home=tmp_path).notes)


def test_a_test_class_in_another_spelling_is_refused_with_a_hint(tmp_path):
    root = fill(tmp_path / "p", {"train/cat": 5, "train/dog": 5, "test/Cat": 5, "test/dog": 5})
    refused(
        root, tmp_path, "class 'Cat' has 0 images to train on", "'cat' is another class, by its"
    )


def test_classes_missing_from_a_split_are_named(tmp_path):
    counts = {"train/a": 6, "train/b": 6, "train/c": 6, "test/a": 3, "val/b": 3}
    notes = inspect(str(fill(tmp_path / "p", counts)), home=tmp_path).notes
    assert "test has no image of: b, c" in notes
    assert "val has no image of: a, c" in notes


def test_a_hidden_class_folder_is_named_with_the_true_reason(tmp_path):
    root = fill(tmp_path / "p", {".net": 3, "java": 3, "rust": 3, "rust/.ipynb_checkpoints": 0})
    (note,) = made(root, tmp_path).notes
    assert note.startswith(".net/ was left out: its name begins with a dot")


@pytest.mark.parametrize("suffix", [".avif", ".jp2", ".webp", ".tiff"])
def test_formats_that_pillow_reads_are_read(tmp_path, suffix):
    data = made(fill(tmp_path / "p", {"a": 4, "b": 4}, suffix=suffix), tmp_path)
    assert (sum(splits(data)), data.notes) == (8, ())
    found = inspect(str(tmp_path / "p"), home=tmp_path)
    assert not found.bad
    assert not found.misnamed


def test_files_that_are_not_read_are_told_apart_and_litter_is_quiet(tmp_path):
    root = fill(tmp_path / "p", {"a": 4, "b": 4})
    for name in ("x.heic", "y.dcm", "z.txt", "Thumbs.db", "desktop.ini", ".DS_Store", "._0.jpg"):
        (root / "a" / name).write_bytes(b"?")
    fill(root, {"__MACOSX/a": 2})
    assert Folder(root).listing().notes == (
        "1 .dcm files were left out: medical images; convert them to 16-bit PNG, which keeps their range",
        "1 .heic files were left out: images of a format that is not read here; convert them to PNG or"
        " JPEG",
        "1 files that are no images were left out (.txt)",
    )


def test_links_out_of_the_folder_are_followed_and_said(tmp_path):
    store = fill(tmp_path / "store", {"a": 4, "b": 4})
    root = tmp_path / "p"
    root.mkdir()
    for name in "ab":
        (root / name).symlink_to(store / name)
    (note,) = made(root, tmp_path).notes
    assert note == (f"2 links out of the folder were followed: a leads to {store}/a (and 1 more)")
    (store / "b" / "again.jpg").symlink_to("1-00.jpg")
    assert Folder(store).listing().notes == ()


# --- The scale of numbers --------------------------------------------------------------------------


def ramp(low: float, high: float, *, n: int = 24, kind=np.float32) -> np.ndarray:
    """Images whose pixels take 1,024 values from low to high, each image all of them."""
    values = np.linspace(low, high, 1024)
    return np.stack([RNG.permutation(values).reshape(32, 32) for _ in range(n)]).astype(kind)


def npz(tmp_path: Path, **arrays: np.ndarray) -> Path:
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


def levels(data: Dataset) -> int:
    return len(np.unique(data.train.images))


def outlier() -> np.ndarray:
    x = ramp(-2, 2)
    x[3, 5, 7] = 900
    return x


@pytest.mark.parametrize(
    ("x", "noted"),
    [
        (ramp(0, 1), ""),
        (ramp(0, 1.0000002), ""),
        (ramp(-0.01, 1.02), ""),
        (ramp(0, 255), ""),
        (ramp(-3, 259), ""),
        (ramp(0, 4.7), "floats from 0 to 4.7 became 0 to 255, a range found over all images"),
        (ramp(-1, 1), "floats from -1 to 1 became 0 to 255"),
        (ramp(-2.1, 2.6), "floats from -2.1 to 2.6 became 0 to 255"),
        (ramp(0, 0.1), "floats from 0 to 0.1 became 0 to 255"),
        (ramp(0, 4095, kind=np.uint16), "integers from 0 to 4095 became 0 to 255"),
        (ramp(-1024, 3071, kind=np.int16), "integers from -1024 to 3071 became 0 to 255"),
        (ramp(29_000, 31_000, kind=np.uint16), "integers from 29000 to 31000 became 0 to 255"),
        (ramp(0, 65535, kind=np.uint16), "integers from 0 to 65535 became 0 to 255"),
        (outlier(), "-2 to 900 occur, what is outside was cut off"),
    ],
)
def test_rounding_to_256_levels_leaves_them(tmp_path, x, noted):
    source = npz(tmp_path, x=x, y=np.arange(24) % 2)
    data = made(source, tmp_path)
    assert levels(data) > 240
    assert noted in " ".join(data.notes)
    assert bool(data.notes) == bool(noted)
    assert inspect(str(source), home=tmp_path).notes == data.notes


def test_few_levels_by_nature_stay_and_are_said(tmp_path):
    x = ramp(0, 16.4).astype(np.uint8).astype(np.float32)
    data = made(npz(tmp_path, x=x, y=np.arange(24) % 2), tmp_path)
    assert np.array_equal(np.unique(data.train.images), np.arange(17))
    assert "use the values 0 to 16 of 0..255 only" in data.notes[0]


def test_train_and_test_are_on_one_scale(tmp_path):
    y = np.arange(24) % 2
    arrays = {"x_train": ramp(-2, 2), "y_train": y, "x_test": ramp(0, 1), "y_test": y}
    data = made(npz(tmp_path, **arrays), tmp_path)
    assert (data.test.images.min(), data.test.images.max()) == (128, 191)
    arrays["x_test"] = ramp(0, 255)
    refused(
        npz(tmp_path, **arrays),
        tmp_path / "b",
        "x_train runs from -2 to 2 only, other floats here up to",
    )


def test_what_is_read_otherwise_than_before_is_another_dataset(tmp_path):
    """Content that was prepared on a lost scale must not be found again under its digest."""
    y = np.arange(24) % 2
    plain = open_source(str(npz(tmp_path, x=ramp(0, 1), y=y)), home=tmp_path).content()
    over = open_source(str(npz(tmp_path, x=ramp(0, 1.0000002), y=y)), home=tmp_path).content()
    assert len(plain) == 64
    assert over[64:].startswith(" floats Range(low=0, high=1)")


def test_the_digits_keep_their_digest(tmp_path):
    """A study that is resumed compares it."""
    assert prepare("digits", home=tmp_path, seed=0).name == "033faf135f67ab13"


def greys(root: Path, values: np.ndarray, suffix: str = ".png") -> Path:
    for index in range(12):
        folder = root / "ab"[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = RNG.permutation(values).reshape(32, 32)
        Image.fromarray(pixels).save(folder / f"{index}{suffix}")
    return root


@pytest.mark.parametrize(
    ("low", "high", "kind", "suffix", "noted"),
    [
        (0, 4095, np.uint16, ".png", "values from 0 to 4095 became 0 to 255"),
        (0, 4095, np.uint16, ".tiff", "values from 0 to 4095 became 0 to 255"),
        (0, 1023, np.uint16, ".png", "values from 0 to 1023 became 0 to 255"),
        (29_000, 31_000, np.uint16, ".tiff", "values from 29000 to 31000 became 0 to 255"),
        (0, 65535, np.uint16, ".png", ""),
        (-1000, 3000, np.int32, ".tiff", "values from -1000 to 3000 became 0 to 255"),
        (0, 1, np.float32, ".tiff", "values from 0 to 1 became 0 to 255"),
        (-1, 1, np.float32, ".tiff", "values from -1 to 1 became 0 to 255"),
    ],
)
def test_greys_of_more_than_8_bits_keep_their_levels(tmp_path, low, high, kind, suffix, noted):
    root = greys(tmp_path / "p", np.linspace(low, high, 1024).astype(kind), suffix)
    data = made(root, tmp_path)
    assert levels(data) > 240
    assert noted in " ".join(data.notes)
    assert bool(data.notes) == bool(noted)
    assert inspect(str(root), home=tmp_path).notes == data.notes
    # The range is the whole data's: one image alone does not decide.
    (root / "a" / "dark.png").unlink(missing_ok=True)
    digest = Folder(root).content()
    assert (len(digest) == 64) == (not noted)


def test_deep_greys_keep_to_one_scale_over_all_files(tmp_path):
    root = greys(tmp_path / "p", np.linspace(0, 1000, 1024).astype(np.uint16))
    for split in ("train", "test"):
        greys(tmp_path / "q" / split, np.linspace(0, 1000, 1024).astype(np.uint16))
    full = np.linspace(0, 4000, 1024).astype(np.uint16).reshape(32, 32)
    Image.fromarray(full).save(tmp_path / "q" / "train" / "a" / "full.png")
    assert made(root, tmp_path).test.images.max() == 255
    assert made(tmp_path / "q", tmp_path).test.images.max() == round(1000 / 4000 * 255)


# --- Tables ----------------------------------------------------------------------------------------


def listed(tmp_path: Path, text: str, *, encoding: str = "utf-8", name: str = "list.csv") -> Path:
    """Write boxer and pug pictures, twelve each, under img/, and a table beside img/."""
    root = tmp_path / "t"
    for number, label in enumerate(("boxer", "pug")):
        (root / "img" / label).mkdir(parents=True, exist_ok=True)
        for index in range(12):
            image = picture(index, tint=number)
            image.save(root / "img" / label / f"{label}{index:02}.jpg")
    (root / name).write_bytes(text.encode(encoding))
    return root / name


def rows(form: str, head: str = "") -> str:
    body = "\n".join(
        form.format(label=label, name=f"{label}{i:02}", n=i, is_pug=int(label == "pug"))
        for label in ("boxer", "pug")
        for i in range(12)
    )
    return f"{head}\n{body}\n" if head else f"{body}\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (rows("img/{label}/{name}.jpg,{label}", "path,label"), "utf-8"),
        (rows("img/{label}/{name}.jpg,{label}", "id,breed"), "utf-8"),
        (rows("img/{label}/{name}.jpg,{label}", "Image File,Dog"), "utf-8"),
        (rows("{label},img/{label}/{name}.jpg", "breed,photo"), "utf-8"),
        (rows("{n},img/{label}/{name}.jpg,{label}", "id,filepaths,labels"), "utf-8"),
        (rows("img/{label}/{name}.jpg;{label}", "filename;label"), "utf-8-sig"),
        (
            rows("img/{label}/{name}.jpg;{label}", "filename;label").replace("\n", "\r\n"),
            "utf-8-sig",
        ),
        (rows("img/{label}/{name}.jpg\t{label}", "filename\tlabel"), "utf-16"),
        (rows("img/{label}/{name}.jpg|{label}", "filename|label"), "utf-8"),
        (rows("{label},img/{label}/{name}.jpg"), "utf-8"),
        (rows("img/{label}/{name},{label}", "path,label"), "utf-8"),
        (rows("img/{label}/{name},{label}", "what,which"), "utf-8"),
        (rows("{n},img/{label}/{name}.jpg,{label}", ",what,which"), "utf-8"),
        (rows("{name},{label}", "id,breed"), "utf-8"),
        (rows("{name}.JPG,{label}", "id,breed"), "utf-8"),
        (rows("img\\{label}\\{name}.jpg,{label}", "path,label"), "utf-8"),
        (rows("C:\\Users\\bob\\img\\{label}\\{name}.jpg,{label}", "path,label"), "utf-8"),
        (rows("/home/bob/dogs/img/{label}/{name}.jpg,{label}", "path,label"), "utf-8"),
        (rows("{label}/{name}.jpg,{label}", "path,label"), "utf-8"),
    ],
)
def test_tables_as_people_write_them_give_24_images_in_2_classes(tmp_path, text, encoding):
    data = made(listed(tmp_path, text, encoding=encoding), tmp_path)
    assert (data.classes, sum(splits(data)), data.skipped) == (("boxer", "pug"), 24, 0)
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.images.mean(axis=(1, 2)).argmax(axis=1), split.labels)


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("photos.zip", "unpack it, and give the folder"),
        ("x.npy", "numpy.savez(file, x=…, y=…)"),
        ("list.xlsx", "save it as CSV, of path,label"),
        ("cifar.mat", "save it as an .npz of x and y"),
        ("a.what", "wanted a folder DIR/<class>/*"),
    ],
)
def test_files_of_other_kinds_are_refused_with_a_way_out(tmp_path, name, way):
    (tmp_path / name).write_bytes(b"?")
    refused(tmp_path / name, tmp_path, "is a file of a kind unknown here; ", way)


def test_a_column_a_class_is_read_where_each_row_has_one(tmp_path):
    text = rows("img/{label}/{name}.jpg,{is_pug}", "image,pug")
    text = "\n".join(
        f"{line},{'boxer' if i == 0 else 1 - int(line[-1])}"
        for i, line in enumerate(text.strip().split("\n"))
    )
    data = made(listed(tmp_path, text), tmp_path)
    assert (data.classes, sum(splits(data))) == (("boxer", "pug"), 24)
    assert data.notes[0] == "column image was read as the path, pug, boxer as the label"


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        (
            rows("{label}/{name}.png,{label}", "path,label"),
            ["'boxer/boxer00.png' is not in", "did you mean"],
        ),
        (rows("x/{n}.png,{label}", "path,label"), ["none of its 24 images can be read: 'x/0.png'"]),
        (rows("{n}.png,{label}", "path,label"), ["nor below it; move the table beside its images"]),
        (rows("img/{label}/{name}.jpg,{label},{n}", "path,what,size"), ["found path, what, size"]),
    ],
)
def test_tables_whose_images_are_not_found_say_what_would_find_them(tmp_path, text, texts):
    refused(listed(tmp_path, text), tmp_path, *texts)


def test_names_that_are_there_twice_are_not_guessed(tmp_path):
    path = listed(tmp_path, rows("{n}.jpg,{label}", "path,label"))
    for label in ("boxer", "pug"):
        for index in range(12):
            picture(index).save(path.parent / "img" / label / f"{index}.jpg")
    refused(path, tmp_path, "it may be img/boxer/0.jpg and img/pug/0.jpg: write the folder with it")


def test_a_table_called_like_a_split_means_the_files_of_that_split(tmp_path):
    path = listed(tmp_path, rows("{name},{label}", "id,breed"), name="train_labels.csv")
    (path.parent / "img").rename(path.parent / "train")
    for label in ("boxer", "pug"):
        for index in range(12):
            (path.parent / "test").mkdir(exist_ok=True)
            picture(99, tint=2).save(path.parent / "test" / f"{label}{index:02}.jpg")
    data = made(path, tmp_path)
    assert np.array_equal(data.train.images.mean(axis=(1, 2)).argmax(axis=1), data.train.labels)


def test_paths_that_ask_for_different_changes_are_not_guessed(tmp_path):
    text = rows("/a/{label}/{name}.jpg,{label}", "path,label").replace("/a/pug/", "/b/c/")
    refused(listed(tmp_path, text), tmp_path, "but other paths ask for another change")


@pytest.mark.parametrize("kinds", [("Training", "PrivateTest"), ("train_set", "test")])
def test_split_columns_are_understood(tmp_path, kinds):
    lines = rows("img/{label}/{name}.jpg,{label},", "path,label,split").strip().split("\n")
    text = "\n".join([lines[0], *(f"{line}{kinds[i % 2]}" for i, line in enumerate(lines[1:]))])
    assert len(made(listed(tmp_path, text), tmp_path).test) == 12


# --- Arrays ----------------------------------------------------------------------------------------

X = RNG.integers(0, 256, size=(40, 32, 32, 3), dtype=np.uint8)
Y = np.arange(40) % 2


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_test", "Y_test"),
        ("trainX", "trainY", "testX", "testY"),
        ("Xtrain", "ytrain", "Xtest", "ytest"),
        ("train_data", "train_targets", "test_data", "test_targets"),
        ("images_train", "labels_train", "images_test", "labels_test"),
        ("train.x", "train.y", "test.x", "test.y"),
        ("arr_0", "arr_1", "arr_2", "arr_3"),
    ],
)
@pytest.mark.parametrize("order", ["pairs", "images first"])
def test_arrays_of_other_names_are_read_with_their_own_splits(tmp_path, names, order):
    values = [X, Y[:, None], X[:10], Y[:10, None]]
    if order == "images first":
        names = (names[0], names[2], names[1], names[3]) if names[0] == "arr_0" else names
        values_of = dict(zip(names, values, strict=True))
        arrays = {
            k: values_of[k] for k in sorted(names, key=lambda k: values_of[k].ndim, reverse=True)
        }
        if "arr_0" in arrays:
            arrays = dict(zip(sorted(arrays), arrays.values(), strict=True))
    else:
        arrays = dict(zip(names, values, strict=True))
    data = made(npz(tmp_path, **arrays), tmp_path)
    assert (data.classes, len(data.test), len(data.train) + len(data.val)) == (("0", "1"), 10, 40)


@pytest.mark.parametrize(
    "names",
    [("images", "labels"), ("X", "Y"), ("data", "target"), ("arr_0", "arr_1"), ("imgs", "y")],
)
def test_arrays_without_a_split_are_read(tmp_path, names):
    data = made(npz(tmp_path, **dict(zip(names, (X, Y), strict=True)), note=np.zeros(3)), tmp_path)
    assert sum(splits(data)) == 40
    assert data.notes == (
        f"read as images and labels: {names[0]}, {names[1]}",
        "arrays left out: note",
    )


def test_validation_images_that_were_passed_over_make_another_dataset(tmp_path):
    arrays = {"x_train": X, "y_train": Y, "x_valid": X[:10], "y_valid": Y[:10]}
    path = npz(tmp_path, **arrays)
    assert len(made(path, tmp_path).val) == 10
    assert len(open_source(str(path), home=tmp_path).content()) > 64


def test_channels_first_are_turned_round(tmp_path):
    first = made(npz(tmp_path, x=X.transpose(0, 3, 1, 2), y=Y), tmp_path)
    assert first.notes == (
        "the arrays have their channels first (3 of them), and were turned round",
    )
    last = made(npz(tmp_path, x=X, y=Y), tmp_path)
    assert np.array_equal(first.train.images, last.train.images)


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([b"ant", b"bee"])[Y], ("ant", "bee")),
        (np.array(["b\x1b[1m", "a"])[Y], ("a", "b\\x1b[1m")),
        (np.eye(2)[Y], ("0", "1")),
        (np.eye(2, dtype=bool)[Y], ("0", "1")),
        (Y[:, None], ("0", "1")),
        (Y + 1, ("1", "2")),
        (Y * 7 - 3, ("-3", "4")),
        (Y.astype(np.float16), ("0", "1")),
        (Y.astype(bool), ("0", "1")),
    ],
)
def test_labels_of_every_kind_name_classes(tmp_path, y, classes):
    assert made(npz(tmp_path, x=X, y=y), tmp_path).classes == classes


# --- Sizes -----------------------------------------------------------------------------------------


def photos(root: Path) -> Path:
    fill(root, {"a": 0, "b": 0})
    for index in range(12):
        size = (96, 96) if index % 2 else (24, 30)
        picture(index, size=size, tint=index // 2).save(
            root / "ab"[index // 2 % 2] / f"{index}.png"
        )
    return root


def test_the_size_and_what_becomes_of_other_shapes_are_said(tmp_path):
    root = photos(tmp_path / "p")
    why = "the images' short sides have a median of 60 pixels, brought down to a multiple of 32"
    found = inspect(str(root), home=tmp_path)
    fate = "other shapes are cropped at the edges, 20% of an image at most (--resize squash keeps all of it)"
    assert dict(found.rows())["prepared at"] == f"32x32x3, {why}; {fate}"
    assert made(root, tmp_path).notes == (f"prepared at 32x32x3, {why}; {fate}",)
    (note,) = made(root, tmp_path, input=(96, 96, 3), resize="squash").notes
    assert note.startswith(
        "prepared at 96x96x3, as asked for; other shapes are squashed, by 1.2 to 1"
    )


def test_images_are_cropped_or_squashed_as_asked(tmp_path):
    for name in "ab":
        (tmp_path / "p" / name).mkdir(parents=True)
        for index in range(4):
            wide = Image.new("RGB", (96, 48), (index, 0, 0))
            wide.paste((255, 255, 255), (0, 0, 12, 48))
            wide.save(tmp_path / "p" / name / f"{index}.png")
    crop = made(tmp_path / "p", tmp_path, input=(48, 48, 3))
    squash = made(tmp_path / "p", tmp_path, input=(48, 48, 3), resize="squash")
    assert crop.train.images[0, :, 0].max() < 128
    assert squash.train.images[0, :, 0].min() == 255
    assert crop.digest != squash.digest
    assert crop.digest == made(tmp_path / "p", tmp_path, input=(48, 48, 3), resize="crop").digest
    with pytest.raises(UserError, match="resize is 'stretch'; wanted crop or squash"):
        prepare("digits", home=tmp_path, resize="stretch")


@pytest.mark.parametrize(("source", "channels"), [("digits", 1), ("colour", 3)])
def test_a_square_takes_the_channels_of_the_data(tmp_path, source, channels):
    name = source if source == "digits" else npz(tmp_path, x=X, y=Y)
    assert made(name, tmp_path, input=(64, 64, None)).input == (64, 64, channels)


# --- Data that cheat -------------------------------------------------------------------------------


def test_near_duplicates_between_train_and_test_are_counted(tmp_path):
    root = fill(tmp_path / "p", both("train", "test"))
    first = sorted((root / "train" / "NORMAL").iterdir())[:3]
    test = root / "test" / "NORMAL"
    # Saved again, scaled, cropped a little: none is equal, all are the picture.
    Image.open(first[0]).save(test / "again.jpg", quality=60)
    Image.open(first[1]).resize((96, 80)).save(test / "scaled.png")
    Image.open(first[2]).crop((1, 1, 47, 39)).save(test / "cropped.png")
    found = inspect(str(root), home=tmp_path)
    assert not found.leaks
    assert found.near is not None
    assert {tuple(map(os.path.basename, pair.names)) for pair in found.near} == {
        ("again.jpg", first[0].name), ("scaled.png", first[1].name), ("cropped.png", first[2].name)
    }  # fmt: skip
    assert {pair.splits for pair in found.near} == {("test", "train")}
    row = dict(found.rows())["near-duplicates"]
    assert row.startswith("3 pairs of two splits are nearly one picture: test/NORMAL/again.jpg ~ ")
    assert found.to_json()["near_count"] == 3


def test_different_scans_of_digits_are_no_near_duplicates(tmp_path):
    found = inspect("digits", home=tmp_path)
    assert found.near is not None
    assert len(found.near) <= 1


def test_flat_pictures_are_no_near_duplicates(tmp_path):
    x = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None], (40, 32, 32))
    assert inspect(str(npz(tmp_path, x=x, y=Y)), home=tmp_path).near == ()


def test_grey_images_stored_in_colour_and_borders_are_counted(tmp_path):
    root = fill(tmp_path / "p", {"a": 4, "b": 4})
    for path in root.rglob("*.jpg"):
        grey = Image.open(path).convert("L").convert("RGB")
        if path.parent.name == "a":
            grey.paste((0, 0, 0), (0, 0, 48, 6))
        grey.save(path)
    found = inspect(str(root), home=tmp_path)
    assert (found.grey, found.bordered) == (8, 4)
    assert "8 images stored in colour, all grey: --input 40x48x1 spares two channels" in found.notes
    assert inspect(str(fill(tmp_path / "q", {"a": 4, "b": 4})), home=tmp_path).grey == 0


def test_files_of_several_pictures_are_counted(tmp_path):
    root = fill(tmp_path / "p", {"a": 4, "b": 4})
    pages = [picture(70 + index) for index in range(3)]
    for name, options in (("a.tiff", {}), ("b.gif", {}), ("c.png", {})):
        pages[0].save(root / "a" / name, save_all=True, append_images=pages[1:], **options)
    notes = inspect(str(root), home=tmp_path).notes
    assert "3 files hold more than one picture: the first is read" in notes


# --- Names on the terminal -------------------------------------------------------------------------


def test_markup_and_escape_sequences_in_names_are_shown_as_they_are(tmp_path, capsys):
    names = ("[/b]", "[b]bold[/b]", "[red]", "\x1b[31mred", "a\nb")
    root = tmp_path / "p"
    for number, name in enumerate(names):
        place = root / name.replace("/", "∕")
        place.mkdir(parents=True)
        for index in range(3):
            picture(index, tint=number).save(place / f"[i]{number}.{index}\x1b[2J.png")
    (root / "[red]" / "[bold]bad\x07.png").write_bytes(b"?")
    sheet = tmp_path / "s[b].png"
    assert main(["data", "inspect", str(root), "--sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert "[b]bold[∕b] 3, [red] 4" in out
    assert "\\x1b[31mred 3, a\\nb 3" in out.replace("\n", " ") or "a\\nb 3" in out
    assert "[red]/[bold]bad\\x07.png (not an image)" in out
    assert f"contact sheet: {sheet}" in out
    assert not [c for c in out if not (c.isprintable() or c == "\n")]


def test_labels_with_markup_are_shown_as_they_are(tmp_path, capsys):
    y = np.array(["[/b]", "[b]x"])[Y]
    assert main(["data", "inspect", str(npz(tmp_path, x=X, y=y))]) == 0
    assert "[/b] 20, [b]x 20" in capsys.readouterr().out
