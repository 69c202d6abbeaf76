"""Every format holds an ensemble in several views: one model, which answers as the network does."""

import numpy as np
import pytest

from archsearch.ensembles.averaged import averaged
from archsearch.ensembles.views import viewing, views_of
from archsearch.exchange.export import trained_probabilities
from archsearch.exchange.formats.format import file_name
from archsearch.exchange.formats.registry import load_formats
from archsearch.testing.format_case import FormatCase
from tests.networks import resnext_like

pytestmark = [pytest.mark.keras, pytest.mark.slow]


class Viewed(FormatCase):
    def network(self):
        graph = resnext_like()
        views = views_of((0.75, 1), mirror=True)
        return averaged([viewing(graph, view) for view in views], "views")


@pytest.fixture(scope="module")
def trained():
    return Viewed().example()


@pytest.mark.parametrize("name", list(load_formats()))
def test_an_ensemble_in_views(name, trained, tmp_path):
    form = load_formats()[name]
    out = tmp_path / file_name(form)
    form.write(trained, out)
    images = trained.sample[:8]
    wanted = trained_probabilities(trained, images)
    np.testing.assert_allclose(form.call(out, images), wanted, atol=1e-4 if form.exact else 0.15)
