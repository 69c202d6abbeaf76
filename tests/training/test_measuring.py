import pytest

from archsearch.ir.codec import to_json
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import Job
from tests.networks import vgg_like

pytestmark = pytest.mark.keras


@pytest.mark.parametrize("first_step_flops", [24_000_000_000, 1])
def test_the_pace_is_measured_in_about_the_time_asked_for(dataset, monkeypatch, first_step_flops):
    from archsearch.training import measuring as pace

    # A step so large that it starts with one image, then finds the whole batch affordable.
    monkeypatch.setattr(pace, "FIRST_STEP_FLOPS", first_step_flops)
    job = Job(
        key="pace-1",
        graph=to_json(vgg_like()),
        dataset=str(dataset),
        recipe=Recipe(batch=16),
        images=1,
        seed=0,
        measure_s=0.3,
    )
    outcome = pace.measure(job)
    assert (outcome.key, outcome.status, outcome.val_accuracy) == ("pace-1", "complete", None)
    assert outcome.train_s >= 0.3
    assert outcome.start_s > 0
    assert outcome.images_per_s > 0
    assert outcome.evaluated_per_s > 0
    assert outcome.total_s >= outcome.start_s + outcome.train_s
