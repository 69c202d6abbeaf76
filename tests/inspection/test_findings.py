import json

import numpy as np
from PIL import Image

from archsearch.data.sources.folder import Folder
from archsearch.inspection import inspect


def test_digits(tmp_path):
    found = inspect("digits", home=tmp_path)
    assert found.images == 1797
    assert found.counts == {"train": (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)}
    assert found.published == ()
    assert found.input == (32, 32, 1)
    assert dict(found.rows())["sizes"] == "all 8x8"
    assert found.imbalance == 183 / 174
    assert not found.bad
    rows = dict(found.rows())
    assert rows["bad images"] == rows["leaks"] == "none"
    assert rows["splits"].startswith("none of its own")
    assert not list(tmp_path.iterdir())


def test_a_folder_with_everything_wrong_is_told_in_full(tmp_path, make_folder):
    root = tmp_path / "p"
    make_folder(root / "train", count=10)
    make_folder(root / "train", classes=("dog",), count=5, size=(20, 30), seed=9)
    make_folder(root / "test", count=3, seed=1)
    train, test = root / "train", root / "test"
    # The same bytes in test, the same pixels in another format, one picture in two classes.
    (test / "ant" / "leak.png").write_bytes((train / "ant" / "000.png").read_bytes())
    Image.open(train / "bee" / "001.png").save(test / "bee" / "leak.bmp")
    (train / "dog" / "both.png").write_bytes((train / "cat" / "002.png").read_bytes())
    (train / "cat" / "bad.png").write_bytes(b"junk")
    Image.open(train / "cat" / "003.png").save(train / "cat" / "x.jpg", "WEBP")
    seen: list[tuple[int, int]] = []
    found = inspect(str(root), home=tmp_path, progress=lambda done, n: seen.append((done, n)))
    assert found.images == 49
    assert found.counts == {"train": (10, 10, 12, 6), "test": (4, 4, 3, 0)}
    assert found.published == ("test",)
    assert (found.smallest, found.largest, found.shapes) == ((20, 30), (40, 48), 2)
    assert found.kinds == {"PNG RGB": 46, "BMP RGB": 1, "WEBP RGB": 1}
    leaks = {(copies.names, copies.same) for copies in found.leaks}
    assert leaks == {
        (("test/ant/leak.png", "train/ant/000.png"), "bytes"),
        (("test/bee/leak.bmp", "train/bee/001.png"), "pixels"),
    }
    assert [copies.names for copies in found.conflicts] == [
        ("train/cat/002.png", "train/dog/both.png")
    ]
    assert [(bad.name, bad.reason) for bad in found.bad] == [("train/cat/bad.png", "not an image")]
    assert found.misnamed == ("train/cat/x.jpg",)
    assert found.imbalance == 15 / 6
    assert seen[-1] == (49, 49)
    rows = dict(found.rows())
    assert rows["leaks"] == (
        "2 pictures are in more than one split: test/ant/leak.png = train/ant/000.png; "
        "test/bee/leak.bmp = train/bee/001.png"
    )
    assert rows["bad images"] == "1: train/cat/bad.png (not an image)"
    assert rows["splits"] == "train 38, test 11"
    assert rows["classes"] == "ant 14, bee 14, cat 15, dog 6"
    assert rows["sizes"] == "2 different, 20x30 to 40x48, median 40x48"
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["leaks_count"] == 2
    assert plain["images"] == 49
    assert plain["leaks"][0]["splits"] == ["test", "train"]


def test_nothing_but_bad_images_can_still_be_looked_at(make_folder, tmp_path):
    root = make_folder()
    for path in sorted(root.rglob("*.png"))[5:]:
        path.write_bytes(path.read_bytes()[:200])
    found = inspect(Folder(root), home=tmp_path, workers=2)
    assert len(found.bad) == 25


def test_arrays_are_looked_at_too(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(20, 32, 32), dtype=np.uint8)
    x[7] = x[3]
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
    found = inspect(str(tmp_path / "a.npz"), home=tmp_path)
    assert [copies.names for copies in found.copies] == [("x[3]", "x[7]")]
    assert found.kinds == {"array": 20}


def test_arrays_have_the_size_they_lie_in(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, size=(20, 16, 12, 4), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(20) % 2)
    found = inspect(str(tmp_path / "a.npz"), home=tmp_path)
    assert dict(found.rows())["sizes"] == "all 16x12"
    assert (found.smallest, found.largest, found.shapes) == ((16, 12), (16, 12), 1)
    assert found.input == (43, 32, 4)
