from pathlib import Path

import numpy as np
import pytest

from archsearch.data import load, prepare
from archsearch.data.sources.csv_file import read_table
from archsearch.errors import DataError


def lines(root: Path) -> list[str]:
    return [f"{p.relative_to(root)},{p.parent.name}" for p in sorted(root.rglob("*.png"))]


def write(root: Path, *rows: str, name: str = "list.csv", mark: str = "") -> Path:
    path = root / name
    path.write_text(mark + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_table_gives_what_the_folder_gives(tmp_path, make_folder):
    root = make_folder()
    data = load(prepare(str(write(root, "path,label", *lines(root))), home=tmp_path, seed=0))
    assert data.name == "list"
    assert data.classes == ("ant", "bee", "cat")
    assert (len(data.train), len(data.val), len(data.test)) == (18, 6, 6)
    assert np.array_equal(data.train.images.mean(axis=(1, 2)).argmax(axis=1), data.train.labels)


def test_columns_may_come_in_any_order_with_more_beside_them(make_folder):
    root = make_folder(count=1)
    want = read_table(write(root, "path,label", *lines(root)))
    rows = [",".join(["7", *reversed(line.split(","))]) for line in lines(root)]
    assert read_table(write(root, "id,Label,File", *rows)) == want
    assert read_table(write(root, "id,Label,File", *rows, mark="\ufeff")) == want
    assert read_table(write(root, *lines(root))) == want
    tabs = [line.replace(",", "\t") for line in lines(root)]
    assert read_table(write(root, "path\tlabel", *tabs, name="l.tsv")) == want


def test_a_split_column_is_kept(tmp_path, make_folder):
    root = make_folder()
    rows = [
        f"{line},{'test' if '/00' in line and i % 10 < 3 else 'train'}"
        for i, line in enumerate(lines(root))
    ]
    data = load(prepare(str(write(root, "path,label,split", *rows)), home=tmp_path, seed=0))
    assert len(data.test) == 9
    assert len(data.val) == 3


def test_numbered_labels_are_sorted_as_numbers(make_folder):
    root = make_folder(count=4)
    rows = [f"{line.split(',')[0]},{index % 12}" for index, line in enumerate(lines(root))]
    assert read_table(write(root, *rows)).classes == tuple(map(str, range(12)))


def test_missing_files_are_bad_images_named_as_written(tmp_path, make_folder):
    root = make_folder()
    path = write(root, "path,label", *lines(root), "gone/é🐜.png,ant")
    data = load(prepare(str(path), home=tmp_path, seed=0))
    assert data.skipped == 1
    assert "gone/é🐜.png (no such file or directory)" in data.notes[-1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; wanted lines of path,label"),
        ("path,label\n", "names no images"),
        ("a.png\n", "has one column; wanted path,label"),
        ("path,colour,size\na.png,red,3\n", "has no column label (found path, colour, size); call"),
        ("what,label,size\na,red,3\n", "has no column path (found what, label, size); call"),
        ("label,pixel0,pixel1\n1,0,255\n", "holds pixels in its columns; save them as an .npz"),
        ("path,label\na.png\n", "line 2: 'a.png' is no path,label"),
        ("path,label\na.png,\n", "line 2: 'a.png,' is no path,label"),
        ("path,label,split\na.png,x,later\n", "split 'later' is unknown; wanted train, val"),
        ('path,label\n"a.png,x\n', "can't be read as a table"),
        ("path,label\na.png,x\nb.png,y\n", "none of its 2 images can be read"),
    ],
)
def test_tables_that_cannot_be_used_are_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "list.csv"
    path.write_text(text)
    with pytest.raises(DataError) as caught:
        prepare(str(path), home=tmp_path / "home", seed=0)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "home").exists()


def test_a_table_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path,label\n\xff\xfe.png,a\n")
    with pytest.raises(DataError, match="is no UTF-8 text"):
        prepare(str(tmp_path / "list.csv"), home=tmp_path / "home", seed=0)


def test_a_nul_in_a_path_is_a_bad_image(tmp_path, make_folder):
    root = make_folder()
    path = write(root, "path,label", *lines(root), "a\0b.png,ant")
    assert load(prepare(str(path), home=tmp_path, seed=0)).skipped == 1
