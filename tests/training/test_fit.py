from dataclasses import replace

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.ir.codec import to_json
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import Job
from archsearch.training.job import to_json as to_json_line
from archsearch.training.weights import load_weights
from tests.images import write_dataset
from tests.networks import resnext_like, vgg_like
from tests.real_runs import BACKEND, QUICK_AND_SLOW

pytestmark = pytest.mark.keras

RECIPE = Recipe(batch=16)


@pytest.fixture(autouse=True, params=QUICK_AND_SLOW)
def backend(request, monkeypatch) -> str:
    """What jobs here train on; what is TensorFlow's own is in tests of the backends."""
    monkeypatch.setattr(request.module, "BACKEND", request.param)
    return request.param


def job_for(dataset, graph, *, epochs=3, **changes):
    job = Job(
        key="trial-0001",
        graph=to_json(graph),
        dataset=str(dataset),
        recipe=RECIPE,
        images=int(epochs * 96),
        seed=0,
        backend=BACKEND,
    )
    return replace(job, **changes)


def trained(job, go_on=lambda report: True):
    from archsearch.training.fit import train

    reports = []

    def on_epoch(report):
        reports.append(report)
        return go_on(report)

    return train(job, on_epoch), reports


@pytest.mark.parametrize(
    ("graph", "data"), [(resnext_like(), "colour_dataset"), (vgg_like(), "dataset")]
)
def test_a_few_epochs_learn_what_is_easy(graph, data, request):
    outcome, reports = trained(job_for(request.getfixturevalue(data), graph, epochs=6, test=True))
    assert outcome.status == "complete", outcome.reason
    assert [report.epoch for report in reports] == [1, 2, 3, 4, 5, 6]
    assert outcome.epochs == 6
    assert outcome.val_accuracy == reports[-1].val_accuracy > 0.8
    assert outcome.test_accuracy > 0.8
    assert 0 < outcome.train_s < outcome.total_s
    assert outcome.images_per_s > 0
    assert outcome.peak_rss_bytes > 50_000_000
    assert reports[-1].loss < reports[0].loss


def test_the_same_seed_gives_the_same_numbers_and_another_one_others(colour_dataset):
    job = job_for(colour_dataset, resnext_like(), epochs=2)
    first, again, other = (
        [(r.loss, r.val_loss) for r in trained(one)[1]] for one in (job, job, replace(job, seed=1))
    )
    np.testing.assert_allclose(first, again, rtol=1e-4)
    assert abs(first[0][0] - other[0][0]) > 1e-3


def test_the_test_split_is_read_only_when_asked_for(dataset, monkeypatch):
    from archsearch.training import fit

    seen = []
    original = fit.evaluate
    monkeypatch.setattr(
        fit,
        "evaluate",
        lambda steps, split, *rest, **more: seen.append(len(split)) or original(steps, split),
    )
    outcome, _ = trained(job_for(dataset, vgg_like(), epochs=1))
    data = load(dataset)
    assert seen == [len(data.val)]
    assert outcome.test_accuracy is None


def test_an_infinite_test_loss_is_told_as_none(dataset, monkeypatch):
    from archsearch.training import fit

    monkeypatch.setattr(fit, "evaluate", lambda *arguments, **more: (1.0, 0.5, 0.5))
    outcome, _ = trained(job_for(dataset, vgg_like(), epochs=1, test=True))
    assert outcome.test_loss == 1.0
    infinite = iter([1.0, float("inf")])
    monkeypatch.setattr(fit, "evaluate", lambda *arguments, **more: (next(infinite), 0.5, 0.5))
    outcome, _ = trained(job_for(dataset, vgg_like(), epochs=1, test=True))
    assert (outcome.status, outcome.test_loss, outcome.test_accuracy) == ("complete", None, 0.5)
    assert to_json_line(outcome)


def test_progress_is_told_within_an_epoch(dataset):
    from archsearch.training.fit import train

    told = []
    train(job_for(dataset, vgg_like(), epochs=1), lambda report: True, lambda: told.append(1))
    assert len(told) >= 2


def test_a_stopped_job_is_pruned_and_leaves_no_weights(dataset, tmp_path):
    weights = tmp_path / "w.npz"
    job = job_for(dataset, vgg_like(), epochs=3, test=True, weights=str(weights))
    outcome, reports = trained(job, go_on=lambda report: report.epoch < 2)
    assert (outcome.status, outcome.epochs, len(reports)) == ("pruned", 2, 2)
    assert outcome.test_accuracy is None
    assert not weights.exists()


def test_a_loss_that_is_no_number_fails_the_job_with_its_epoch(dataset):
    net = Tracer("explodes", (16, 16, 1))
    x = net.input
    for _ in range(12):
        x = net.conv(x, 8, kernel=3)
    graph = net.finish(net.dense(net.flatten(x), 5))
    recipe = Recipe(batch=16, base_lr=1e9, warmup=0.0, clip_norm=None)
    outcome, _ = trained(job_for(dataset, graph, recipe=recipe))
    assert outcome.status == "failed"
    assert outcome.reason in {
        f"loss became {value} at epoch 1" for value in ("NaN", "infinite")
    } | {"validation loss became NaN at epoch 1"}


def test_the_last_epoch_may_be_partial_and_a_batch_larger_than_the_data(dataset):
    outcome, reports = trained(job_for(dataset, vgg_like(), epochs=1.5))
    assert (outcome.epochs, len(reports)) == (2, 2)
    outcome, reports = trained(job_for(dataset, vgg_like(), epochs=4, recipe=Recipe(batch=128)))
    assert outcome.status == "complete"
    assert len(reports) == 3  # 384 images are 3 steps


def test_final_weights_are_those_of_every_layer(dataset, tmp_path):
    graph = vgg_like()
    path = tmp_path / "weights" / "w.npz"
    trained(job_for(dataset, graph, epochs=1, weights=str(path)))
    weights = load_weights(path)
    assert {key.split(":")[0] for key in weights} >= {"conv1", "conv2", "dense1", "dense2"}
    assert [p.name for p in path.parent.iterdir()] == ["w.npz"]


def test_a_step_is_compiled_once_a_job_and_never_by_xla(dataset, monkeypatch):
    from archsearch.training import fit
    from archsearch.training.backends.tensorflow import TensorFlowSteps

    made = []

    def recording(*arguments, **keywords):
        made.append(TensorFlowSteps(*arguments, **keywords))
        return made[-1]

    monkeypatch.setattr("archsearch.training.backends.tensorflow.TensorFlowSteps", recording)
    job = job_for(dataset, vgg_like(), epochs=2, backend="tensorflow")
    assert fit.train(job, lambda report: True).epochs == 2
    (steps,) = made
    for function in (steps._train, steps._evaluate):
        assert function.experimental_get_tracing_count() == 1
        assert not function._jit_compile


def test_class_weights_make_a_rare_class_count(tmp_path):
    folder = write_dataset(tmp_path / "rare", counts=(96, 60, 10))
    # Class 1 keeps two training images: without weights the others drown it.
    labels = np.load(folder / "train_labels.npy")
    images = np.load(folder / "train_images.npy")
    kept = np.flatnonzero((labels != 1) | (np.cumsum(labels == 1) <= 2))
    kept = np.resize(kept, 96)
    np.save(folder / "train_labels.npy", labels[kept])
    np.save(folder / "train_images.npy", images[kept])
    accuracies = {}
    for weighted in (False, True):
        recipe = replace(RECIPE, class_weights=weighted)
        outcome, reports = trained(job_for(folder, vgg_like(), epochs=3, recipe=recipe))
        assert outcome.status == "complete"
        # The validation split has as many images of every class.
        for report in reports:
            assert report.val_balanced_accuracy == pytest.approx(report.val_accuracy)
        accuracies[weighted] = [report.loss for report in reports]
    assert accuracies[False] != accuracies[True]


def test_epochs_between_evaluations_cost_none_and_change_nothing(dataset, monkeypatch):
    from archsearch.training import fit

    job = job_for(dataset, vgg_like(), epochs=5)
    every, reports = trained(job)
    calls = []
    original = fit.evaluate
    monkeypatch.setattr(
        fit,
        "evaluate",
        lambda steps, split, *rest, **more: calls.append(1) or original(steps, split),
    )
    third, seldom = trained(replace(job, val_every=3))
    assert [report.epoch for report in seldom] == [1, 2, 3, 4, 5]
    assert [r.epoch for r in seldom if r.val_accuracy is not None] == [1, 3, 5]
    assert len(calls) == 3
    assert third.val_accuracy == every.val_accuracy
    assert [r.loss for r in seldom] == [r.loss for r in reports]
    # One that is stopped in between says what it was worth when that was last looked at.
    stopped, seen = trained(replace(job, val_every=3), lambda report: report.epoch < 4)
    assert (stopped.status, stopped.epochs) == ("pruned", 4)
    assert stopped.val_accuracy == seen[2].val_accuracy is not None


def test_a_first_step_that_compiles_counts_as_long_as_the_others(dataset, monkeypatch):
    from archsearch.training import fit

    class Clock:
        """Time passes in steps only."""

        now = 0.0

        def perf_counter(self):
            return self.now

    class Compiling:
        device = ""
        steps = 0

        def hold(self, split, policy):
            return None

        def train(self, images, labels, rates):
            self.steps += 1
            clock.now += 0.6 if self.steps == 1 else 0.005
            return np.zeros(2)

        def read(self, results):
            return np.sum(results, axis=0)

    clock = Clock()
    monkeypatch.setattr(fit, "time", clock)
    monkeypatch.setattr(fit, "make_steps", lambda name, task: Compiling())
    job = job_for(dataset, vgg_like())
    with fit.train_steps(job, load(dataset)) as (_, take):
        assert take(6) == pytest.approx(0.03)
        assert take(6) == pytest.approx(0.03)


def test_a_network_of_kernels_alone_trains(dataset):
    net = Tracer("kernels", (16, 16, 1))
    x = net.relu(net.conv(net.input, 8, kernel=3, bias=False))
    graph = net.finish(net.dense(net.global_avg_pool(x), 5, bias=False))
    outcome, reports = trained(job_for(dataset, graph, epochs=3))
    assert outcome.status == "complete", outcome.reason
    assert reports[-1].loss < reports[0].loss


VIEWS = Recipe(
    batch=16, scale=(1.0, 1.2), randaugment=2, cutout=0.25, pca_colour=0.1, mixup=0.4, cutmix=1.0,
    mixed=0.7, ema=0.9,
)  # fmt: skip


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])  # each draws by itself
def test_a_training_with_mixed_images_goes_on_as_if_undisturbed(backend, colour_dataset, tmp_path):
    pytest.importorskip(backend)
    job = job_for(
        colour_dataset, resnext_like(), epochs=3, recipe=VIEWS, test=True, backend=backend,
        weights=str(tmp_path / "whole.npz"),
    )  # fmt: skip
    whole, reports = trained(job)
    assert whole.status == "complete", whole.reason
    assert all(0 < report.accuracy < 1 for report in reports)
    cut = replace(job, checkpoint=str(tmp_path / "point"), weights=str(tmp_path / "cut.npz"))
    assert trained(cut, lambda report: report.epoch < 2)[0].status == "pruned"
    ended, told = trained(cut)
    assert [report.epoch for report in told] == [2, 3] or len(told) == 3
    assert told[-1].loss == reports[-1].loss
    assert (ended.test_loss, ended.test_accuracy) == (whole.test_loss, whole.test_accuracy)
    weights = [load_weights(tmp_path / name) for name in ("whole.npz", "cut.npz")]
    for key, value in weights[0].items():
        np.testing.assert_array_equal(weights[1][key], value, err_msg=key)


@pytest.mark.parametrize("mirror", [True, False])
def test_only_the_test_is_over_ten_crops_and_probabilities_are_averaged(
    mirror, colour_dataset, monkeypatch
):
    from archsearch.training import evaluation, fit

    data = replace(load(colour_dataset), mirror=mirror)
    monkeypatch.setattr(fit, "load", lambda folder: data)
    kept, seen = [], []
    original = fit.make_steps
    monkeypatch.setattr(fit, "make_steps", lambda *given: kept.append(original(*given)) or kept[-1])
    crops = evaluation.ten_crops
    monkeypatch.setattr(
        evaluation,
        "ten_crops",
        lambda images, mirror: [
            seen.append(view.shape) or view for view in crops(images, mirror=mirror)
        ],
    )
    recipe = replace(RECIPE, test_crops=10)
    job = job_for(colour_dataset, resnext_like(), epochs=1, recipe=recipe, test=True)
    outcome, _ = trained(job)
    assert outcome.status == "complete", outcome.reason
    assert seen == [(40, 16, 16, 3)] * (10 if mirror else 5)
    images, labels = np.asarray(data.test.images), data.test.labels
    mean = np.mean([kept[0].probabilities(view) for view in crops(images, mirror=mirror)], axis=0)
    assert outcome.test_accuracy == pytest.approx(np.mean(mean.argmax(1) == labels))
    picked = mean[np.arange(len(labels)), labels]
    assert outcome.test_loss == pytest.approx(-np.log(picked).mean(), rel=1e-5)


def test_validation_images_that_are_trained_on_are_not_looked_at_and_the_test_images_once(
    dataset, monkeypatch
):
    from archsearch.training import fit

    data, looked = load(dataset), []
    whole = fit.evaluate

    def watched(steps, split, *rest, **more):
        looked.append(split.labels.tolist())
        return whole(steps, split, *rest, **more)

    monkeypatch.setattr(fit, "evaluate", watched)
    seen = set()
    steps = fit.make_steps

    def counting(backend, task):
        made = steps(backend, task)
        train = made.train

        def step(images, labels, rates):
            seen.add(len(labels))
            return train(images, labels, rates)

        made.train = step
        return made

    monkeypatch.setattr(fit, "make_steps", counting)
    job = job_for(dataset, vgg_like(), test=True, train_on="train+val")
    outcome, reports = trained(replace(job, images=3 * (96 + 40)))
    assert looked == [data.test.labels.tolist()]
    assert (outcome.status, outcome.epochs, outcome.val_accuracy) == ("complete", 3, None)
    assert outcome.test_accuracy is not None
    assert all(report.val_accuracy is None for report in reports)
    assert outcome.images == round(3 * 136 / 16) * 16


@pytest.mark.parametrize(("epochs", "whole", "rate"), [(3, 180.0, 0.5 / 60), (3, None, 0.5)])
def test_dropout_follows_the_length_of_the_training(epochs, whole, rate, dataset, monkeypatch):
    from archsearch.training import fit

    net = Tracer("dropping", (16, 16, 1))
    graph = net.finish(net.dense(net.dropout(net.flatten(net.input), 0.5), 5))
    tasks, original = [], fit.make_steps
    monkeypatch.setattr(
        fit, "make_steps", lambda backend, task: tasks.append(task) or original(backend, task)
    )
    recipe = replace(RECIPE, dropout_epochs=whole)
    trained(job_for(dataset, graph, epochs=epochs, recipe=recipe))
    (found,) = (node.op.rate for node in tasks[0].graph if node.op.kind == "dropout")
    assert found == pytest.approx(rate)


def test_a_fold_is_another_split_and_the_same_each_time(dataset, monkeypatch):
    from archsearch.training import fit

    seen = []

    def looking(steps, split, *rest, **more):
        seen.append((len(split), split.images.tobytes()))
        return 1.0, 0.5, 0.5

    monkeypatch.setattr(fit, "evaluate", looking)
    for fold in (0, 1, 1):
        trained(job_for(dataset, vgg_like(), epochs=1, fold=fold))
    first, other, again = seen
    assert first[0] == other[0] == len(load(dataset).val)
    assert first[1] == load(dataset).val.images.tobytes()
    assert other == again != first
