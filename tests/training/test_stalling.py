"""Trainings that stall for real, at rates that are far too high, and what becomes of them."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.engines.local import LocalEngine
from archsearch.ir.codec import to_json
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.job import from_json as read
from archsearch.training.job import to_json as written
from archsearch.training.setup import WorkerSetup
from archsearch.training.stalling import why_stalled
from archsearch.training.weights import load_weights
from tests.networks import deep

pytestmark = pytest.mark.keras

EPOCHS = 4


# Kernels as their ops say: these rates are too high for that start.
STALLS = Recipe(
    batch=16, base_lr=30.0, unnormalized_lr=0.4, unnormalized_head_lr=0.4, centred_init=False
)
DIVERGES = replace(STALLS, clip_norm=None)
HOPELESS = replace(STALLS, base_lr=1000.0)
BREAKS = replace(HOPELESS, clip_norm=None)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """So small maps are no work for several threads, which wait for one another."""
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def job_for(dataset: Path, recipe: Recipe, **changes) -> Job:
    job = Job(
        key="trial-0001", graph=to_json(deep()), dataset=str(dataset), recipe=recipe,
        images=EPOCHS * 96, seed=0, backend="torch",
    )  # fmt: skip
    return replace(job, **changes)


def trained(
    job: Job, go_on: Callable[[EpochReport], bool] = lambda report: True
) -> tuple[Outcome, list[EpochReport]]:
    from archsearch.training.fit import train

    pytest.importorskip(job.backend)
    if job.backend == "jax":  # needs a process of its own: Keras computes on one framework in each
        return in_a_worker(job)
    reports: list[EpochReport] = []
    outcome = train(job, lambda report: reports.append(report) or go_on(report))
    assert read(written(outcome)) == outcome
    return outcome, reports


def in_a_worker(job: Job) -> tuple[Outcome, list[EpochReport]]:
    with TemporaryDirectory() as logs:
        engine = LocalEngine([WorkerSetup(backend=job.backend)], logs=Path(logs))
        try:
            engine.submit(job)
            reports: list[EpochReport] = []
            end = time.monotonic() + 600
            while time.monotonic() < end:
                for message in engine.events(1.0):
                    if isinstance(message, Outcome):
                        return message, reports
                    assert isinstance(message, EpochReport)
                    reports.append(message)
        finally:
            engine.close()
    raise AssertionError("no outcome in ten minutes")


def tries(reports: list[EpochReport]) -> list[tuple[int, int]]:
    return [(report.before, report.epoch) for report in reports]


def figures(reports: list[EpochReport]) -> list[tuple[float, ...]]:
    return [(r.before, r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy) for r in reports]


# The rule is above the backends: that they give it the same figures is in tests/training/test_backends.py.
@pytest.mark.parametrize(
    "backend", ["torch", *(pytest.param(b, marks=pytest.mark.slow) for b in ("jax", "tensorflow"))]
)
def test_what_stalls_learns_at_a_third_of_the_rate(backend, dataset, tmp_path):
    weights = tmp_path / "w.npz"
    job = job_for(dataset, STALLS, backend=backend, test=True, weights=str(weights))
    outcome, reports = trained(job)
    assert (outcome.status, outcome.stalled, outcome.rate_share) == ("complete", False, 1 / 3)
    first, second = reports[:EPOCHS], reports[EPOCHS:]
    assert tries(first) == [(0, epoch) for epoch in range(1, 5)]
    assert tries(second) == [(4, epoch) for epoch in range(1, 5)]
    assert first[-1].val_accuracy == 0.2  # of five classes
    assert outcome.val_accuracy == second[-1].val_accuracy > 0.8
    assert outcome.test_accuracy > 0.8
    # Both cost; the second one is as long, on the same images in the same order, at a third of the rate.
    assert (outcome.epochs, outcome.images) == (EPOCHS, 2 * EPOCHS * 96)
    assert [r.images for r in reports] == [96 * n for n in range(1, 9)]
    assert [r.wall_s for r in reports] == sorted(r.wall_s for r in reports)
    np.testing.assert_allclose(
        [r.learning_rate for r in second], [r.learning_rate / 3 for r in first]
    )
    if backend != "torch":
        return
    # It is the training that begins at that rate: nothing of the first one is left.
    alone = replace(STALLS, base_lr=STALLS.base_lr / 3)
    plain, told = trained(replace(job, recipe=alone, weights=str(tmp_path / "plain.npz")))
    assert plain.rate_share == 1.0
    np.testing.assert_allclose(
        [f[2:] for f in figures(told)], [f[2:] for f in figures(second)], rtol=1e-3
    )


@pytest.mark.parametrize(
    "backend",
    ["torch", *(pytest.param(name, marks=pytest.mark.slow) for name in ("jax", "tensorflow"))],
)
def test_what_diverges_learns_at_a_third_of_the_rate(backend, dataset):
    outcome, reports = trained(job_for(dataset, DIVERGES, backend=backend))
    assert (outcome.status, outcome.stalled, outcome.rate_share) == ("complete", False, 1 / 3)
    # The epoch in which it broke was begun, and is told of no more.
    own = [report for report in reports if report.before]
    assert tries(own) == [(own[0].before, epoch) for epoch in range(1, 5)]
    assert own[0].before == len(reports) - len(own) + 1
    assert outcome.images == 96 * (own[0].before + EPOCHS)
    assert outcome.val_accuracy == own[-1].val_accuracy > 0.8


def test_what_stalls_at_both_rates_says_so(dataset, tmp_path):
    outcome, reports = trained(job_for(dataset, HOPELESS, weights=str(tmp_path / "w.npz")))
    assert (outcome.status, outcome.stalled, outcome.rate_share) == ("complete", True, 1 / 3)
    assert outcome.reason.startswith("its loss ended at ")
    assert outcome.reason.endswith(", guessing has 1.609")  # the logarithm of five
    assert len(reports) == 2 * EPOCHS
    assert (tmp_path / "w.npz").exists()
    outcome, reports = trained(job_for(dataset, BREAKS))
    assert (outcome.status, outcome.stalled, outcome.epochs) == ("failed", True, 0)
    assert "loss became" in outcome.reason
    assert reports == []


def test_without_a_second_rate_it_is_marked_and_left(dataset):
    for recipe, status in ((STALLS, "complete"), (BREAKS, "failed")):
        outcome, reports = trained(job_for(dataset, replace(recipe, retry_rate=None)))
        assert (outcome.status, outcome.stalled, outcome.rate_share) == (status, True, 1.0)
        assert not any(report.before for report in reports)


def test_the_share_is_the_recipes(dataset):
    recipe = replace(STALLS, retry_rate=0.1)
    outcome, reports = trained(job_for(dataset, recipe))
    assert (outcome.stalled, outcome.rate_share) == (False, 0.1)
    assert reports[-1].learning_rate == pytest.approx(0.1 * reports[3].learning_rate)


def test_where_no_image_validates_the_training_images_judge(dataset):
    job = job_for(dataset, STALLS, train_on="train+val", images=EPOCHS * 136, test=True)
    outcome, reports = trained(job)
    assert (outcome.stalled, outcome.rate_share) == (False, 1 / 3)
    assert len(reports) == 2 * EPOCHS
    assert all(report.val_accuracy is None for report in reports)


def test_one_that_is_stopped_is_not_tried_again(dataset):
    outcome, reports = trained(job_for(dataset, STALLS), lambda report: report.epoch < 3)
    assert (outcome.status, outcome.stalled, outcome.rate_share) == ("pruned", False, 1.0)
    assert tries(reports) == [(0, 1), (0, 2), (0, 3)]


def test_one_that_learns_takes_nothing_more(dataset, monkeypatch):
    from archsearch.training import fit

    made = []
    original = fit.make_steps
    monkeypatch.setattr(fit, "make_steps", lambda *given: made.append(1) or original(*given))
    outcome, _ = trained(job_for(dataset, replace(STALLS, base_lr=0.8)))
    assert (outcome.stalled, outcome.rate_share, len(made)) == (False, 1.0, 1)


def test_a_network_that_has_learnt_is_not_said_to_have_stalled_for_what_training_adds(dataset):
    """Mixed images and dropout keep the training figures poor; the validation images tell."""
    data, recipe = load(dataset), Recipe()
    poor = EpochReport(
        key="a", epoch=1, loss=1.7, accuracy=0.2, val_loss=1.7, val_accuracy=0.2,
        images_per_s=1.0, learning_rate=0.1, wall_s=1.0,
    )  # fmt: skip
    assert why_stalled(poor, data, recipe) == "its loss ended at 1.700, guessing has 1.609"
    assert why_stalled(replace(poor, val_loss=None, val_accuracy=None), data, recipe)
    better = ({"loss": 1.5}, {"accuracy": 0.4}, {"val_loss": 1.5}, {"val_accuracy": 0.4})
    assert not any(why_stalled(replace(poor, **one), data, recipe) for one in better)


# --- interrupted ----------------------------------------------------------------------------------


def bits(path: str) -> dict[str, bytes]:
    return {key: value.tobytes() for key, value in load_weights(Path(path)).items()}


KINDS = {"stalls": STALLS, "diverges": DIVERGES, "both": HOPELESS}
QUICK = [("stalls", 2), ("stalls", 4), ("stalls", 5), ("diverges", 3), ("both", 4), ("both", 7)]
SLOW = [(kind, at) for kind in KINDS for at in range(1, 8) if (kind, at) not in QUICK]


@pytest.mark.parametrize(
    ("kind", "at"), [*QUICK, *(pytest.param(*one, marks=pytest.mark.slow) for one in SLOW)]
)
def test_stopped_anywhere_it_goes_on_in_the_same_try(kind, at, dataset, tmp_path):
    def given(name: str) -> Job:
        return job_for(
            dataset, KINDS[kind], test=True, weights=str(tmp_path / f"{name}.npz"),
            checkpoint=str(tmp_path / f"{name}-checkpoint"),
        )  # fmt: skip

    whole, reports = trained(given("whole"))
    if at >= len(reports):
        pytest.skip("it has no such epoch")
    left = iter(range(at - 1))
    cut, _ = trained(given("cut"), lambda report: next(left, None) is not None)
    assert cut.status == "pruned"
    assert not Path(given("cut").weights).exists()
    again, told = trained(given("cut"))
    # What was told before is told once more, in the same order: whoever listens decides on all of it.
    assert figures(told) == figures(reports)
    assert [report.outdated for report in told[: at - 1]] == [True] * (at - 1)
    times = {"train_s", "total_s", "images_per_s", "peak_rss_bytes"}
    assert {n: v for n, v in asdict(again).items() if n not in times} == {
        n: v for n, v in asdict(whole).items() if n not in times
    }
    assert bits(given("cut").weights) == bits(given("whole").weights)


def test_one_that_is_killed_in_its_second_try_does_not_begin_the_first_anew(
    dataset, tmp_path, monkeypatch
):
    from archsearch.training import fit

    job = job_for(dataset, STALLS, checkpoint=str(tmp_path / "checkpoint"))
    whole, reports = trained(replace(job, checkpoint=None))
    steps, taken = fit._Run._steps, []

    class Killed(BaseException):
        pass

    def killed_at_the_fifth(self, *given):
        taken.append(1)
        if len(taken) == EPOCHS + 1:
            raise Killed
        return steps(self, *given)

    monkeypatch.setattr(fit._Run, "_steps", killed_at_the_fifth)
    with pytest.raises(Killed):  # before the first epoch of the second try has ended
        trained(job)
    taken.clear()
    again, told = trained(job)
    assert len(taken) == EPOCHS  # those of the second try
    assert figures(told) == figures(reports)
    assert again.val_accuracy == whole.val_accuracy
    assert again.images == whole.images


def test_the_checkpoints_of_a_first_try_are_older_than_those_of_the_second(dataset, tmp_path):
    folder = tmp_path / "checkpoint"
    seen: list[list[str]] = []

    def watch(report: EpochReport) -> bool:
        seen.append(sorted(path.name for path in folder.glob("*.npz")))
        return True

    trained(job_for(dataset, STALLS, checkpoint=str(folder)), watch)
    names = [[f"epoch-{n:06d}.npz" for n in two] for two in ((4, 5), (5, 6), (6, 7))]
    assert seen[4:7] == names
