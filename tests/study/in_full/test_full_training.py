"""Full trainings as studies: taken up after Ctrl-C, bounded in time, following a search."""

from dataclasses import replace
from pathlib import Path

import pytest

from archsearch.archive.codec import FORMAT
from archsearch.archive.databases import MARK, default_url, opened
from archsearch.engines.engine import Machine
from archsearch.errors import UserError
from archsearch.settings import RunSettings
from archsearch.study.catalogue import load_result
from archsearch.study.dry_run import plan
from archsearch.study.events import EpochDone, JobStarted
from archsearch.study.interrupt import Interrupted
from archsearch.study.retelling import track
from archsearch.testing.fake_engine import FakeClock
from tests.bench import table
from tests.world import STUDY, World

pytestmark = pytest.mark.usefixtures("studies_in_memory")


@pytest.fixture
def settings(tmp_path: Path) -> RunSettings:
    return RunSettings(network="lenet5", epochs=4, seeds=2, workers=1, home=str(tmp_path))


def test_one_that_was_interrupted_goes_on_to_the_same_table(settings, tmp_path):
    calm = World().run(replace(settings, home=str(tmp_path / "calm")))

    def third_epoch(event: object) -> bool:
        return isinstance(event, EpochDone) and event.report.epoch == 3

    for at in (third_epoch, lambda event: isinstance(event, JobStarted)):
        home = tmp_path / str(id(at))
        with pytest.raises(
            Interrupted, match=r"`archsearch resume lenet5-digits --home .*` goes on"
        ):
            World(interrupt_at=at).run(replace(settings, home=str(home)))
        result = World().resume("lenet5-digits", home)
        assert table(result) == table(calm)
        assert result.status == "complete"


def test_earlier_versions_are_told_that_they_do_not_read_it(settings, tmp_path):
    name = World().run(settings).study
    with opened(default_url(tmp_path)) as storage:
        study = storage.get_study_id_from_name(name)
        attributes = storage.get_study_user_attrs(study)
    assert attributes[MARK]["format"] == FORMAT == 6
    assert "format" not in attributes  # nor has what was written later made it an earlier one


def test_only_the_test_images_judge_where_all_others_are_trained_on(settings):
    world = World()
    result = world.run(replace(settings, train_on="train+val"))
    assert {job.train_on for job in world.engine.submitted} == {"train+val"}
    assert {job.images for job in world.engine.submitted} == {4 * (1259 + 269)}
    assert result.winner.test.n == 2


def test_the_first_seed_is_exported_where_no_validation_tells_them_apart(settings):
    from dataclasses import replace as changed

    def unvalidated(outcome):
        return changed(outcome, val_accuracy=None, val_loss=None)

    world = World(tell=unvalidated)
    result = world.run(replace(settings, train_on="train+val"))
    assert (result.best_key, result.winner.final_val) == ("final-lenet5-seed1", None)
    assert world.exports == ["final-lenet5-seed1"]
    assert result.rows[0].rank == 1


def test_the_plan_says_what_it_takes_and_makes_nothing(settings, tmp_path):
    found = plan(replace(settings, train_on="train+val"), services=World().services())
    assert (found.trials, found.finals, found.epochs) == (0, 2, 4)
    assert "baseline lenet5" in found.network
    assert found.total_s is not None
    assert found.trial_images == 4 * (1259 + 269)
    assert not (tmp_path / "studies").exists()


def test_under_a_bound_it_is_as_long_as_fits_and_has_a_whole_schedule(settings, tmp_path):
    open_ended = replace(settings, epochs=None, seeds=1)
    bounded = replace(open_ended, max_time="1h")
    clock = FakeClock()
    slow = World(clock=clock, epoch_s=lambda key, epoch: 300.0, tell=_paced(4.0))
    result = slow.run(bounded)
    assert 5 <= result.rows[0].epochs < 60
    assert result.settings.epochs == result.rows[0].epochs
    with pytest.raises(UserError, match=r"too little for an epoch, .*: give at least --max-time"):
        World(clock=FakeClock(), tell=_paced(0.01)).run(replace(bounded, name="never"))
    with pytest.raises(UserError, match="is too little for a training of 50 epochs: give at least"):
        World(clock=FakeClock(), tell=_paced(4.0)).run(replace(bounded, epochs=50, name="too-long"))
    assert World().run(replace(open_ended, name="free")).rows[0].epochs == 60


def _paced(images_per_s: float):
    """What measures the pace finds so many images a second."""

    def tell(outcome):
        if not outcome.key.startswith("pace"):
            return outcome
        return replace(outcome, images_per_s=images_per_s, evaluated_per_s=1000.0, start_s=1.0)

    return tell


def test_several_gpus_train_together_and_share_the_batch(settings):
    def machine() -> Machine:
        return Machine(cores=8, gpus=("0", "1", "2"), memory_bytes=10**10)

    world = World(machine=machine)
    setups = []
    make = world._fake_engine

    def engine(given, folder):
        setups.append(given)
        return make(given, folder)

    world._make_engine = engine
    two = replace(settings, seeds=1, workers=1, devices=2, backend="torch", batch_size=32)
    result = world.run(replace(two, name="two"))
    assert [(s.devices, s.threads) for s in setups[-1]] == [(2, 4)]
    assert result.settings.devices == 2


@pytest.fixture
def search(tmp_path: Path) -> RunSettings:
    return RunSettings(
        space="vgg", flops="20M", trials=3, epochs=2, workers=2, seeds=1, train_winner=7,
        seed=3, home=str(tmp_path),
    )  # fmt: skip


def test_a_search_is_followed_by_the_full_training_of_its_winner(search, tmp_path):
    result = World().run(search)
    assert result.winner is not None
    full = result.trained
    assert (full.study, full.rows[0].graph) == (f"{STUDY}-full", result.winner.graph)
    assert (full.rows[0].epochs, full.settings.seed) == (7, 3)
    assert full.training.test == result.winner.test
    assert result.to_dict()["trained"]["study"] == full.study
    assert load_result(f"{STUDY}-full", home=tmp_path).training.study == STUDY


def test_whoever_goes_on_with_the_search_goes_on_with_the_training(search, tmp_path):
    def in_the_training(event: object) -> bool:
        return (
            isinstance(event, EpochDone)
            and event.order.length.epochs == 7
            and event.report.epoch == 2
        )

    with pytest.raises(Interrupted):
        World(interrupt_at=in_the_training).run(search)
    world = World()
    result = world.resume(STUDY, tmp_path)
    assert [job.key[:5] for job in world.engine.submitted] == ["final"]  # and no other
    assert result.trained.status == "complete"
    assert World().resume(STUDY, tmp_path).trained.study == result.trained.study


def test_it_is_told_to_the_tracker_later_too(settings, tmp_path):
    name = World().run(settings).study
    world = World()
    track(name, home=tmp_path, services=world.services())
    assert {record.role for record in world.tracker.trial_records.values()} == {"baseline"}
    assert len(world.tracker.trials) == 2


def test_the_plan_of_a_search_says_what_follows_it(search):
    notes = plan(search, services=World().services()).notes
    assert any("trained in full, for 7 epochs: about" in note for note in notes)
    notes = plan(replace(search, train_winner=None), services=World().services()).notes
    assert not any("in full" in note for note in notes)
