import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data import load, prepare
from archsearch.data.sources.folder import Folder
from archsearch.errors import DataError


def test_classes_come_from_folders_and_colour_photographs_may_be_mirrored(tmp_path, make_folder):
    data = load(prepare(str(make_folder()), home=tmp_path, seed=0))
    assert data.classes == ("ant", "bee", "cat")
    assert data.name == "pictures"
    assert data.mirror
    # Pictures are tinted by class, so pixels say whether labels went along.
    for split in (data.train, data.val, data.test):
        assert np.array_equal(split.images.mean(axis=(1, 2)).argmax(axis=1), split.labels)


def test_a_published_split_is_kept(tmp_path, make_folder):
    for seed, (split, count) in enumerate({"train": 10, "valid": 4, "test": 3}.items()):
        make_folder(tmp_path / "p" / split, count=count, seed=seed)
    data = load(prepare(str(tmp_path / "p"), home=tmp_path, seed=0))
    assert (len(data.train), len(data.val), len(data.test)) == (30, 12, 9)


def test_validation_is_cut_out_of_train_when_only_a_test_split_is_published(tmp_path, make_folder):
    make_folder(tmp_path / "p" / "train", count=20)
    make_folder(tmp_path / "p" / "test", count=5, seed=1)
    data = load(prepare(str(tmp_path / "p"), home=tmp_path, seed=0))
    assert (len(data.train), len(data.val), len(data.test)) == (51, 9, 15)


def test_copies_across_published_splits_are_noted(tmp_path, make_folder):
    make_folder(tmp_path / "p" / "train", count=20)
    make_folder(tmp_path / "p" / "test", count=4)
    data = load(prepare(str(tmp_path / "p"), home=tmp_path, seed=0))
    assert data.notes == ("12 pictures are in more than one split, as copies: the scores flatter",)


def test_an_unlabelled_test_folder_is_left_out_and_said(tmp_path, make_folder):
    make_folder(tmp_path / "p" / "train")
    (tmp_path / "p" / "test").mkdir()
    Image.new("RGB", (40, 40)).save(tmp_path / "p" / "test" / "1.png")
    data = load(prepare(str(tmp_path / "p"), home=tmp_path, seed=0))
    assert data.notes == ("test/ was left out (1 image): it has no class folders",)
    assert len(data.test) == 6


def test_a_test_class_that_never_trains_is_refused(tmp_path, make_folder):
    make_folder(tmp_path / "p" / "train")
    make_folder(tmp_path / "p" / "test", classes=("ant", "dog"))
    with pytest.raises(DataError, match="class 'dog' has 0 images to train on"):
        prepare(str(tmp_path / "p"), home=tmp_path, seed=0)


def test_a_class_may_be_called_train(tmp_path, make_folder):
    root = make_folder(classes=("car", "train", "plane"))
    assert load(prepare(str(root), home=tmp_path, seed=0)).classes == ("car", "plane", "train")


def test_images_lie_at_any_depth_and_other_files_are_left_out(tmp_path, make_folder):
    root = make_folder()
    make_folder(root / "ant", classes=("deeper",), count=2, seed=1)
    (root / "ant" / "readme.txt").write_text("x")
    (root / "ant" / ".DS_Store").write_text("x")
    (root / ".git").mkdir()
    (root / "__MACOSX").mkdir()
    data = load(prepare(str(root), home=tmp_path, seed=0))
    assert data.classes == ("ant", "bee", "cat")
    assert len(data.train) + len(data.val) + len(data.test) == 32
    assert data.notes == ("1 files that are no images were left out (.txt)",)


def test_mixed_sizes_get_a_square_that_suits_most(make_folder):
    root = make_folder(size=(100, 120))
    make_folder(root, classes=("dog",), size=(70, 500))
    assert Folder(root).items().native == (96, 96, 3)


@pytest.mark.parametrize(
    ("size", "native"),
    [((20, 30), (32, 48, 3)), ((50, 60), (50, 60, 3)), ((300, 400), (224, 224, 3))],
)
def test_one_size_for_all_is_kept_within_bounds(make_folder, size, native):
    assert Folder(make_folder(size=size, count=3)).items().native == native


def test_grey_folders_have_one_channel_and_are_not_mirrored(tmp_path, make_folder):
    root = make_folder(count=5)
    for path in root.rglob("*.png"):
        Image.open(path).convert("L").save(path)
    data = load(prepare(str(root), home=tmp_path, seed=0))
    assert data.input == (40, 48, 1)
    assert not data.mirror
    assert load(prepare(str(root), home=tmp_path, seed=0, mirror=True)).mirror


def test_the_digest_follows_names_labels_and_bytes_not_the_place(tmp_path, make_folder):
    one = Folder(make_folder(tmp_path / "a" / "p"))
    two = Folder(make_folder(tmp_path / "b" / "p"))
    assert one.content() == two.content()
    (tmp_path / "b" / "p" / "ant" / "000.png").rename(tmp_path / "b" / "p" / "bee" / "x.png")
    assert Folder(tmp_path / "b" / "p").content() != one.content()


def test_emoji_and_bytes_that_are_no_text_in_names(tmp_path, make_folder):
    root = make_folder(classes=("🐜", "new\nline", "plain"), count=6)
    odd = os.fsencode(root) + b"/caf\xe9"
    os.mkdir(odd)
    for index, path in enumerate(sorted((root / "plain").iterdir())):
        os.rename(path, odd + b"/\xff%d.png" % index)
    os.rmdir(root / "plain")
    (root / "🐜" / "000.png").write_bytes(b"")
    bad = odd + b"/\xfe.png"
    Path(os.fsdecode(bad)).write_bytes(b"junk")
    data = load(prepare(str(root), home=tmp_path, seed=0))
    assert data.classes == ("caf\\xe9", "new\\nline", "🐜")
    (note,) = data.notes
    assert "caf\\xe9/\\xfe.png (not an image)" in note
    note.encode("utf-8")


def test_a_folder_name_that_is_no_text(tmp_path, make_folder):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/\xff")
    make_folder(Path(odd))
    data = load(prepare(odd, home=tmp_path, seed=0))
    assert data.name == "\\xff"
    assert data.source.endswith("/\\xff")


def refused(root: Path, text: str) -> None:
    home = root.parent / "home"
    with pytest.raises(DataError) as caught:
        prepare(str(root), home=home, seed=0)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(home.glob("data/*"))


def test_an_empty_folder_is_refused(tmp_path):
    (tmp_path / "p").mkdir()
    refused(tmp_path / "p", "no class folders; wanted")


def test_loose_images_are_refused_with_a_count(tmp_path):
    (tmp_path / "p").mkdir()
    for index in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / "p" / f"{index}.png")
    refused(tmp_path / "p", "3 images and no class folders; wanted")


def test_class_folders_without_images_are_refused(tmp_path):
    for name in "ab":
        (tmp_path / "p" / name).mkdir(parents=True)
    refused(tmp_path / "p", "2 class folders and no image in them")


def test_one_empty_class_is_refused(tmp_path, make_folder):
    root = make_folder()
    (root / "dog").mkdir()
    refused(root, "class 'dog' has 0 images to train on, and at least 3 are needed")


def test_only_bad_images_are_refused(make_folder):
    root = make_folder()
    for path in root.rglob("*.png"):
        path.write_text("x")
    refused(root, "none of its 30 images can be read")


@pytest.mark.parametrize("target", [".", "..", "../ant"])
def test_links_that_go_round_are_refused(make_folder, target):
    root = make_folder()
    (root / "ant" / "again").symlink_to(target, target_is_directory=True)
    refused(root, "links back to a folder that contains it")


def test_a_link_to_itself_is_one_bad_image(tmp_path, make_folder):
    root = make_folder()
    (root / "ant" / "x.png").symlink_to("x.png")
    (root / "ant" / "y").symlink_to("y")
    (root / "bee" / "gone.png").symlink_to("nowhere.png")
    data = load(prepare(str(root), home=tmp_path, seed=0))
    assert data.skipped == 2


def test_a_folder_that_is_a_loop_is_refused(tmp_path):
    (tmp_path / "p").symlink_to("p")
    with pytest.raises(DataError, match="no data at"):
        prepare(str(tmp_path / "p"), home=tmp_path / "home", seed=0)


def test_a_link_to_a_folder_elsewhere_is_followed(tmp_path, make_folder):
    make_folder(tmp_path / "store")
    (tmp_path / "p").mkdir()
    for name in ("ant", "bee"):
        (tmp_path / "p" / name).symlink_to(tmp_path / "store" / name)
    assert load(prepare(str(tmp_path / "p"), home=tmp_path, seed=0)).classes == ("ant", "bee")
