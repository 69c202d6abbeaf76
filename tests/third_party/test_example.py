"""A third party's package: found by entry point, used from the command line, in processes of their own.

What a person sees of it is the same as of the project's own spaces, rules, samplers and formats; and what it
brings keeps to the contracts.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from archsearch.testing.format_case import FormatCase
from archsearch.testing.sampler_case import SamplerCase
from tests.real_runs import BACKEND, UNMEASURED
from tests.third_party import install_example, with_path
from tests.third_party.example.archsearch_example.npz import NPZ
from tests.third_party.example.archsearch_example.sampler import Neighbours

Ran: TypeAlias = subprocess.CompletedProcess[str]
Archsearch: TypeAlias = Callable[..., Ran]

COMMAND = [sys.executable, "-m", "archsearch"]
SPACE = ("--space", "strided")
SMALL = ("--flops", "3M", "--input", "16x16x3", "--classes", "4")


class TestNeighbours(SamplerCase):
    def sampler(self, choices):
        return Neighbours(choices)


@pytest.mark.keras
class TestNpz(FormatCase):
    form = NPZ

    # In the quick run the study below is exported in it, and loaded, by other processes.
    @pytest.mark.slow
    def test_another_process_loads_it_and_is_killed_writing(self, trained, tmp_path):
        super().test_another_process_loads_it_and_is_killed_writing(trained, tmp_path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the package is installed in, as `pip install --target` would."""
    made = tmp_path_factory.mktemp("site")
    install_example(made)
    return made


@pytest.fixture
def archsearch(folder: Path, tmp_path: Path) -> Archsearch:
    """The command, in a process that has the package, and in an empty folder."""

    def run(*words: str, status: int = 0, command: Sequence[str] = COMMAND) -> Ran:
        done = subprocess.run(
            [*command, *words],
            env=with_path(folder),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        return done

    return run


def test_its_space_is_listed_and_sampled(archsearch: Archsearch) -> None:
    rows = {row["name"]: row for row in json.loads(archsearch("spaces", "--json").stdout)}
    assert rows["strided"]["title"] == "convolutions alone, strides in place of pools"
    assert "vgg" in rows
    drawn = archsearch("sample", *SPACE, *SMALL, "-n", "4", "--json").stdout.splitlines()
    found = [json.loads(line) for line in drawn]
    assert {candidate["space"] for candidate in found} == {"strided"}
    assert all(0.9 <= candidate["fill"] <= 1 for candidate in found)


@pytest.mark.keras
def test_a_study_in_its_space_by_its_sampler_exported_in_its_format(
    archsearch: Archsearch, tmp_path: Path, empty_store: Path
) -> None:
    (tmp_path / "mlruns").mkdir()
    shutil.copy(empty_store, tmp_path / "mlruns" / "mlflow.db")
    write_colours(tmp_path / "colours.npz")
    archsearch(
        "run", *SPACE, "--flops", "3M", "--data", "colours.npz", "--name", "theirs",
        "--sampler", "neighbours", "--trials", "3", "--epochs", "1", "--batch-size", "16",
        "--seeds", "1", "--workers", "1", "--backend", BACKEND, "--no-export",
        command=UNMEASURED,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(archsearch("leaderboard", "theirs", "--json").stdout)
    assert told["status"] == "complete"
    assert (told["settings"]["space"], told["settings"]["sampler"]) == ("strided", "neighbours")
    labels = [row["label"].split()[1] for row in told["rows"]]
    assert len(set(labels)) == 3
    # One worker knows the classic when it decides on the next; a neighbour differs in one knob.
    assert all(sum(depth != "3" for depth in label.split("-")) <= 2 for label in labels)
    told_wrong = archsearch("export", "theirs", "--format", "nzp", status=2).stderr
    assert told_wrong == "archsearch: no format is named 'nzp'; did you mean npz?\n"
    archsearch("export", "theirs", "--format", "npz", "--out", "model.npz")
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    answers = NPZ.call(tmp_path / "model.npz", images)
    assert answers.shape == (5, 4)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def write_colours(out: Path) -> None:
    """Write images of four classes, each brighter in a part of its own."""
    rng = np.random.default_rng(0)
    labels = np.arange(160) % 4
    images = rng.integers(0, 60, (160, 16, 16, 3))
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 150
    np.savez(out, x=images.astype(np.uint8), y=labels)


def test_other_processes_know_nothing_of_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archsearch", "sample", *SPACE, *SMALL],
        env=with_path(),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("archsearch: no space is named 'strided'; ")
