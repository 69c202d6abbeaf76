import numpy as np
import pytest
from PIL import Image

from archsearch.data import open_source
from archsearch.data.sources.folder import Folder
from archsearch.errors import DataError, UserError
from archsearch.inspection import contact_sheet


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
