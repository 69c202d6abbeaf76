"""MLflow's page in a real browser: what a person sees of a study, in one server for all."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import browser
import numpy as np
import pytest
from believable import BEST, DIGITS, tell_study

from archsearch.report.page.assemble import assemble
from archsearch.report.page.html import html
from archsearch.tracking.connect import open_client, store_uri
from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.records import ModelRecord
from archsearch.tracking.registry.versions import registered_name
from archsearch.tracking.saved_view import study_url
from archsearch.tracking.server import start_ui
from tests.report.page.made import material

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-")
STUDY = "it's a/study"


@dataclass(frozen=True)
class Served:
    """A study on MLflow's page."""

    base: str
    experiment: str
    run: str

    @property
    def view(self) -> str:
        return study_url(self.base, self.experiment)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    shutil.copy(empty_store, home / "mlflow.db")
    (home / "saved_model").mkdir()
    (home / "saved_model" / "saved_model.pb").write_bytes(b"-")
    report = html(assemble([material()]), written=datetime(2026, 1, 2, 3, 4))
    with MlflowTracker(home) as tracker:
        tell_study(tracker, STUDY, report=report, model=_model(home / "saved_model"))
        assert tracker.close(600) is None
        experiment = tracker.experiment_id
    client = open_client(store_uri(home))
    [run] = client.search_runs([experiment], filter_string="tags.level = 'study'")
    with start_ui(home, port=0) as server:
        yield Served(server.url, experiment, run.info.run_id)


def _model(folder: Path) -> ModelRecord:
    height, width, channels = DIGITS.input
    example = np.full((1, height, width, channels), 7, np.uint8)
    names = tuple(map(str, range(DIGITS.classes)))
    return ModelRecord(
        training=BEST, folder=folder, input=DIGITS.input, classes=names, example=example
    )


def _networks(page: browser.Page) -> list[str]:
    """Wait for the list of networks, the winner first."""
    return page.until("networks", lambda: (n := page.names()) and n[0].startswith("★") and n)


@pytest.fixture(scope="module")
def page() -> Iterator[browser.Page]:
    with browser.browser(width=1400, height=900, chat=True) as page:
        yield page


def test_the_winner_and_its_accuracy_are_in_sight_of_a_small_window(
    served: Served, page: browser.Page
) -> None:
    page.driver.get(served.view)
    names = _networks(page)
    page.until("MLflow's chat", lambda: "MLflow Assistant" in page.text())
    assert len(names) == 10  # a row a network, not a training
    assert "published resnet20_cifar · 40.8M" in names
    shown = page.columns()
    assert shown.index("val_accuracy") < shown.index("role") < len(shown)
    right = page.script(
        """const grid = document.querySelector('.ag-root').getBoundingClientRect();
           const cell = [...document.querySelectorAll('.ag-header-cell')].find(
             cell => cell.innerText.trim() === 'val_accuracy').getBoundingClientRect();
           return grid.right - cell.right"""
    )
    assert right >= 0
    roles = page.script(
        """return [...document.querySelectorAll('.ag-row')]
             .sort((a, b) => a.getAttribute('row-index') - b.getAttribute('row-index'))
             .map(row => row.querySelector("[col-id*='role']")?.innerText).filter(role => role)"""
    )
    assert roles[0] == "winner"
    assert set(roles) <= {"winner", "candidate", "published"}


def test_networks_are_compared(served: Served, page: browser.Page) -> None:
    page.driver.set_window_size(2600, 1300)
    page.driver.get(served.view)
    names = _networks(page)
    wanted = ["val_accuracy", "test_accuracy", "role", "flops", "params", "fill"]
    page.until("columns", lambda: [c for c in page.columns() if c in wanted] == wanted)
    chosen = [names[0], "published resnet20_cifar · 40.8M", names[1]]
    page.select(chosen)
    text = page.compare()
    assert "Comparing 3 Runs from 1 Experiment" in text
    for name in chosen:
        assert name in text
    for figure in ("40813184", "272474", "val_accuracy_sd"):
        assert figure in text, figure
    # The first plots say what differs: FLOPs are equal by construction.
    assert page.until("coordinates", lambda: page.axes("parcoords"))[-1] == "val_accuracy"
    page.tab("Scatter Plot")
    across, up = page.until("scatter", lambda: page.axes("scatter"))
    assert (across, up) == ("cardinality", "expected_accuracy")


def test_a_study_unfolds_into_networks_and_these_into_trainings(
    served: Served, page: browser.Page
) -> None:
    page.driver.get(f"{served.base}/#/experiments/{served.experiment}/runs")
    page.until("study alone", lambda: page.names() == [STUDY])
    page.unfold(STUDY)
    names = page.until("networks", lambda: len(n := page.names()) == 11 and n)
    [winner] = [name for name in names if name.startswith("★")]
    page.unfold(winner)
    names = page.until("trainings", lambda: len(n := page.names()) == 14 and n)
    assert sum(name.startswith("final") for name in names) == 2


def test_the_reports_scripts_run_where_mlflow_shows_it(served: Served, page: browser.Page) -> None:
    page.driver.get(
        f"{served.base}/#/experiments/{served.experiment}/runs/{served.run}/artifacts/report.html"
    )
    frame = page.until("frame", lambda: page.driver.find_elements("css selector", "iframe"))[0]
    page.driver.switch_to.frame(frame)
    page.until("charts", lambda: page.script("return document.documentElement.dataset.drawn"))
    page.driver.switch_to.default_content()


def test_the_winners_version_has_its_alias_and_schema_and_leads_to_its_training(
    served: Served, page: browser.Page
) -> None:
    page.driver.get(f"{served.base}/#/models/{registered_name(STUDY)}/versions/1")
    text = page.until("schema", lambda: "Outputs (3)" in (text := page.text()) and text)
    assert "champion" in text
    assert "Inputs (1)" in text
    assert "seed 2" in text
