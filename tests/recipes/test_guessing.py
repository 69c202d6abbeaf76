"""What guessing comes to, held against scikit-learn's and PyTorch's figures of the same answers."""

import math

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, log_loss

from archsearch.data.balance import class_weights
from archsearch.recipes.guessing import guess


@pytest.mark.parametrize("counts", [(50, 50), (90, 10), (5, 0, 5, 70), (10,) * 10])
def test_it_is_the_classifier_that_knows_the_classes_shares(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    dummy = DummyClassifier(strategy="prior").fit(np.zeros((len(labels), 1)), labels)
    answers = dummy.predict_proba(np.zeros((len(labels), 1)))
    found = guess(counts)
    assert found.loss == pytest.approx(log_loss(labels, answers, labels=dummy.classes_))
    right = accuracy_score(labels, dummy.predict(np.zeros((len(labels), 1))))
    assert right < found.accuracy < right + 2.1 / math.sqrt(len(labels))
    assert found.least == 0


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_no_other_answer_has_less_of_the_loss_that_is_trained(smoothing, weighed):
    torch = pytest.importorskip("torch")
    from archsearch.training.backends.torch_loss import Loss

    counts = (60, 25, 10, 5)
    labels = np.repeat(np.arange(4), counts)
    weights = class_weights(labels, 4) if weighed else None
    loss = Loss(smoothing, weights, torch.device("cpu"))
    targets = torch.from_numpy(labels)

    def of(logits) -> float:
        return float(loss(torch.as_tensor(logits).expand(100, 4), targets, torch.tensor(1.0)))

    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    learner = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10)

    def closure():
        learner.zero_grad()
        value = loss(logits.expand(100, 4), targets, torch.tensor(1.0))
        value.backward()
        return value

    learner.step(closure)
    found = guess(counts, smoothing=smoothing, weights=weights)
    assert found.loss == pytest.approx(of(logits.detach()), abs=1e-5)
    sure = torch.full((4, 4), -30.0 if not smoothing else math.log(smoothing / 4)).double()
    sure.fill_diagonal_(math.log(1 - smoothing + smoothing / 4))
    least = float(loss(sure[targets], targets, torch.tensor(1.0)))
    assert found.least == pytest.approx(least, abs=1e-5)
    assert found.least < found.loss


@pytest.mark.parametrize(
    ("loss", "accuracy", "learnt"),
    [
        (2.3026, 0.10, False),
        (2.31, 0.09, False),
        (2.285, 0.105, False),  # a hair below guessing: biases that fit the last batches
        (2.27, 0.10, True),
        (2.3026, 0.13, True),  # far more right than chance would bring to a guess
        (400.0, 0.6, True),
        (math.nan, 0.10, False),
        (math.inf, math.nan, False),
    ],
)
def test_a_loss_or_an_accuracy_shows_that_something_was_learnt(loss, accuracy, learnt):
    assert guess((100,) * 10).beaten_by(loss=loss, accuracy=accuracy) is learnt


def test_few_images_say_little():
    assert not guess((4,) * 10).beaten_by(loss=2.3026, accuracy=0.175)
    assert guess((4000,) * 10).beaten_by(loss=2.3026, accuracy=0.11)


def test_one_class_that_is_most_common_is_no_merit():
    most = guess((900, 50, 50))
    assert not most.beaten_by(loss=most.loss, accuracy=0.9)
    assert most.beaten_by(loss=0.8 * most.loss, accuracy=0.9)
