"""Whole runs, from data to export, and taking them up: services that train nothing."""

import os
import random
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.archive.databases import absolute_url
from archsearch.archive.keys import JobKey
from archsearch.commands import command
from archsearch.data.dataset import load
from archsearch.engines.local import LocalEngine
from archsearch.errors import ArchsearchError, BudgetError, UserError
from archsearch.gathering import gather
from archsearch.settings import RunSettings
from archsearch.study import catalogue as studies
from archsearch.study.events import (
    FinalistsStarted,
    JobStarted,
    Measuring,
    Preparing,
    StudyEnded,
    StudyStarted,
)
from archsearch.study.interrupt import Interrupted
from archsearch.study.opening import stored_settings
from archsearch.testing.fake_engine import hashed_accuracy
from archsearch.training.job import Job
from archsearch.units import training_flops
from tests.bench import table
from tests.world import World, interrupted_after

pytestmark = pytest.mark.usefixtures("studies_in_memory")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg",
        flops="20M",
        trials=6,
        epochs=3,
        workers=2,
        seeds=2,
        finalists=2,
        home=str(tmp_path),
    )


@pytest.mark.usefixtures("in_a_database")
def test_a_run_from_data_to_export(settings: RunSettings):
    world = World()
    result = world.run(settings)
    assert result.study == "vgg-20M-digits"
    assert result.status == "complete"
    assert len(result.rows) == 6
    assert world.exports == [result.best_key]
    assert result.winner is not None
    assert sum(row.test.n for row in result.rows if row.test) == 6
    assert all(0.9 <= row.fill <= 1 for row in result.rows)
    # Only a slow machine tells how far the images are.
    kinds = [type(event) for event in world.events if not isinstance(event, Preparing)]
    assert kinds[0] is StudyStarted
    assert kinds[-1] is StudyEnded
    assert kinds.count(FinalistsStarted) == 1
    tracker = world.trackers[0]
    assert tracker.closed
    assert tracker.study.status == "complete"
    assert tracker.study.metrics["best_test_accuracy"] == result.winner.test.mean
    assert "| design |" in tracker.description
    roles = [record.role for record in tracker.trial_records.values()]
    # The classic in the search and its retrainings, one at least; six retrainings in all.
    assert roles.count("candidate") == 5
    assert roles.count("baseline") >= 2
    assert roles.count("baseline") + roles.count("finalist") == 7


def test_only_finalists_touch_the_test_split(settings: RunSettings):
    world = World()
    world.run(settings)
    jobs = world.engines[0].submitted
    assert [job.test for job in jobs] == [job.key.startswith("final-") for job in jobs]
    assert all((job.weights is not None) == job.test for job in jobs)


@pytest.mark.parametrize(("folds", "of"), [("auto", lambda seed: seed), ("none", lambda seed: 0),
                                          ("1", lambda seed: 1)])  # fmt: skip
def test_finals_are_validated_on_splits_of_their_own(settings: RunSettings, folds, of):
    """The digits have fewer than 2,000 images to validate with."""
    world = World()
    world.run(replace(settings, folds=folds))
    keys = {JobKey.parse(job.key): job.fold for job in world.engines[0].submitted}
    assert len(keys) == 12
    assert keys == {key: of(key.seed) if key.purpose == "final" else 0 for key in keys}


def test_validation_chooses_where_test_would_choose_otherwise(settings: RunSettings):
    world = World(test=lambda job: 1 - hashed_accuracy(job))
    result = world.run(settings)
    finalists = [row for row in result.rows if row.final_val]
    assert result.winner.expected == max(row.expected for row in finalists)
    assert result.winner.test.mean == min(row.test.mean for row in finalists)


def test_published_baselines_train_but_cannot_win(settings: RunSettings):
    def published_first(job: Job) -> float:
        return 0.99 if "resnet" in job.graph[:200] and "_cifar" in job.graph[:200] else 0.6

    world = World(validation=published_first)
    names = "matched,resnet20_cifar"
    result = world.run(replace(settings, space="resnet", baselines=names, trials=4))
    first = result.rows[0]
    assert (first.name, first.origin, first.rank, first.winner) == (
        "resnet20_cifar", "published", 1, False,
    )  # fmt: skip
    assert first.val_accuracy is None
    assert first.final_val.n == 2
    assert result.winner.origin != "published"


def test_no_baseline_where_none_is_wanted(settings: RunSettings):
    result = World().run(replace(settings, baselines="none"))
    assert {row.role for row in result.rows} == {"candidate"}


def test_names_count_up_and_settings_files_repeat_a_run(settings: RunSettings, tmp_path: Path):
    first = World().run(settings)
    second = World().run(settings)
    assert (first.study, second.study) == ("vgg-20M-digits", "vgg-20M-digits-2")
    assert table(first) == table(second)
    again = gather({"name": "third"}, config=tmp_path / "studies" / first.study / "run.toml")
    assert table(World().run(again)) == table(first)


def test_train_flops_set_the_length(settings: RunSettings):
    world = World()
    world.run(replace(settings, epochs=None, train_flops="100G"))
    started = [event for event in world.events if isinstance(event, JobStarted)]
    for job, event in zip(world.engines[-1].submitted, started, strict=True):
        assert job.images == 100_000_000_000 // training_flops(event.order.design.flops, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space": "vvg"}, "did you mean vgg"),
        ({"recipe": "defualt"}, "did you mean default"),
        ({"backend": "pytorch"}, "no backend 'pytorch'"),
        ({"precision": "half"}, "no precision 'half'"),
        ({"flops": "1k"}, "try --flops"),
        ({"baselines": "resnet_cifar20"}, "did you mean resnet"),
        ({"epochs": None, "train_flops": "1M"}, "not even a batch"),
        ({"data": "/nowhere"}, "nowhere"),
        ({"storage": "nonsense"}, "the storage nonsense does not open"),
        ({"tracking_uri": "foo"}, "MLflow store foo can't be used"),
        ({"tracking_uri": "htp://host:5000"}, "give another with --tracking-uri"),
        ({"storage": "mysql://me:secret@localhost/x"}, "does not open"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_kept(settings, changes, message, tmp_path):
    with pytest.raises(UserError) as error:
        World().run(replace(settings, **changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)
    assert not (tmp_path / "studies").exists()


def test_fewer_images_than_a_batch_are_one_batch(settings: RunSettings, tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (24, 32, 32, 1), np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.arange(24) % 2)
    world = World()
    result = world.run(replace(settings, data=str(tmp_path / "few.npz"), trials=1, finalists=1))
    train = result.dataset.splits["train"]
    assert train < 24
    assert {job.recipe.batch for job in world.engines[0].submitted} == {train}
    (started,) = [event for event in world.events if isinstance(event, StudyStarted)]
    assert f"a batch has {train} of them, not 32" in " ".join(started.notes)


@pytest.mark.parametrize(
    ("home", "changes"),
    [("h?x", {}), ("h\nx", {}), ("h?x", {"storage": "sqlite:///a.db"}), ("50%", {}), ("a#b", {})],
)
def test_a_home_that_makes_no_database_url_is_refused(
    settings, home, changes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="choose another --home") as error:
        World().run(replace(settings, home=home, **changes))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    if "?" in home:
        for read in (studies.list_studies, partial(studies.load_result, "x")):
            with pytest.raises(UserError, match="choose another --home"):
                read(home=Path(home))
        assert list(tmp_path.iterdir()) == []


def test_an_existing_study_is_not_overwritten(settings: RunSettings):
    named = replace(settings, name="mine")
    World().run(named)
    with pytest.raises(UserError, match="with the same settings; `archsearch resume mine "):
        World().run(named)
    with pytest.raises(UserError, match="trials: 6 there, 7 here"):
        World().run(replace(named, trials=7))


@pytest.mark.usefixtures("in_a_database")
def test_a_study_of_another_storage_is_not_overwritten(settings: RunSettings, tmp_path: Path):
    def everything() -> dict[Path, tuple[int, int]]:
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}

    named = replace(settings, name="mine")
    World().run(named)
    before = everything()
    with pytest.raises(UserError, match=r"'mine' already, in the storage sqlite:.*optuna\.db; "):
        World().run(replace(named, storage=f"sqlite:///{tmp_path}/other.db"))
    assert everything() == before
    # The home's own storage by its name is no other one.
    with pytest.raises(UserError, match="with the same settings"):
        World().run(replace(named, storage=f"sqlite:///{tmp_path}/optuna.db"))


def test_a_second_driver_is_refused(settings: RunSettings, tmp_path: Path):
    seen = []

    def try_others(event):
        if not isinstance(event, JobStarted) or event.order.decision != 0:
            return
        for other in (lambda: World().resume("mine", tmp_path), lambda: World().run(asked)):
            try:
                other()
            except UserError as error:
                seen.append(str(error))

    asked = replace(settings, name="mine")
    World(watch=try_others).run(asked)
    assert len(seen) == 2
    assert all(f"driven by process {os.getpid()}" in text for text in seen)


@pytest.mark.usefixtures("in_a_database")
@pytest.mark.parametrize("at", [1, 14, 33])
def test_ctrl_c_and_resume(settings: RunSettings, tmp_path: Path, at: int):
    expected = World().run(replace(settings, home=str(tmp_path / "calm")))

    world = interrupted_after(at)
    with pytest.raises(Interrupted, match="archsearch resume vgg-20M-digits"):
        world.run(settings)
    assert world.trackers[0].study.status == "interrupted"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    [summary] = studies.list_studies(home=tmp_path)
    assert (summary.status, summary.pid) == ("interrupted", None)
    again = World()
    result = again.resume("vgg-20M-digits", tmp_path)
    assert table(result) == table(expected)
    assert result.status == "complete"
    assert {run.status for run in again.trackers[0].trials.values()} <= {"complete", "pruned"}
    done = World()
    assert table(done.resume("vgg-20M-digits", tmp_path)) == table(expected)
    assert done.engines == []


def test_commands_in_messages_can_be_copied(settings: RunSettings, tmp_path: Path, monkeypatch):
    home = tmp_path / "my home"
    asked = replace(settings, name="my study", home=str(home))
    resume = f"archsearch resume 'my study' --home '{home}'"
    with pytest.raises(Interrupted) as interrupted:
        interrupted_after(14).run(asked)
    assert str(interrupted.value) == f"interrupted; `{resume}` goes on from here"
    with pytest.raises(UserError) as taken:
        World().run(asked)
    assert f"`{resume}`" in str(taken.value)
    with pytest.raises(UserError) as taken:
        World().run(replace(asked, storage=f"sqlite:///{tmp_path}/other.db"))
    assert f"`{resume}`" in str(taken.value)
    assert command("resume", "s", home=home) == f"archsearch resume s --home '{home}'"
    monkeypatch.setenv("ARCHSEARCH_HOME", str(home))
    assert command("resume", "s", home=home) == "archsearch resume s"
    monkeypatch.delenv("ARCHSEARCH_HOME")
    monkeypatch.chdir(tmp_path)
    assert command("resume", "s", home=tmp_path / "mlruns") == "archsearch resume s"


def test_ctrl_c_before_the_first_trial_leaves_nothing(settings: RunSettings, tmp_path: Path):
    with pytest.raises(Interrupted, match="before the first trial; the same command"):
        World(interrupt_at=lambda event: isinstance(event, Measuring)).run(settings)
    assert studies.list_studies(home=tmp_path) == []
    assert list((tmp_path / "studies").iterdir()) == []


def test_workers_that_do_not_start_leave_the_log_that_says_why(
    settings: RunSettings, tmp_path: Path, toys
):
    def engine(setups, folder):
        return LocalEngine(setups, logs=folder.worker_logs, main=toys.stillborn)

    with pytest.raises(ArchsearchError, match="do not start") as error:
        World(engine=engine).run(settings)
    log = Path(str(error.value).rpartition("; see ")[2])
    assert "ImportError: no tensorflow" in log.read_text()
    # There is no study that never began, and its name is free.
    assert studies.list_studies(home=tmp_path) == []
    again = World().run(settings)
    assert (again.study, again.status) == ("vgg-20M-digits", "complete")
    assert "ImportError: no tensorflow" in log.read_text()


def test_two_ctrl_c_stop_at_once(settings: RunSettings):
    world = interrupted_after(4, 5)
    with pytest.raises(KeyboardInterrupt):
        world.run(settings)
    assert world.trackers[0].study.status == "interrupted"


def test_a_study_without_a_single_network_says_why(settings: RunSettings, tmp_path: Path):
    failures = {f"trial-{n:04d}": "loss became NaN at epoch 1" for n in range(6)}
    with pytest.raises(ArchsearchError, match=r"no network trained to its end.*loss became NaN"):
        World(failures=failures).run(settings)
    [summary] = studies.list_studies(home=tmp_path)
    assert summary.status == "failed"
    assert summary.best_val is None


def test_changed_data_cannot_be_resumed(settings: RunSettings, tmp_path: Path):
    with pytest.raises(Interrupted):
        interrupted_after(5).run(settings)
    file = tmp_path / "studies" / "vgg-20M-digits" / "run.toml"
    file.write_text(file.read_text().replace("val_fraction = 0.15", "val_fraction = 0.2"))
    with pytest.raises(UserError, match="images of study 'vgg-20M-digits' have changed"):
        World().resume("vgg-20M-digits", tmp_path)


def test_a_study_outlives_its_data(settings: RunSettings, tmp_path: Path):
    x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), np.uint8)
    data = tmp_path / "few.npz"
    np.savez(data, x=x, y=np.arange(60) % 3)
    asked = replace(settings, data=str(data), batch_size=4)
    expected = World().run(replace(asked, home=str(tmp_path / "calm")))
    with pytest.raises(Interrupted):
        interrupted_after(5).run(asked)
    data.unlink()
    # What was prepared when it began does; once it has ended, nothing is needed.
    assert table(World().resume(expected.study, tmp_path)) == table(expected)
    shutil.rmtree(tmp_path / "data")
    assert table(World().resume(expected.study, tmp_path)) == table(expected)


def test_unknown_studies_are_named(settings: RunSettings, tmp_path: Path):
    with pytest.raises(UserError, match="there are none"):
        World().resume("x", tmp_path)
    with pytest.raises(UserError, match="there are none"):
        studies.load_result("x", home=tmp_path)
    assert studies.list_studies(home=tmp_path) == []
    World().run(settings)
    with pytest.raises(UserError, match="did you mean 'vgg-20M-digits'"):
        World().resume("vgg-20M-digit", tmp_path)
    with pytest.raises(UserError, match="did you mean 'vgg-20M-digits'"):
        studies.load_result("vgg-20M-digit", home=tmp_path)


@pytest.mark.usefixtures("in_a_database")
def test_a_study_can_be_read_again_and_deleted(settings: RunSettings, tmp_path: Path):
    result = World().run(settings)
    name = result.study
    assert studies.load_result(name, home=tmp_path) == result
    studies.delete_study(name, home=tmp_path)
    assert studies.list_studies(home=tmp_path) == []
    assert not (tmp_path / "studies" / name).exists()
    assert World().run(settings).study == name


def test_a_study_whose_mlflow_is_gone_can_be_deleted(settings: RunSettings, tmp_path: Path):
    # A server that does not answer now is no reason not to train.
    World().run(replace(settings, name="s", trials=1, tracking_uri="http://127.0.0.1:9"))
    with pytest.raises(UserError, match="connection refused; --keep-runs"):
        studies.delete_study("s", home=tmp_path)
    assert len(studies.list_studies(home=tmp_path)) == 1
    studies.delete_study("s", home=tmp_path, keep_runs=True)
    assert studies.list_studies(home=tmp_path) == []
    assert not (tmp_path / "studies" / "s").exists()


def test_a_study_with_a_wrong_address_of_mlflow_goes_on(settings: RunSettings, tmp_path: Path):
    with pytest.raises(Interrupted):
        interrupted_after(5).run(settings)
    file = tmp_path / "studies" / "vgg-20M-digits" / "run.toml"
    file.write_text(file.read_text() + '\ntracking_uri = "foo"\n')
    assert World().resume("vgg-20M-digits", tmp_path).status == "complete"


@pytest.mark.usefixtures("in_a_database")
def test_studies_of_all_storages_are_listed(settings: RunSettings, tmp_path: Path):
    few = replace(settings, trials=2, seeds=1, finalists=1)
    other, gone = (f"sqlite:///{tmp_path}/{name}.db" for name in ("other", "gone"))
    World().run(replace(few, name="b"))
    World().run(replace(few, name="z", storage=gone))
    World().run(replace(few, name="a", storage=other))
    World().run(replace(few, name="theirs", storage=other, home=str(tmp_path / "their home")))
    (tmp_path / "gone.db").unlink()
    found = studies.list_studies(home=tmp_path)
    assert [(summary.name, summary.status, summary.trials_done) for summary in found] == [
        ("b", "complete", 2),
        ("a", "complete", 2),
        ("z", "unreachable", 0),
    ]
    with pytest.raises(UserError, match=r"study 'z' lies in the storage .*gone\.db, which is gone"):
        studies.load_result("z", home=tmp_path)
    studies.delete_study("z", home=tmp_path)
    assert not (tmp_path / "gone.db").exists()


def test_data_are_listed_alike_before_and_after_the_first_trial(
    settings: RunSettings, tmp_path: Path
):
    x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.arange(60) % 3)
    seen = []

    def look(event):
        if isinstance(event, Measuring):
            seen.extend(studies.list_studies(home=tmp_path))

    few = replace(settings, data=str(tmp_path / "few.npz"), batch_size=4, trials=1)
    World(watch=look).run(few)
    assert [(summary.status, summary.data) for summary in seen] == [("running", "few")]
    assert [summary.data for summary in studies.list_studies(home=tmp_path)] == ["few"]


def test_a_budget_out_of_reach_is_a_budget_error(settings: RunSettings):
    with pytest.raises(BudgetError):
        World().run(replace(settings, flops="1P"))


def test_any_order_of_workers_gives_the_same_table(settings: RunSettings, tmp_path: Path):
    tables = [
        table(World(order=random.Random(n)).run(replace(settings, home=str(tmp_path / str(n)))))
        for n in range(2)
    ]
    assert tables[0] == tables[1]


def test_data_options_reach_the_data_and_the_recipe(settings: RunSettings):
    world = World()
    asked = replace(settings, mirror=True, class_weights=True, relax="channel-doubling")
    world.run(asked)
    job = world.engines[-1].submitted[0]
    assert job.recipe.class_weights
    assert load(Path(job.dataset)).mirror
    assert len(next(iter(world.trackers[0].trial_records.values())).knobs) > 7


def test_strict_refuses_a_bad_image_before_anything_is_kept(settings: RunSettings, tmp_path: Path):
    photos = tmp_path / "photos"
    rng = np.random.default_rng(0)
    for kind in ("cat", "dog"):
        (photos / kind).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(photos / kind / f"{number}.png")
    (photos / "cat" / "bad.png").write_bytes(b"no image")
    asked = replace(settings, data=str(photos), input="32x32x3", trials=2, batch_size=4)
    with pytest.raises(UserError, match=r"bad\.png.*--strict"):
        World().run(replace(asked, strict=True))
    world = World()
    world.run(asked)
    assert any("bad.png" in note for note in world.events[0].notes)


def test_data_named_from_one_folder_are_found_from_another(
    settings: RunSettings, tmp_path: Path, monkeypatch
):
    x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 1), np.uint8)
    np.savez(tmp_path / "few.npz", x=x, y=np.arange(60) % 3)
    monkeypatch.chdir(tmp_path)
    asked = replace(settings, data="few.npz", batch_size=4)
    interrupted = interrupted_after(5)
    with pytest.raises(Interrupted):
        interrupted.run(asked)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert World().resume("vgg-20M-few", tmp_path).status == "complete"
    # The same words from the same folder are the same settings.
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="already, with the same settings"):
        World().run(replace(asked, name="vgg-20M-few"))


@pytest.mark.usefixtures("in_a_database")
def test_databases_named_from_one_folder_are_found_from_another(
    settings: RunSettings, tmp_path: Path, monkeypatch
):
    expected = World().run(replace(settings, home=str(tmp_path / "calm")))
    monkeypatch.chdir(tmp_path)
    asked = replace(settings, storage="sqlite:///my.db", tracking_uri="sqlite:///runs.db")
    with pytest.raises(Interrupted):
        interrupted_after(28).run(asked)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    name = expected.study
    assert stored_settings(name, tmp_path).tracking_uri == f"sqlite:///{tmp_path}/runs.db"
    assert len(studies.load_result(name, home=tmp_path).rows) > 1
    again = World()
    assert table(again.resume(name, tmp_path)) == table(expected)
    assert again.engines[0].submitted[0].key != "trial-0000"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("url", "absolute"),
    [
        ("sqlite:///a.db", "sqlite:///{here}/a.db"),
        ("sqlite+pysqlite:///a/b.db?timeout=1", "sqlite+pysqlite:///{here}/a/b.db?timeout=1"),
        ("sqlite:////a.db", "sqlite:////a.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite://", "sqlite://"),
        ("postgresql://me@host/name", "postgresql://me@host/name"),
        ("http://host:5000", "http://host:5000"),
    ],
)
def test_only_paths_of_files_are_made_absolute(url, absolute, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_url(url) == absolute.format(here=tmp_path)
