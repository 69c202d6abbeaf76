"""What a tracker is told of a study's networks: costs, accuracies over all trainings, their place."""

from collections.abc import Iterator, Mapping
from typing import Final

from archsearch.archive.leaderboard import Row, StudyResult
from archsearch.archive.orders import Order
from archsearch.tracking.records import NetworkRecord, NetworkStatus
from archsearch.tracking.run_names import run_name
from archsearch.units import budget_text

ENDED: Final[Mapping[str, NetworkStatus]] = {
    "complete": "complete",
    "pruned": "pruned",
    "failed": "failed",
}
"""A network's status by that of its training; any other has been interrupted."""


def network_record(
    row: Row,
    *,
    tags: Mapping[str, str],
    status: NetworkStatus = "running",
    place: int | None = None,
    artifacts: Mapping[str, str | bytes] | None = None,
) -> NetworkRecord:
    """Return what is told of a network.

    Args:
        row: what is known of it.
        tags: of every run of its study.
        status: how it stands.
        place: its place in the study, the winner's is 1; None: the study has not ended.
        artifacts: files of its run.
    """
    mark = "★ " if row.winner else f"{row.origin} " if row.role == "baseline" else ""
    return NetworkRecord(
        key=row.name,
        label=mark + run_name(row.label, flops=row.flops),
        role=row.part,
        status=status,
        knobs=row.knobs,
        metrics=_figures(row, place),
        tags={**tags, **network_tags(row)},
        artifacts={} if artifacts is None else artifacts,
    )


def of_order(order: Order) -> Row:
    """Return what is known of a network before its trainings end."""
    design = order.design
    return Row(
        name=design.name,
        label=design.label,
        role=design.role,
        origin=design.origin,
        knobs=order.knobs if order.key.purpose != "final" else {},
        flops=design.flops,
        fill=design.fill,
        params=design.params,
        activation_bytes=design.activation_bytes,
        status="running",
        findings=design.findings,
        obeys=design.obeys,
        bound_by="" if design.latency_fit is None else design.latency_fit.bound_by,
        budget=design.budget,
        graph=design.graph,
    )


def network_records(result: StudyResult, tags: Mapping[str, str]) -> Iterator[NetworkRecord]:
    """Yield every network that has trained, the winner first, then as the leaderboard has them."""
    rows = [row for row in result.rows if row.trainings]
    rows.sort(key=lambda row: not row.winner)
    for place, row in enumerate(rows, start=1):
        status = ENDED.get(row.status, "interrupted")
        yield network_record(row, tags=tags, status=status, place=place)


def network_tags(row: Row) -> dict[str, str]:
    """Return a network's tags: what it is and which rules it departs from."""
    found = {"origin": row.origin, "graph": row.graph}
    if row.budget is not None:
        found["slice"] = budget_text(row.budget)
    if row.findings:
        found["rules_broken"] = ", ".join(sorted({finding.rule for finding in row.findings}))
    if row.obeys:
        found["obeys_freed"] = ", ".join(row.obeys)
    if row.bound_by:
        found["bound_by"] = row.bound_by
    if row.stalled:
        found["stalled"] = "yes"
    return found


def _figures(row: Row, place: int | None) -> dict[str, float]:
    """Return a network's figures, its accuracy first; none before it has any.

    MLflow's compare page takes the first metric that was kept for its first axis, and another one by the
    alphabet: so costs, which are equal by construction, come with the first accuracy and not before, and
    no figure's name is before `expected_accuracy`.
    """
    found: dict[str, float | None] = {}
    searched = None if row.stalled or row.final_val else row.val_accuracy
    for name, score in (("val_accuracy", row.final_val), ("test_accuracy", row.test)):
        if score is not None and not row.stalled:
            found |= {name: score.mean, f"{name}_sd": score.sd, f"{name}_n": score.n}
    if searched is not None:
        found |= {"val_accuracy": searched, "val_accuracy_n": 1}
    if not found and place is None:
        return {}
    found |= {"expected_accuracy": None if row.stalled else row.expected, "place": place}
    found |= {"flops": row.flops, "params": row.params, "fill": row.fill}
    found |= {"latency_ms": row.latency_ms, "trainings": row.trainings or None}
    found["spent_flops"] = row.train_flops or None
    if row.findings is not None:
        found["findings"] = len(row.findings)
    return {name: float(value) for name, value in found.items() if value is not None}
