import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from archsearch.archive.store import StudyStore, default_url, opened, study_names
from archsearch.errors import ArchsearchError, UserError
from archsearch.space.knobs import ChoiceKnob, IntKnob

KNOBS = (IntKnob("depth", 1, 12), ChoiceKnob("kernel", (1, 3)), ChoiceKnob("kind", ("a", "b")))
VALUES = {"depth": 3, "kernel": 1, "kind": "b"}


def test_everything_said_is_there_after_opening_again(tmp_path: Path):
    url = default_url(tmp_path / "new" / "home")
    with opened(url) as storage:
        store = StudyStore.create(storage, "it's one", {"settings": {"a": 1}, "dataset": {}})
        for number in range(3):
            assert store.add(VALUES, KNOBS, {"label": "x", "flops": 2**40}).number == number
        store.report(0, 1, 0.25)
        store.report(0, 1, 0.5)
        store.note(0, "outcome", {"status": "complete"})
        store.move(0, "complete", 0.5)
        store.move(1, "failed")
        store.move(2, "waiting")
        store.set_attribute("status", "interrupted")
        kept = store.trials
    with opened(url) as storage:
        assert study_names(storage) == ["it's one"]
        store = StudyStore.open(storage, "it's one")
        assert store.trials == kept
        assert store[0].reports == {1: 0.5}
        assert store[0].knobs == VALUES
        assert [trial.state for trial in store.trials] == ["complete", "failed", "waiting"]
        assert store.attributes["settings"] == {"a": 1}
        assert store.attributes["status"] == "interrupted"
        store.move(2, "running")
        store.move(2, "pruned", 0.1)
        store.delete()
        assert study_names(storage) == []


def test_a_new_storage_opens_for_all_who_come_at_once(tmp_path: Path):
    together = Barrier(4)

    def make(url: str, name: str) -> None:
        together.wait()
        with opened(url) as storage:
            StudyStore.create(storage, name, {"settings": {}, "dataset": {}})

    with ThreadPoolExecutor(4) as threads:
        for attempt in range(3):
            url = default_url(tmp_path / str(attempt))
            list(threads.map(make, [url] * 4, "abcd"))
            with opened(url) as storage:
                assert sorted(study_names(storage)) == list("abcd")


def test_optuna_itself_can_read_it(tmp_path: Path):
    import optuna

    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.create(storage, "s", {"settings": {}, "dataset": {}})
        store.add(VALUES, KNOBS, {"label": "x"})
        store.move(0, "complete", 0.75)
        study = optuna.load_study(study_name="s", storage=storage)
        assert study.best_params == VALUES
        assert study.best_value == 0.75
        assert study.best_trial.user_attrs == {"label": "x"}


def test_names_are_taken_once_and_unknown_ones_have_neighbours(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        StudyStore.create(storage, "first", {"settings": {}, "dataset": {}})
        with pytest.raises(UserError, match="a study 'first' already"):
            StudyStore.create(storage, "first", {})
        with pytest.raises(UserError, match="did you mean 'first'"):
            StudyStore.open(storage, "fist")


def test_a_study_of_someone_elses_is_left_alone(tmp_path: Path):
    import optuna

    with opened(default_url(tmp_path)) as storage:
        optuna.create_study(study_name="theirs", storage=storage).set_user_attr("a", 1)
        assert study_names(storage) == []
        with pytest.raises(UserError, match="a study 'theirs' already"):
            StudyStore.create(storage, "theirs", {})
        with pytest.raises(UserError, match="was not made by this version"):
            StudyStore.open(storage, "theirs")


def test_a_study_left_half_made_is_made(tmp_path: Path):
    from optuna.study import StudyDirection

    with opened(default_url(tmp_path)) as storage:
        storage.create_new_study([StudyDirection.MAXIMIZE], "half")
        store = StudyStore.create(storage, "half", {"settings": {"a": 1}, "dataset": {}})
        assert store.attributes["settings"] == {"a": 1}


def test_trials_of_a_second_writer_are_noticed(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        first = StudyStore.create(storage, "s", {"settings": {}, "dataset": {}})
        second = StudyStore.open(storage, "s")
        second.add(VALUES, KNOBS, {})
        with pytest.raises(ArchsearchError, match="someone else added trial 1"):
            first.add(VALUES, KNOBS, {})


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////dev/null/x.db", "what://x", "postgresql://a:b@localhost:1/x"]
)
def test_storages_that_do_not_open_are_one_line(url: str):
    with pytest.raises(UserError) as error, opened(url):
        pass
    assert "\n" not in str(error.value)
    assert ":b@" not in str(error.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path):
    (tmp_path / "optuna.db").write_text("not a database, however long it may be" * 100)
    with pytest.raises(UserError, match="does not open"), opened(default_url(tmp_path)):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_home_that_cannot_be_written(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError), opened(default_url(tmp_path)):
        pass


def test_nothing_is_said_aloud(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with opened(default_url(tmp_path)) as storage:
        StudyStore.create(storage, "s", {"settings": {}, "dataset": {}})
    assert capfd.readouterr() == ("", "")
