import json

import pytest

from archsearch.tracking.saved_view import saved_view, study_url


def test_the_view_shows_figures_and_knobs_of_networks_best_first() -> None:
    view = json.loads(saved_view(["cardinality"], 1000))
    assert (view["name"], view["createdAt"]) == ("archsearch", 1000)
    state = json.loads(view["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val_accuracy`", False)
    assert state["searchFilter"] == "tags.level = 'network'"
    shown = set(state["selectedColumns"])
    assert {"metrics.`flops`", "metrics.`params`", "tags.`role`", "params.`cardinality`"} <= shown
    assert shown <= set(state["columnOrder"])


@pytest.mark.parametrize("networks", [False, True])
def test_the_winner_comes_first_once_there_is_one(networks: bool) -> None:
    state = json.loads(json.loads(saved_view([], 1, networks=networks, ranked=True))["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`place`", True)
    assert bool(state["searchFilter"]) == networks


def test_addresses() -> None:
    assert study_url("http://h:1/", "7").startswith("http://h:1/#/experiments/7/runs?viewState")
