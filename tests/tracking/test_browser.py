"""MLflow's page in a real browser: what a person sees of a study."""

from pathlib import Path

import browser
import pytest
from believable import tell_study

from archsearch.tracking.mlflow_tracker import MlflowTracker
from archsearch.tracking.saved_view import study_url
from archsearch.tracking.server import start_ui

pytestmark = pytest.mark.skipif(bool(browser.missing()), reason=browser.missing() or "-")


def test_runs_are_listed_and_compared(home: Path, tmp_path: Path) -> None:
    with MlflowTracker(home) as tracker:
        tell_study(tracker, "it's a/study")
        assert tracker.flush(120)
        experiment = tracker.experiment_id
    with start_ui(home, port=0) as server, browser.browser(width=2600) as page:
        names = page.open_runs(study_url(server.url, experiment))
        assert len(names) == 14
        assert names[-1] == "it's a/study"  # the parent run has no accuracy of its own
        assert "baseline resnet20_cifar · 40.8M" in names
        columns = page.columns()
        wanted = ["role", "status", "val_accuracy", "test_accuracy", "flops", "params", "fill"]
        assert [column for column in columns if column in wanted] == wanted
        assert {"cardinality", "depth_1"} <= set(columns)
        page.shoot(tmp_path / "runs.png")

        chosen = [names[0], "baseline resnet20_cifar · 40.8M", "resnext 1-1-3 G16 · 19.7M"]
        page.select(chosen)
        text = page.compare()
        assert "Comparing 3 Runs from 1 Experiment" in text
        for name in chosen:
            assert name in text
        # The names of metrics and their figures are two tables beside one another.
        for figure in ("flops", "params", "val_accuracy", "40813184", "272474", "0.918"):
            assert figure in text, figure
        page.shoot(tmp_path / "compare.png")
        assert (tmp_path / "compare.png").stat().st_size > 20_000
