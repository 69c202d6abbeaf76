import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import load, prepare
from archsearch.data import prepare as prepare_function
from archsearch.data.sources.folder import Folder
from archsearch.data.sources.npz import Npz
from archsearch.data.writing import few
from archsearch.errors import DataError, UserError


def left_over(home: Path) -> list[str]:
    return sorted(path.name for path in (home / "data").glob("*")) if home.exists() else []


def test_digits_are_1797_real_scans_at_32x32_in_stratified_splits(tmp_path):
    data = load(prepare("digits", home=tmp_path, seed=0))
    assert (data.name, data.source, data.input, data.mirror) == (
        "digits", "digits", (32, 32, 1), False,
    )  # fmt: skip
    assert data.classes == tuple("0123456789")
    assert len(data.train) + len(data.val) + len(data.test) == 1797
    for split in (data.train, data.val, data.test):
        assert split.images.dtype == np.uint8
        assert split.images.shape == (len(split), 32, 32, 1)
        assert split.labels.dtype == np.int64
        share = np.bincount(split.labels, minlength=10) / len(split)
        assert np.all(np.abs(share - 0.1) < 0.02)
    pixels = data.train.images.astype(np.float64)
    assert data.mean == pytest.approx((pixels.mean(),), rel=1e-9)
    assert data.std == pytest.approx((pixels.std(),), rel=1e-9)


def test_digits_need_no_other_size_to_be_asked_for_and_take_any(tmp_path):
    data = load(prepare("digits", home=tmp_path, input=(16, 24, 3), seed=0))
    assert data.train.images.shape[1:] == (16, 24, 3)
    assert len(data.mean) == 3


def test_the_same_request_finds_the_same_folder_and_writes_nothing(tmp_path):
    first = prepare("digits", home=tmp_path, seed=0)
    stamp = (first / "dataset.json").stat().st_mtime_ns
    assert prepare("digits", home=tmp_path, seed=0) == first
    assert (first / "dataset.json").stat().st_mtime_ns == stamp
    assert left_over(tmp_path) == [first.name, "index"]


def test_digits_prepared_before_are_found_without_scikit_learn(tmp_path, monkeypatch):
    first = prepare("digits", home=tmp_path, seed=0)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)  # importing it fails now
    assert prepare("digits", home=tmp_path, seed=0) == first
    with pytest.raises(ImportError):
        prepare("digits", home=tmp_path, seed=1)


def test_another_request_makes_another_folder(tmp_path):
    requests = [{}, {"seed": 1}, {"val": 0.2}, {"input": (32, 32, 3)}, {"mirror": True}]
    folders = {prepare("digits", home=tmp_path, **{"seed": 0} | r) for r in requests}
    assert len(folders) == len(requests)


def test_the_same_images_are_prepared_alike_byte_for_byte(tmp_path):
    one = prepare("digits", home=tmp_path / "a", seed=3, workers=1)
    two = prepare("digits", home=tmp_path / "b", seed=3, workers=5)
    assert one.name == two.name
    for path in one.iterdir():
        assert path.read_bytes() == (two / path.name).read_bytes()


def test_a_damaged_folder_is_made_anew(tmp_path):
    folder = prepare("digits", home=tmp_path, seed=0)
    whole = (folder / "train_images.npy").read_bytes()
    (folder / "train_images.npy").write_bytes(whole[:5000])
    assert prepare("digits", home=tmp_path, seed=0) == folder
    assert (folder / "train_images.npy").read_bytes() == whole


def test_changed_content_is_another_dataset(tmp_path, make_folder):
    root = make_folder()
    first = prepare(str(root), home=tmp_path, seed=0)
    Image.new("RGB", (48, 40), "red").save(root / "ant" / "000.png")
    assert prepare(str(root), home=tmp_path, seed=0) != first


def age(root: Path) -> None:
    """Wait until files are old enough to be told apart by their times."""
    newest = max(path.stat().st_ctime for path in root.rglob("*"))
    time.sleep(max(0.0, newest + 2.1 - time.time()))


def test_unchanged_files_are_not_read_again_and_changed_ones_are(
    tmp_path, make_folder, monkeypatch
):
    root = make_folder()
    age(root)
    first = prepare(str(root), home=tmp_path, seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(Folder, "hashes", lambda self: pytest.fail("read again"))
        assert prepare(str(root), home=tmp_path, seed=0) == first
    one, two = root / "ant" / "000.png", root / "ant" / "001.png"
    before = one.stat()
    one.write_bytes(two.read_bytes())
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert prepare(str(root), home=tmp_path, seed=0) != first


def test_an_unchanged_npz_is_not_read_again(tmp_path, monkeypatch):
    x = np.random.default_rng(0).random((20, 32, 32))
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
    age(tmp_path)
    first = prepare(str(tmp_path / "a.npz"), home=tmp_path / "home", seed=0)
    with monkeypatch.context() as patch:
        patch.setattr(Npz, "content", lambda self: pytest.fail("read again"))
        assert prepare(str(tmp_path / "a.npz"), home=tmp_path / "home", seed=0) == first
    np.savez(tmp_path / "a.npz", x=x[::-1], y=np.arange(20) % 2)
    assert prepare(str(tmp_path / "a.npz"), home=tmp_path / "home", seed=0) != first


def test_a_deleted_folder_is_made_anew_though_its_files_are_known(tmp_path, make_folder):
    root = make_folder()
    age(root)
    first = prepare(str(root), home=tmp_path, seed=0)
    shutil.rmtree(first)
    assert prepare(str(root), home=tmp_path, seed=0) == first
    assert load(first).digest == first.name


def test_progress_ends_at_the_number_of_images(tmp_path, make_folder):
    seen: list[tuple[int, int]] = []
    root = make_folder()
    (root / "ant" / "000.png").write_bytes(b"")
    prepare(str(root), home=tmp_path, seed=0, progress=lambda done, n: seen.append((done, n)))
    assert seen[-1] == (30, 30)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_a_few_bad_images_are_skipped_named_and_counted(tmp_path, make_folder):
    root = make_folder()
    (root / "ant" / "003.png").write_bytes(b"")
    (root / "bee" / "004.png").write_text("no picture")
    data = load(prepare(str(root), home=tmp_path, seed=0))
    assert data.skipped == 2
    assert len(data.train) + len(data.val) + len(data.test) == 28
    (note,) = data.notes
    assert note.startswith("2 of 30 images were skipped: ")
    assert "ant/003.png (empty file)" in note
    assert "bee/004.png (not an image)" in note


def test_strict_refuses_one_bad_image_even_when_prepared_before(tmp_path, make_folder):
    root = make_folder()
    (root / "ant" / "003.png").write_bytes(b"")
    for _ in range(2):
        with pytest.raises(DataError, match=r"bad image ant/003.png \(empty file\).*--strict"):
            prepare(str(root), home=tmp_path, seed=0, strict=True)
        prepare(str(root), home=tmp_path, seed=0)


def test_many_bad_images_are_refused_and_nothing_is_left(tmp_path, make_folder):
    root = make_folder()
    for index in range(10):
        (root / "ant" / f"{index:03}.png").write_bytes(b"")
    assert few(30) == 3
    with pytest.raises(DataError, match="more than 3 of 30 images can't be used: ant/"):
        prepare(str(root), home=tmp_path / "home", seed=0)
    assert left_over(tmp_path / "home") == []


def test_a_class_whose_images_are_all_bad_is_refused(tmp_path, make_folder):
    root = make_folder(count=20)
    make_folder(root, classes=("dog",), count=3)
    for path in (root / "dog").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image of class 'dog' is left for the train split"):
        prepare(str(root), home=tmp_path / "home", seed=0)
    assert left_over(tmp_path / "home") == []


def test_classes_of_very_different_size_are_noted(tmp_path, make_folder):
    root = make_folder(classes=("ant", "bee"), count=20)
    make_folder(root, classes=("cat",), count=4, seed=5)
    (note,) = load(prepare(str(root), home=tmp_path, seed=0)).notes
    assert note.startswith("class 'ant' has 20 images and 'cat' 4: balanced accuracy says more")


def test_one_class_is_refused(tmp_path, make_folder):
    root = make_folder(classes=("ant",))
    with pytest.raises(DataError, match="has one class, 'ant'; a network needs at least two"):
        prepare(str(root), home=tmp_path / "home", seed=0)


@pytest.mark.parametrize("kind", ["folder", "table", "npz", "digits"])
@pytest.mark.parametrize("channels", [2, 4])
def test_channels_that_no_image_has_are_refused_in_one_line(tmp_path, make_folder, kind, channels):
    root = make_folder()
    paths = sorted(root.rglob("*.png"))
    if kind == "table":
        (root / "list.csv").write_text(
            "path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in paths)
        )
    x = np.stack([np.asarray(Image.open(path)) for path in paths])
    np.savez(root / "x.npz", x=x, y=np.arange(len(x)) % 3)
    source = {"folder": root, "table": root / "list.csv", "npz": root / "x.npz", "digits": "digits"}
    with pytest.raises(DataError, match=rf"into 16x16x{channels}; the channels may be 1, 3$"):
        prepare(str(source[kind]), home=tmp_path / "home", input=(16, 16, channels))
    assert not (tmp_path / "home" / "data").exists()


def test_an_interrupt_leaves_nothing_behind(tmp_path, make_folder):
    def interrupt(done: int, n: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(str(make_folder()), home=tmp_path / "home", seed=0, progress=interrupt)
    assert left_over(tmp_path / "home") == []


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"input": (0, 32, 3)}, {"workers": 0}, {"val": 0.9, "test": 0.2}]
)
def test_impossible_values_are_refused_before_anything_is_written(tmp_path, wrong):
    with pytest.raises(UserError):
        prepare("digits", home=tmp_path / "home", **{"seed": 0} | wrong)
    assert not (tmp_path / "home").exists()


def test_unknown_names_get_the_nearest_match(tmp_path):
    with pytest.raises(DataError, match="'cifar-10'; did you mean cifar10"):
        prepare("cifar-10", home=tmp_path, seed=0)
    with pytest.raises(DataError, match="no data at 'digit'; did you mean digits"):
        prepare("digit", home=tmp_path, seed=0)
    with pytest.raises(DataError, match=r"wanted a folder .* one of digits, mnist"):
        prepare("no/such/place", home=tmp_path, seed=0)


def test_dataset_json_says_what_was_done(tmp_path, make_folder):
    folder = prepare_function(str(make_folder()), home=tmp_path, seed=0)
    facts = json.loads((folder / "dataset.json").read_text())
    assert facts["classes"] == ["ant", "bee", "cat"]
    assert facts["input"] == [40, 48, 3]
    assert facts["splits"] == {"train": 18, "val": 6, "test": 6}
    assert facts["counts"]["val"] == [2, 2, 2]
    assert facts["mirror"] is True
    assert facts["digest"] == folder.name


STREAM = """
import resource, sys
from pathlib import Path
from archsearch.data import load, prepare
root, home = map(Path, sys.argv[1:])
prepare(str(root), home=home, input=(32, 32, 3), seed=0, workers=2)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
folder = prepare(str(root), home=home, input=(400, 400, 3), seed=0, workers=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(sum(path.stat().st_size for path in folder.iterdir()) // 1024)
"""


def test_memory_does_not_grow_with_the_data(tmp_path, make_folder):
    root = make_folder(count=200, suffix=".jpg")
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(root), str(tmp_path / "home")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    grown_kb, written_kb = map(int, done.stdout.split())
    assert written_kb > 280_000
    assert grown_kb < 80_000
