import numpy as np
import pytest

from archsearch.errors import ArchsearchError
from archsearch.training.weights import load_weights, save_weights, set_weights


def test_what_is_written_is_read(tmp_path):
    weights = {"stage1.conv1:0": np.ones((3, 3, 1, 2), "float32"), "file:0": np.zeros(2)}
    save_weights(weights, tmp_path / "new" / "w.npz")
    back = load_weights(tmp_path / "new" / "w.npz")
    assert back.keys() == weights.keys()
    np.testing.assert_array_equal(back["stage1.conv1:0"], weights["stage1.conv1:0"])


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "w.npz"
    path.write_bytes(b"PK\x03\x04 no")
    with pytest.raises(ArchsearchError, match=r"w\.npz is no readable file of weights"):
        load_weights(path)
    with pytest.raises(ArchsearchError, match="missing"):
        load_weights(tmp_path / "missing.npz")


@pytest.mark.keras
def test_another_networks_weights_are_refused():
    from archsearch.training.lowering.keras_model import build_model
    from tests.networks import vgg_like

    graph = vgg_like()
    model = build_model(graph, lowering="plain")
    with pytest.raises(ArchsearchError, match="conv1:0 is missing, wanted shape"):
        set_weights(model, graph, {})
