import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archsearch.data import prepare
from archsearch.data.prepared_files import ArrayWriter, Histogram, check_space, new_folder
from archsearch.errors import DataError, UserError


def test_an_array_written_in_pieces_is_what_numpy_reads(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, size=(1000, 3, 5), dtype=np.uint8)
    with ArrayWriter(tmp_path / "a.npy", (3, 5), np.uint8) as writer:
        for start in range(0, 1000, 37):
            writer.append(rows[start : start + 37])
    assert np.array_equal(np.load(tmp_path / "a.npy"), rows)
    assert np.array_equal(np.load(tmp_path / "a.npy", mmap_mode="r"), rows)


def test_an_empty_array_is_one_too(tmp_path):
    with ArrayWriter(tmp_path / "a.npy", (4,), np.int64):
        pass
    assert np.load(tmp_path / "a.npy").shape == (0, 4)


def test_rows_of_another_shape_are_refused(tmp_path):
    rows = np.zeros((2, 4), dtype=np.int32)
    with (
        ArrayWriter(tmp_path / "a.npy", (4,), np.int64) as writer,
        pytest.raises(ValueError, match="int32"),
    ):
        writer.append(rows)


def test_mean_and_deviation_are_numpys():
    images = np.random.default_rng(0).integers(0, 256, size=(50, 6, 7, 3), dtype=np.uint8)
    images[..., 2] = 9
    histogram = Histogram(3)
    histogram.add(images[:20])
    histogram.add(images[20:])
    mean, std = histogram.mean_std()
    assert mean == pytest.approx(images.mean(axis=(0, 1, 2)))
    assert std == pytest.approx([*images.std(axis=(0, 1, 2))[:2], 1.0])


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with new_folder(tmp_path / "a" / "b") as partial:
        (partial / "x").write_text("1")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "x").read_text() == "1"
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "a" / "c"):
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_the_first_of_two_that_make_one_folder_wins(tmp_path):
    with new_folder(tmp_path / "b") as slow:
        with new_folder(tmp_path / "b") as fast:
            (fast / "dataset.json").write_text("fast")
        (slow / "dataset.json").write_text("slow")
    assert (tmp_path / "b" / "dataset.json").read_text() == "fast"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    (tmp_path / f".partial-{child.pid}-abc").mkdir()
    alive = tmp_path / f".partial-{os.getppid()}-abc"
    alive.mkdir()
    with new_folder(tmp_path / "b"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"b", alive.name}


def test_too_little_space_is_seen_before_anything_is_written(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    with pytest.raises(DataError, match=r"need .* MB and .* has .* MB free; use a smaller --input"):
        check_space(tmp_path / "not" / "yet", free * 2)
    with pytest.raises(DataError, match="MB free"):
        prepare("digits", home=tmp_path / "home", input=(30_000, 30_000, 3), seed=0)
    assert not (tmp_path / "home").exists()


def test_a_home_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't be written .*choose another place with --home"):
        prepare("digits", home=tmp_path / "file" / "home", seed=0)
    with pytest.raises(UserError, match="can't be written"):
        prepare("digits", home=Path("/proc/nowhere"), seed=0)


def test_odd_names_stay_on_one_line(tmp_path):
    home = Path(os.fsdecode(os.fsencode(tmp_path) + b"/new\nline\xff"))
    home.write_text("")
    with pytest.raises(UserError) as caught:
        prepare("digits", home=home, seed=0)
    assert "new\\nline\\xff" in str(caught.value)
    assert "\n" not in str(caught.value)


FILL = """
import sys
from pathlib import Path
from archsearch.data import prepare
from archsearch.data import prepare as _
import importlib
module = importlib.import_module("archsearch.data.prepare")
module.check_space = lambda *_: None  # the disk fills up while images are being written
from archsearch.errors import DataError
home = Path(sys.argv[1])
try:
    prepare("digits", home=home, seed=0)
except DataError as error:
    print(error)
print(sorted(path.name for path in (home / "data").iterdir()))
"""


def check_full(done: "subprocess.CompletedProcess[str]") -> None:
    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == 2
    assert lines[0].startswith("no space left for the prepared images under ")
    assert lines[1] == "[]"


def test_a_disk_that_fills_up_leaves_nothing_half_written(tmp_path):
    """A real one: a file system of 1 MB, in a mount namespace of the child's own."""
    home = tmp_path / "home"
    home.mkdir()
    mount = f"mount -t tmpfs -o size=1m tmpfs {home} && exec {sys.executable} -c '{FILL}' {home}"
    unshare = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c"]
    if (
        not shutil.which("unshare")
        or subprocess.run(
            [*unshare, f"mount -t tmpfs tmpfs {home}"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("file systems can't be mounted here")
    script = mount.replace("'" + FILL + "'", '"$FILL"')
    done = subprocess.run(
        [*unshare, script], env=os.environ | {"FILL": FILL}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    check_full(done)


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"


def test_a_limit_on_file_sizes_is_met_like_a_full_disk(tmp_path):
    # The process limits itself: a fork, which `preexec_fn` needs, is none of JAX's threads' liking.
    done = subprocess.run(
        [sys.executable, "-c", LIMIT + FILL, str(tmp_path / "home")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    check_full(done)
