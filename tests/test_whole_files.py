"""Text files: whole, or as they were."""

import os

import pytest

from archsearch.whole_files import write_whole


def test_what_cannot_be_written_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "first")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "half a character \udcff")
    assert path.read_text() == "first"
    write_whole(path, "second")
    assert path.read_text() == "second"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_what_a_killed_process_has_left_is_passed_over_with_its_mode(tmp_path):
    path = tmp_path / "run.toml"
    left = tmp_path / f".run.toml.{os.getpid()}.part"
    left.write_text("half")
    left.chmod(0o644)
    write_whole(path, "password", mode=0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("password", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["run.toml"]
