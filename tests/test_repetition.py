"""A training of a study once more: the same figures, or what came out otherwise."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.errors import ArchsearchError, UserError
from archsearch.repetition import Difference, differences, rerun
from archsearch.settings import RunSettings
from archsearch.training.job import EpochReport, Outcome
from tests.images import write_three
from tests.real_runs import BACKEND, CLI, UNMEASURED
from tests.world import STUDY, World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    home = tmp_path_factory.mktemp("home")
    World().run(
        RunSettings(
            space="vgg", flops="20M", trials=4, epochs=3, workers=1, seeds=1, finalists=1,
            home=str(home),
        )
    )  # fmt: skip
    return home


def again(home: Path, world: World | None = None, **which):
    world = world or World()
    return rerun(STUDY, home=home, services=world.services(), **which), world


def files(home: Path) -> dict[Path, bytes]:
    folder = home / "studies" / STUDY
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_trial_comes_out_the_same_and_the_study_stays_as_it_is(home: Path):
    before = files(home)
    found, world = again(home, trial=2)
    assert (found.key, found.epochs, found.differences) == ("trial-0002", 3, ())
    assert found.to_dict()["same"] is True
    [job] = world.engine.submitted
    assert (job.checkpoint, job.weights, job.test) == (None, None, False)
    assert world.engine.closed
    assert files(home) == before


def test_a_final_is_tested_as_it_was(home: Path):
    found, world = again(home, key="final-0000-seed1")
    assert (found.outcome.test_accuracy is not None, found.differences) == (True, ())
    assert world.engine.submitted[0].test


def test_what_comes_out_otherwise_is_named(home: Path):
    found, _ = again(home, World(validation=lambda job: 0.25), trial=1)
    [at_end] = [d for d in found.differences if (d.where, d.figure) == ("the end", "val_accuracy")]
    assert at_end.again < 0.3 < at_end.before
    assert found.to_dict()["same"] is False


@pytest.mark.parametrize(
    ("which", "message"),
    [
        ({"trial": 9}, "has no trial-0009 that has ended; there are trial-0000 to trial-0003"),
        ({}, "either --trial N or --training KEY, such as final-"),
        ({"trial": 1, "key": "trial-0001"}, "either --trial N or --training KEY"),
        ({"key": "trial-001"}, r"no training 'trial-001' that has ended; did you mean 'trial-0"),
    ],
)
def test_no_such_training(home: Path, which, message):
    with pytest.raises(UserError, match=message):
        again(home, **which)


def test_a_training_that_fails_now_says_why(home: Path):
    with pytest.raises(ArchsearchError, match="trial-0001 could not be trained: no memory"):
        again(home, World(failures={"trial-0001": "no memory"}), trial=1)


def test_there_is_no_such_study(home: Path):
    with pytest.raises(UserError, match="no study 'other'"):
        rerun("other", home=home, services=World().services(), trial=0)


def test_images_that_have_changed_are_refused(tmp_path: Path):
    write_three(tmp_path / "three.npz", side=32)
    World(train_images=100).run(
        RunSettings(
            space="vgg", flops="20M", trials=1, epochs=1, workers=1, seeds=1, finalists=1,
            home=str(tmp_path), name=STUDY, data=str(tmp_path / "three.npz"), input="32x32x1",
        )
    )  # fmt: skip
    write_three(tmp_path / "three.npz", side=36)
    with pytest.raises(UserError, match="have changed since it began"):
        again(tmp_path, trial=0)


REPORT = EpochReport(
    key="trial-0000", epoch=1, loss=2.0, accuracy=0.25, val_accuracy=0.5, images_per_s=100.0,
    learning_rate=0.1, wall_s=1.0, images=100,
)  # fmt: skip
ENDED = Outcome(key="trial-0000", status="complete", epochs=1, val_accuracy=0.5, images=100)


def test_time_is_no_figure():
    slower = replace(REPORT, images_per_s=1.0, wall_s=99.0)
    assert differences([REPORT], ENDED, [slower], replace(ENDED, total_s=99.0)) == ()


def test_the_last_digit_counts():
    other = replace(REPORT, loss=2.0000000000000004)
    [found] = differences([REPORT], ENDED, [other], ENDED)
    assert found == Difference("epoch 1", "loss", 2.0, 2.0000000000000004)


def test_epochs_that_are_missing_now_are_differences():
    second = replace(REPORT, before=3)
    found = differences([REPORT, second], ENDED, [REPORT], ENDED)
    assert {d.where for d in found} == {"epoch 1 of a second try"}
    assert all(d.again is None for d in found)


def test_what_was_stopped_is_compared_by_its_epochs_alone():
    stopped = replace(ENDED, status="pruned")
    assert differences([REPORT], stopped, [REPORT], replace(ENDED, val_accuracy=0.9)) == ()


@pytest.mark.slow
@pytest.mark.keras
def test_a_real_training_comes_out_the_same_to_the_last_digit(tmp_path: Path):
    write_three(tmp_path / "three.npz", side=32)
    home = ["--home", str(tmp_path)]
    subprocess.run(
        [*UNMEASURED, "run", "--space", "vgg", "--flops", "4M", "--data", str(tmp_path / "three.npz"),
         "--trials", "3", "--epochs", "2", "--seeds", "1", "--finalists", "1", "--workers", "2",
         "--backend", BACKEND, "--no-export", "--name", "s", *home],
        check=True,
    )  # fmt: skip
    for which in (["--trial", "2"], ["--training", "final-0000-seed1"]):
        done = subprocess.run(
            [*CLI, "rerun", "s", *which, *home], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "every figure is the same to the last digit" in " ".join(done.stdout.split())
