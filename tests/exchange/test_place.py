import os
from pathlib import Path

import pytest

from archsearch.exchange.place import clear_leftovers, new_at


def write(path: Path, text: str) -> Path:
    path.mkdir(parents=True)
    (path / "model.txt").write_text(text)
    return path


def test_what_is_whole_takes_its_place(tmp_path: Path):
    out = write(tmp_path / "model", "old")
    with new_at(out) as part:
        write(part, "new")
        assert (out / "model.txt").read_text() == "old"
    assert (out / "model.txt").read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_what_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    out = write(tmp_path / "model", "old")
    with pytest.raises(FileExistsError), new_at(out) as part:
        write(write(part, "new"), "fails, as it is there")
    assert (out / "model.txt").read_text() == "old"

    def replace(self: Path, target: Path) -> None:
        if ".part" in self.name:
            raise OSError("the disk went away")
        os.replace(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="went away"), new_at(out) as part:  # after it was put aside
        write(part, "new")
    assert (out / "model.txt").read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_killed_exports_leftovers_are_cleared_and_nobody_elses(tmp_path: Path):
    others = [
        write(tmp_path / name, "theirs")
        for name in (".model.77.part.keras", ".model.v2.77.old", ".models.7.part", ".model.x.part")
    ]
    write(tmp_path / ".model.77.old", "before")
    write(tmp_path / ".model.77.part", "half")
    clear_leftovers(tmp_path / "model")
    assert (tmp_path / "model" / "model.txt").read_text() == "before"
    assert sorted(tmp_path.iterdir()) == sorted([*others, tmp_path / "model"])
    write(tmp_path / ".model.78.old", "older")
    clear_leftovers(tmp_path / "model")
    assert (tmp_path / "model" / "model.txt").read_text() == "before"
    assert not (tmp_path / ".model.78.old").exists()


def test_names_may_hold_what_a_pattern_would_take_for_its_own(tmp_path: Path):
    out = tmp_path / "model [1]*"
    write(tmp_path / ".model [1]*.77.part", "half")
    clear_leftovers(out)
    assert list(tmp_path.iterdir()) == []
    clear_leftovers(tmp_path / "no folder" / "model")
