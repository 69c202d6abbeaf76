"""The columns of a study's runs in MLflow's page: a saved view, opened by the page's address.

Left alone, the page lists the parent run, folded, without a single figure. MLflow keeps saved views
as tags of the experiment (its "Views" menu), so the tracker saves one with every study: a row a network.
"""

import json
from collections.abc import Iterable

from archsearch.tracking.runs import LEVEL

KEY = "archsearch"
TAG = f"mlflow.sharedViewState.{KEY}"

# The page's own names of the columns it always shows, in its order.
_FIRST, _LAST = ("attributes.`Run Name`",), ("runDateAndNestInfo", "duration")
# What people look for stands where a narrow window, with MLflow's chat open in it, still shows it.
_COLUMNS = (
    "metrics.`val_accuracy`",
    "metrics.`test_accuracy`",
    "tags.`role`",
    "metrics.`flops`",
    "metrics.`params`",
    "metrics.`fill`",
    "metrics.`latency_ms`",
    "metrics.`val_accuracy_sd`",
    "metrics.`test_accuracy_sd`",
    "metrics.`test_accuracy_n`",
    "tags.`status`",
    "metrics.`trainings`",
    "metrics.`spent_flops`",
)
_WIDTHS_PX = {
    "attributes.`Run Name`": 240,
    "metrics.`val_accuracy`": 105,
    "metrics.`test_accuracy`": 105,
    "tags.`role`": 90,
    "metrics.`flops`": 95,
    "metrics.`params`": 85,
    "metrics.`fill`": 80,
    "metrics.`latency_ms`": 95,
    "metrics.`val_accuracy_sd`": 125,
    "metrics.`test_accuracy_sd`": 125,
    "metrics.`test_accuracy_n`": 120,
    "tags.`status`": 90,
    "metrics.`trainings`": 90,
    "metrics.`spent_flops`": 120,
    "runDateAndNestInfo": 130,
}
"""Of columns; what is not here has the page's own width."""


def saved_view(
    knobs: Iterable[str], at_ms: int, *, networks: bool = True, ranked: bool = False
) -> str:
    """Write the view of a study: its accuracies, costs, roles and knobs.

    Args:
        knobs: names of the params to show.
        at_ms: when it is saved.
        networks: whether to list a row a network; else every run of the study.
        ranked: whether to list them by `place`, the winner first, in place of validation accuracy.

    Returns:
        The value of the experiment's tag `TAG`.
    """
    columns = [*_COLUMNS, *(f"params.`{name}`" for name in knobs)]
    state = {
        # Any order but the default one lists runs beside one another, not folded away.
        "orderByKey": "metrics.`place`" if ranked else "metrics.`val_accuracy`",
        "orderByAsc": ranked,
        "searchFilter": f"tags.{LEVEL} = 'network'" if networks else "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": [*_FIRST, *columns, *_LAST],
        "columnWidths": _WIDTHS_PX,
    }
    view = {"name": KEY, "createdAt": at_ms, "updatedAt": at_ms, "state": json.dumps(state)}
    return json.dumps(view)


def study_url(base: str, experiment_id: str) -> str:
    """Return the address of a study's runs, in its saved view, on a server at `base`."""
    return (
        f"{base.rstrip('/')}/#/experiments/{experiment_id}/runs"
        f"?viewStateShareKey={KEY}&workflowType=machine_learning"
    )
