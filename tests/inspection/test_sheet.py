import numpy as np
import pytest
from PIL import Image

from archsearch.data import open_source
from archsearch.data.sources.folder import Folder
from archsearch.errors import DataError, UserError
from archsearch.inspection import contact_sheet
from archsearch.recipes.named import find_recipe


def test_every_class_has_a_row_in_its_own_colours(tmp_path, make_folder):
    root = make_folder(classes=("🐜", "b" * 60, "cat"))
    (root / "cat" / "000.png").write_bytes(b"")
    path = contact_sheet(Folder(root).items(), tmp_path / "sheet.png", columns=4)
    page = np.asarray(Image.open(path)).astype(int)
    assert page.shape == (3 * 76 + 4, 150 + 4 * 76 + 4, 3)
    order = sorted(["🐜", "b" * 60, "cat"])
    for row, name in enumerate(order):
        cell = page[4 + 76 * row : 76 + 76 * row, 150:222]
        tint = ("🐜", "b" * 60, "cat").index(name)
        assert cell.mean(axis=(0, 1)).argmax() == tint
    assert (page[4:76, :146] < 128).any()


def test_digits_and_arrays_work(tmp_path):
    items = open_source("digits", home=tmp_path).items()
    assert contact_sheet(items, tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("recipe", ["default", "long", "vgg2014"])
def test_pictures_are_shown_as_a_recipe_changes_them(recipe, tmp_path, make_folder):
    pages = []
    for source in (Folder(make_folder()), open_source("digits", home=tmp_path)):
        for asked in (None, find_recipe(recipe)):
            path = contact_sheet(source.items(), tmp_path / "s.png", columns=5, asked=asked)
            pages.append(np.asarray(Image.open(path)))
    for plain, changed in (pages[:2], pages[2:]):
        assert plain.shape == changed.shape
        assert np.array_equal(plain[:, :146], changed[:, :146])  # names and counts
        assert not np.array_equal(plain, changed)
    digits = pages[3][:, 150:]
    assert np.array_equal(digits[..., 0], digits[..., 2])  # grey has stayed grey


def test_a_place_that_cannot_be_written_is_refused(tmp_path):
    items = open_source("digits", home=tmp_path).items()
    with pytest.raises(UserError, match="can't be written"):
        contact_sheet(items, tmp_path / "no" / "s.png")


def test_no_readable_image_is_refused(tmp_path, make_folder):
    root = make_folder()
    items = Folder(root).items()
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no contact sheet"):
        contact_sheet(items, tmp_path / "s.png")
