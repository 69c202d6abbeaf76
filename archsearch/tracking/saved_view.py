"""The columns of a study's runs in MLflow's page: a saved view, opened by the page's address.

Left alone, the page lists the parent run, folded, without a single figure. MLflow keeps saved views
as tags of the experiment (its "Views" menu), so the tracker saves one with every study.
"""

import json
from collections.abc import Iterable

KEY = "archsearch"
TAG = f"mlflow.sharedViewState.{KEY}"

# The page's own names of the columns it always shows, in its order.
_FIXED = ("attributes.`Run Name`", "runDateAndNestInfo", "duration")
_TAGS = ("role", "status")
_METRICS = (
    "val_accuracy",
    "test_accuracy",
    "flops",
    "latency_ms",
    "params",
    "fill",
    "activation_bytes",
    "images_per_s",
    "spent_flops",
    "val_loss",
)
_WIDTHS_PX = {
    "attributes.`Run Name`": 300,
    "runDateAndNestInfo": 130,
    "tags.`role`": 90,
    "tags.`status`": 90,
    "metrics.`val_accuracy`": 110,
    "metrics.`test_accuracy`": 115,
    "metrics.`flops`": 95,
    "metrics.`latency_ms`": 95,
    "metrics.`params`": 85,
    "metrics.`fill`": 85,
    "metrics.`activation_bytes`": 125,
    "metrics.`images_per_s`": 110,
    "metrics.`spent_flops`": 130,
}


def saved_view(knobs: Iterable[str], at_ms: int) -> str:
    """Write the view of a study: best validation accuracy first, with costs, knobs and roles.

    Args:
        knobs: names of the params to show.
        at_ms: when it is saved.

    Returns:
        The value of the experiment's tag `TAG`.
    """
    columns = [f"tags.`{name}`" for name in _TAGS]
    columns += [f"metrics.`{name}`" for name in _METRICS]
    columns += [f"params.`{name}`" for name in knobs]
    state = {
        # Any order but the default one lists trials beside one another, not folded away.
        "orderByKey": "metrics.`val_accuracy`",
        "orderByAsc": False,
        "searchFilter": "",
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": columns,
        "columnOrder": [*_FIXED, *columns],
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
