"""Optuna Dashboard on a study's storage: what its users see, over its HTTP API."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

from archsearch.archive.leaderboard import StudyResult
from tests.small_study import NAME, Small

pytestmark = pytest.mark.skipif(
    find_spec("optuna_dashboard") is None, reason="optuna-dashboard is not installed"
)
Get = Callable[[str], Any]


class Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, StudyResult]:
    home = tmp_path_factory.mktemp("home")
    return home, Small(home).run(trials=5)


@pytest.fixture(scope="module")
def get(result: tuple[Path, StudyResult]) -> Iterator[Get]:
    from optuna.storages import RDBStorage
    from optuna_dashboard import wsgi

    storage = RDBStorage(f"sqlite:///{result[0] / 'optuna.db'}")
    server = make_server("127.0.0.1", 0, wsgi(storage), handler_class=Silent)
    threading.Thread(target=server.serve_forever).start()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(path: str) -> Any:
        with opener.open(f"http://127.0.0.1:{server.server_port}/api/{path}", timeout=60) as answer:
            return json.load(answer)

    yield ask
    server.shutdown()
    server.server_close()
    storage.engine.dispose()


def test_a_study_is_listed_and_its_trials_have_names_values_and_curves(
    get: Get, result: tuple[Path, StudyResult]
) -> None:
    [summary] = get("studies")["study_summaries"]
    assert (summary["study_name"], summary["directions"]) == (NAME, ["maximize"])
    study = get(f"studies/{summary['study_id']}?after=0")
    assert study["objective_names"] == ["val_accuracy"]
    rows = {row.name: row for row in result[1].rows if row.name.startswith("trial")}
    assert len(study["trials"]) == len(rows) > 1
    for trial in study["trials"]:
        said = {one["key"]: one["value"] for one in trial["user_attrs"]}
        row = rows[f"trial-{trial['number']:04d}"]
        assert json.loads(f'"{said["label"]}"') == row.label
        assert trial["values"] == [pytest.approx(row.val_accuracy)]
        assert [point["step"] for point in trial["intermediate_values"]] == list(
            range(1, row.epochs + 1)
        )
        knobs = {one["name"]: one["param_external_value"] for one in trial["params"]}
        assert knobs == {name: str(value) for name, value in row.knobs.items()}


def test_it_says_which_knobs_matter(get: Get) -> None:
    [summary] = get("studies")["study_summaries"]
    address = f"studies/{summary['study_id']}/param_importances?evaluator=ped-anova"
    [found] = get(address)["param_importances"]
    assert sum(one["importance"] for one in found) == pytest.approx(1.0)
    knobs = {
        one["name"] for one in get(f"studies/{summary['study_id']}?after=0")["union_search_space"]
    }
    assert {one["name"] for one in found} <= knobs
