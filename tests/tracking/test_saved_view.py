import json

from archsearch.tracking.saved_view import saved_view, study_url


def test_the_view_shows_figures_and_knobs_best_first() -> None:
    view = json.loads(saved_view(["cardinality"], 1000))
    assert (view["name"], view["createdAt"]) == ("archsearch", 1000)
    state = json.loads(view["state"])
    assert state["orderByKey"] == "metrics.`val_accuracy`"
    shown = set(state["selectedColumns"])
    assert {"metrics.`flops`", "metrics.`params`", "tags.`role`", "params.`cardinality`"} <= shown
    assert shown <= set(state["columnOrder"])


def test_addresses() -> None:
    assert study_url("http://h:1/", "7").startswith("http://h:1/#/experiments/7/runs?viewState")
