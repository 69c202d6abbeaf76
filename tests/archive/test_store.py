import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy.event import listen

from archsearch.archive import databases
from archsearch.archive.databases import default_url, missing, opened, remove_study, study_names
from archsearch.archive.design import Departure, Design, LatencyFit, Solved
from archsearch.archive.facts import DatasetFacts, Extension, StudyFacts
from archsearch.archive.keys import JobKey, trial_name
from archsearch.archive.orders import Length, Order
from archsearch.archive.store import StudyStore
from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.latency import Latency
from archsearch.recipes.recipe import Recipe
from archsearch.settings import RunSettings
from archsearch.space.knobs import ChoiceKnob, IntKnob
from archsearch.training.job import Outcome

KNOBS = (IntKnob("depth", 1, 12), ChoiceKnob("kernel", (1, 3)), ChoiceKnob("kind", ("a", "b")))
VALUES = {"depth": 3, "kernel": 1, "kind": "b"}


FACTS = StudyFacts(
    settings=RunSettings(space="vgg", flops="20M", max_latency="5ms"),
    dataset=DatasetFacts(name="d", input=(8, 8, 1), classes=("a", "b"), splits={"train": 3}),
    created="2026-01-01T00:00:00+00:00",
)


def design(number: int, **changes) -> Design:
    name = trial_name(number)
    made = Design(
        name=name, label=f"net {number}", origin="search", graph=f"{number:016x}", flops=2**40,
        params=7, activation_bytes=9, fill=0.97, findings=(Departure("3x3-stacks", "a 5×5"),),
        solved=Solved(base_width=3.5, multiple=2, widths={"stage1": 4}, notes={"root": 1.5}),
    )  # fmt: skip
    return replace(made, **changes)


def order(number: int, rung: int = 0, **changes) -> Order:
    return Order(
        key=JobKey("search", trial_name(number), rung=rung), design=design(number, **changes),
        knobs=VALUES, length=Length(300 * (rung + 1), 3 * (rung + 1)), seed=11,
        decision=number + 10 * rung,
    )  # fmt: skip


def outcome(key: JobKey, **changes) -> Outcome:
    made = Outcome(key=str(key), status="complete", epochs=3, images=300, val_accuracy=0.5)
    return replace(made, **changes)


def test_everything_said_is_there_after_opening_again(tmp_path: Path):
    url = default_url(tmp_path / "new" / "home")
    fit = LatencyFit(
        bound_by="latency", max_ms=5.0, quantile="p10", ms=4.9, measured=((9, 6.0), (8, 4.9))
    )
    found = Latency(
        median_ms=1.0, p10_ms=0.9, p90_ms=1.5, calls=30, batch=1, device="cpu", threads=2
    )
    final = JobKey("final", trial_name(0), seed=1)
    with opened(url) as storage:
        store = StudyStore.create(storage, "it's one", FACTS)
        store.begin_trial(order(0), KNOBS, skipped=3)
        store.begin_trial(order(1, latency_fit=fit, budget_graph="b" * 16), KNOBS)
        store.begin_trial(order(2), KNOBS)
        store.report(0, order(0), 1, 0.25)
        store.report(0, order(0), 1, 0.5)
        store.end_training(0, order(0), outcome(order(0).key))
        store.begin_training(0, order(0, rung=1))
        store.report(0, order(0, rung=1), 1, 0.6)
        store.end_training(0, order(0, rung=1), outcome(order(0, rung=1).key, val_accuracy=0.75))
        store.begin_training(0, order(0, rung=2))
        store.finish(0)
        store.end_training(1, order(1), outcome(order(1).key, status="failed", val_accuracy=None))
        store.finish(1)
        store.move(2, "waiting")
        store.keep_final(final, outcome(final, test_accuracy=0.4))
        store.keep_latency(trial_name(0), found)
        store.keep_latency("resnet20_cifar", "it died")
        more = Extension(max_time="1h", wall_s=2.5)
        published = (design(9, name="resnet20_cifar", origin="published", solved=None),)
        facts = replace(
            store.facts.extended(more), status="interrupted", ended="why", full=True, left="two",
            wall_s=3.5, exports={"keras": "x.keras"}, published=published,
            recipe=Recipe(scale=(1.0, 1.5), ema=0.9),
        )  # fmt: skip
        store.keep(facts)
        kept = store.trials
    with opened(url) as storage:
        assert study_names(storage) == ["it's one"]
        store = StudyStore.open(storage, "it's one")
        assert store.trials == kept
        assert store.facts == facts
        assert [training.order.key.rung for training in store[0].trainings] == [0, 1, 2]
        assert store[0].trainings[0].reports == {1: 0.5}
        assert store[0].best_known.outcome.val_accuracy == 0.75
        assert [trial.state for trial in store.trials] == ["complete", "failed", "waiting"]
        assert store[1].design.latency_fit == fit
        assert store.finals == {final: outcome(final, test_accuracy=0.4)}
        assert store.latencies == {trial_name(0): found, "resnet20_cifar": "it died"}
        store.move(2, "running")
        remove_study(storage, "it's one")
        assert study_names(storage) == []


def test_a_new_storage_opens_for_all_who_come_at_once(tmp_path: Path):
    together = Barrier(4)

    def make(url: str, name: str) -> None:
        together.wait()
        with opened(url) as storage:
            StudyStore.create(storage, name, FACTS)

    with ThreadPoolExecutor(4) as threads:
        for attempt in range(3):
            url = default_url(tmp_path / str(attempt))
            list(threads.map(make, [url] * 4, "abcd"))
            with opened(url) as storage:
                assert sorted(study_names(storage)) == list("abcd")


def test_whoever_comes_as_another_begins_a_new_storage_waits_for_it(tmp_path: Path, monkeypatch):
    path = tmp_path / "optuna.db"
    lock, exists, waited = tmp_path / ".optuna.db.lock", Path.exists, []

    def looked(self: Path) -> bool:
        there = exists(self)
        if self in (path, lock) and not exists(path):  # as soon as one has looked, another begins
            lock.touch()
            path.write_bytes(b"half")
        return there

    @contextmanager
    def alone(asked: Path):
        waited.append(asked)
        path.write_bytes(b"")  # and has ended
        yield

    monkeypatch.setattr(Path, "exists", looked)
    monkeypatch.setattr(databases, "alone", alone)
    with opened(f"sqlite:///{path}"):
        assert waited == [lock]


def test_optuna_itself_can_read_it(tmp_path: Path):
    import optuna

    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        store.begin_trial(order(0), KNOBS)
        store.end_training(0, order(0), outcome(order(0).key, val_accuracy=0.75))
        store.finish(0)
        study = optuna.load_study(study_name="s", storage=storage)
        assert study.best_params == VALUES
        assert study.best_value == 0.75
        assert study.best_trial.user_attrs["label"] == "net 0"


def test_names_are_taken_once_and_unknown_ones_have_neighbours(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        StudyStore.create(storage, "first", FACTS)
        with pytest.raises(UserError, match="a study 'first' already"):
            StudyStore.create(storage, "first", FACTS)
        with pytest.raises(UserError, match="did you mean 'first'"):
            StudyStore.open(storage, "fist")


def test_a_study_of_someone_elses_is_left_alone(tmp_path: Path):
    import optuna

    with opened(default_url(tmp_path)) as storage:
        optuna.create_study(study_name="theirs", storage=storage).set_user_attr("a", 1)
        assert study_names(storage) == []
        with pytest.raises(UserError, match="a study 'theirs' already"):
            StudyStore.create(storage, "theirs", FACTS)
        with pytest.raises(UserError, match="was not made by this version"):
            StudyStore.open(storage, "theirs")


def test_a_study_left_half_made_is_made(tmp_path: Path):
    from optuna.study import StudyDirection

    with opened(default_url(tmp_path)) as storage:
        storage.create_new_study([StudyDirection.MAXIMIZE], "half")
        assert StudyStore.create(storage, "half", FACTS).facts == FACTS


def test_trials_of_a_second_writer_are_noticed(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        first = StudyStore.create(storage, "s", FACTS)
        second = StudyStore.open(storage, "s")
        second.begin_trial(order(0), KNOBS)
        with pytest.raises(ArchsearchError, match="someone else added trial 0"):
            first.begin_trial(order(0), KNOBS)


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
        StudyStore.create(storage, "s", FACTS)
    assert capfd.readouterr() == ("", "")


def test_a_journal_file_remembers_as_a_database_does(tmp_path: Path):
    url = f"journal:///{tmp_path}/new/studies.log"
    assert missing(url)
    with opened(url) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        store.begin_trial(order(0), KNOBS)
        store.report(0, order(0), 1, 0.25)
        store.end_training(0, order(0), outcome(order(0).key))
        store.finish(0)
        kept = store.trials
    assert not missing(url)
    with opened(url) as storage:
        assert study_names(storage) == ["s"]
        assert StudyStore.open(storage, "s").trials == kept


def test_what_is_said_together_is_one_transaction(tmp_path: Path):
    commits: list[None] = []
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        listen(storage._backend.engine, "commit", lambda connection: commits.append(None))
        for number in (0, 1):
            with store.together():
                store.begin_trial(order(number), KNOBS)
                for epoch in range(1, 9):
                    store.report(number, order(number), epoch, 0.1 * epoch)
                store.end_training(number, order(number), outcome(order(number).key))
                store.finish(number)
                store.keep(replace(store.facts, wall_s=1.0 + number))
                assert StudyStore.open(storage, "s").trials == store.trials[:number]
                del commits[:]  # the reader's
            assert len(commits) == 1
        kept, facts = store.trials, store.facts
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.open(storage, "s")
        assert (store.trials, store.facts) == (kept, facts)


def test_values_of_epochs_alone_wait_for_what_comes_next(tmp_path: Path):
    with opened(default_url(tmp_path)) as storage:
        store = StudyStore.create(storage, "s", FACTS)
        with store.together():
            store.begin_trial(order(0), KNOBS)
        with store.together():
            store.report(0, order(0), 1, 0.25)
        store.move(0, "waiting")
        assert StudyStore.open(storage, "s")[0].trainings[0].reports == {1: 0.25}
