"""The winner's answers to the test images come from a process of its own, and are the network's."""

from dataclasses import replace

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.errors import ArchsearchError
from archsearch.exchange import answers
from archsearch.exchange.answers import AnswersRequest, ask
from archsearch.ir.codec import to_json
from archsearch.training.weights import get_weights, save_weights
from tests.networks import resnext_like


@pytest.mark.keras
@pytest.mark.slow
def test_every_test_image_is_answered_as_keras_does(colour_dataset, tmp_path, monkeypatch):
    from archsearch.training.lowering.keras_model import build_model

    graph = resnext_like()
    model = build_model(graph, lowering="train")
    weights = tmp_path / "w.npz"
    save_weights(get_weights(model, graph), weights)
    data = load(colour_dataset)
    request = AnswersRequest(
        graph=to_json(graph), weights=str(weights), dataset=str(colour_dataset)
    )
    [(asked, found)] = ask([request])
    assert asked.tolist() == list(range(len(data.test)))
    x = (data.test.images - np.float32(data.mean)) / np.float32(data.std)
    powers = np.exp(np.asarray(model(x, training=False), np.float64))
    assert found.shape == (len(data.test), len(data.classes))
    np.testing.assert_allclose(found, powers / powers.sum(1, keepdims=True), atol=1e-4)

    monkeypatch.setattr(answers, "MOST", 3)  # in this process: what the other one does in its own
    assert answers._answers(request)[0].tolist() == [
        0,
        (len(data.test) - 1) // 2,
        len(data.test) - 1,
    ]

    with pytest.raises(ArchsearchError, match=r"gone\.npz"):
        ask([replace(request, weights=str(tmp_path / "gone.npz"))])
