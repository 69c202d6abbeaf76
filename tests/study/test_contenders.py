"""Whose weights a study keeps for an ensemble: one training of each finalist, all validated on one split."""

from pathlib import Path

import pytest

from archsearch.archive.leaderboard import best_final_key, read_result
from archsearch.study import finalists
from archsearch.study.catalogue import opened_existing
from archsearch.study.finalists import contenders
from archsearch.testing.fake_engine import FakeEngine
from archsearch.training.job import Outcome
from tests.small_study import NAME, TRAIN, Small

pytestmark = pytest.mark.usefixtures("studies_in_memory")


def of(home: Path, **changes):
    """A study's contenders, beside its result and finals."""
    result = Small(home).run(**changes)
    with opened_existing(result.study, home=home) as store:
        return contenders(store, read_result(store)), result, store.finals


def test_members_share_the_first_seeds_split(tmp_path: Path):
    found, result, finals = of(tmp_path, seeds=3)
    assert {key.seed for key in finals} > {1}
    assert len(found) >= 2
    assert {key.seed for _, key in found} == {1}
    retrained = [row.name for row in result.rows if row.retrained]
    assert [row.name for row, _ in found] == retrained


def test_on_one_split_it_is_the_best_training_of_each(tmp_path: Path):
    found, _, finals = of(tmp_path, seeds=3, folds="none")
    assert all(key == best_final_key(row.name, finals) for row, key in found)


def test_they_are_the_best_few_of_each_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(finalists, "MOST_CONTENDERS", 1)
    found, result, _ = of(
        tmp_path, flops="10M:40M", slices=2, trials=6, finalists=2, epochs=1, sampler="random"
    )
    assert [row.name for row, _ in found] == [one.best for one in result.slices]


def test_a_published_network_is_none_of_them(tmp_path: Path):
    found, result, _ = of(tmp_path, baselines="published")
    published = [row.name for row in result.rows if row.origin == "published" and row.retrained]
    assert published
    assert not {row.name for row, _ in found} & set(published)


def test_after_the_study_their_weights_are_there_and_no_others(tmp_path: Path):
    def engine(workers: int, folder: Path) -> FakeEngine:
        def leave_weights(outcome: Outcome) -> Outcome:
            place = folder / "weights" / f"{outcome.key}.npz"
            place.parent.mkdir(exist_ok=True, parents=True)
            place.touch()
            return outcome

        return FakeEngine(workers, train_images=TRAIN, tell=leave_weights)

    result = Small(tmp_path, engine=engine).run(seeds=3)
    with opened_existing(NAME, home=tmp_path) as store:
        wanted = {str(key) for _, key in contenders(store, read_result(store))}
        wanted |= set(result.kept_keys)
        assert len(store.finals) > len(wanted) >= 2
    left = {path.stem for path in (tmp_path / "studies" / NAME / "weights").iterdir()}
    assert left == wanted
