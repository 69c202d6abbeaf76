"""Passes what happens in a study on to the tracker."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from archsearch.archive.design import Design
from archsearch.archive.facts import DatasetFacts
from archsearch.archive.keys import JobKey
from archsearch.archive.leaderboard import StudyResult
from archsearch.archive.orders import Order
from archsearch.archive.study_folder import StudyFolder
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.readings.table import layers
from archsearch.settings import RunSettings
from archsearch.study.events import (
    EpochDone,
    Event,
    JobEnded,
    JobRecalled,
    JobStarted,
    LatencyFound,
)
from archsearch.study.telling.network_runs import ENDED, network_record, network_tags, of_order
from archsearch.tracking.records import (
    DatasetRecord,
    Ending,
    Files,
    NetworkStatus,
    Role,
    Tracker,
    TrialRecord,
    tell_whole,
)
from archsearch.tracking.run_names import run_name
from archsearch.training.job import EpochReport, Outcome
from archsearch.units import format_count, ms_text

HEADER: Final = ("design", "FLOPs", "params", "ms", "val", "test", "n")

_ENDING: Final = (
    "val_accuracy", "val_loss", "test_accuracy", "test_loss", "train_s", "total_s",
    "peak_rss_bytes", "epochs", "stalled", "rate_share",
)  # fmt: skip
_NO_CURVE: Final = ("epoch", "images", "before")


class TrackingObserver:
    """Tells a tracker of a study's trainings: a run each.

    Args:
        tracker: takes them down.
        folder: the study's files, where the networks are.
        tags: of every run.
        anew: whether trainings of an earlier process are told figure by figure, whatever the tracker has.
    """

    def __init__(
        self, tracker: Tracker, *, folder: StudyFolder, tags: Mapping[str, str], anew: bool = False
    ) -> None:
        self._tracker = tracker
        self._anew = anew
        self._folder = folder
        self._tags = dict(tags)
        self._known: set[JobKey] = set()
        self._open: Counter[str] = Counter()  # trainings of each network

    def __call__(self, event: Event) -> None:
        """Take note of what happened."""
        match event:
            case JobStarted():
                self._start(event.order)
            case EpochDone():
                self._epoch(event.report)
            case JobEnded():
                self._end(event.order, event.outcome)
                self._end_network(event.order, event.outcome)
            case JobRecalled():
                self._recall(event)
            case LatencyFound():
                for key in event.keys:
                    if key in self._known:
                        self._tracker.add_metrics(str(key), {"latency_ms": event.ms})
            case _:
                pass  # of no interest to a tracker

    def _start(self, order: Order) -> None:
        self._open[order.design.name] += 1
        self._tracker.start_trial(self._record(order, status="running"))

    def _recall(self, event: JobRecalled) -> None:
        """Tell of a training of an earlier process: its epochs, if the tracker asks for them."""
        order, outcome = event.order, event.outcome
        record = self._record(order, status=ENDED.get(outcome.status, "interrupted"))

        def epochs() -> list[tuple[int, Mapping[str, float]]]:
            return [_of_epoch(report) for report in event.reports()]

        tell = partial(tell_whole, self._tracker) if self._anew else self._tracker.recall
        tell(record, _ending(order, outcome), epochs)

    def _record(self, order: Order, *, status: NetworkStatus) -> TrialRecord:
        """Tell of a training's network, and return what is told of it itself as it begins."""
        self._known.add(order.key)
        design, role, files = order.design, role_of(order), self._artifacts(order.design)
        self._tracker.network(
            network_record(of_order(order), tags=self._tags, status=status, artifacts=files)
        )
        return TrialRecord(
            key=str(order.key),
            network=design.name,
            label=run_name(design.label, flops=design.flops, role=role, seed=order.key.seed),
            role=role,
            knobs=dict(order.knobs),
            metrics=_metrics(order),
            tags={**self._tags, **_tags(order)},
            artifacts=files,
        )

    def _end_network(self, order: Order, outcome: Outcome | None) -> None:
        """Tell what its network has come to: of the finals, which are told together, only that they end."""
        self._open[order.design.name] -= 1
        if self._open[order.design.name]:
            return
        row = of_order(order)
        if order.key.purpose != "final" and outcome is not None and not outcome.stalled:
            row = replace(row, val_accuracy=outcome.val_accuracy)
        status = ENDED.get("" if outcome is None else outcome.status, "interrupted")
        self._tracker.network(network_record(row, tags=self._tags, status=status))

    def _artifacts(self, design: Design) -> Files:
        def made() -> dict[str, str | bytes]:
            text = self._folder.read_graph(design.graph)
            return {"graph.json": text, "layers.csv": layers_csv(from_json(text))}

        return Files(("graph.json", "layers.csv"), made)

    def _epoch(self, report: EpochReport) -> None:
        self._tracker.epoch(report.key, *_of_epoch(report))

    def _end(self, order: Order, outcome: Outcome | None) -> None:
        interrupted = Ending(status="interrupted")
        ending = interrupted if outcome is None else _ending(order, outcome)
        self._tracker.end_trial(str(order.key), ending)


def _of_epoch(report: EpochReport) -> tuple[int, Mapping[str, float]]:
    # A second try goes on where the first one ended: both are the training's.
    return report.before + report.epoch, numbers(report, skip=_NO_CURVE)


def _ending(order: Order, outcome: Outcome) -> Ending:
    wanted = numbers(outcome)
    told = {
        "reason": outcome.reason,
        "stalled": "yes" if outcome.stalled else "",
        "microbatches": str(outcome.microbatches) if outcome.microbatches > 1 else "",
        "worker_lost": outcome.worker_lost,
    }
    return Ending(
        status=outcome.status,
        metrics={
            **{name: wanted[name] for name in _ENDING if name in wanted},
            # By epoch it is another figure, which ends its own curve.
            "mean_images_per_s": outcome.images_per_s,
            # What was planned, `train_flops`, is more where it was cut short.
            "spent_flops": order.design.training_flops(outcome.images),
        },
        tags={name: text for name, text in told.items() if text},
    )


def role_of(order: Order) -> Role:
    """Return the part a training's network plays: a retrained candidate is a finalist."""
    if order.design.role == "baseline":
        return "baseline"
    return "finalist" if order.key.purpose == "final" else "candidate"


def _metrics(order: Order) -> dict[str, float]:
    """Return what is known of a training before it begins."""
    design = order.design
    found: dict[str, float] = {
        "flops": design.flops,
        "params": design.params,
        "fill": design.fill,
        "activation_bytes": design.activation_bytes,
        "train_flops": order.flops,
    }
    if design.findings is not None:
        found["findings"] = len(design.findings)
    if design.latency_fit is not None and design.latency_fit.ms is not None:
        # A low quantile, while others trained.
        found["search_latency_ms"] = design.latency_fit.ms
    return found


def study_tags(settings: RunSettings) -> dict[str, str]:
    """Return what every run of a study is marked with."""
    tags = {"space": settings.space or "", "budget": settings.flops or ""}
    if settings.network is not None:
        tags |= {"network": Path(settings.network).name, "trained_on": settings.train_on}
    if freed := settings.relaxed():
        tags["freed"] = ", ".join(sorted(freed))
    return tags


def _tags(order: Order) -> dict[str, str]:
    found = {
        **network_tags(of_order(order)),
        "stage": order.key.purpose,
        "design": order.design.name,
    }
    if order.key.rung:
        found["rung"] = str(order.key.rung)
    return found


def layers_csv(graph: Graph) -> str:
    """Return the network's layer table as CSV, one line a layer."""
    lines = ["layer,kind,output,activation_bytes,params,flops,receptive_field_px"]
    for layer in layers(graph):
        shape = "x".join(map(str, layer.output))
        costs = f"{layer.activation_bytes},{layer.params},{layer.flops},{layer.receptive_field}"
        lines.append(f"{layer.name},{layer.kind},{shape},{costs}")
    return "\n".join(lines) + "\n"


def numbers(value: EpochReport | Outcome, *, skip: Iterable[str] = ()) -> dict[str, float]:
    """Return a report's figures by name: no texts, none that is missing."""
    every = ((name, getattr(value, name)) for name in value.__slots__)
    return {
        name: float(figure)
        for name, figure in every
        if isinstance(figure, int | float) and name not in skip
    }


# --- the study as a whole -----------------------------------------------------------------------------


def note_rows(result: StudyResult) -> list[list[str]]:
    """Return the leaderboard's cells under HEADER, for the description of the tracker's run."""
    cells = []
    for row in result.rows:
        if row.rank is None and not row.stalled:
            continue
        val = row.final_val.mean if row.final_val else row.val_accuracy
        test = None if row.stalled else row.test
        sd = f" ± {100 * test.sd:.1f}" if test and test.sd is not None else ""
        cells.append(
            [
                f"{row.label} ({row.origin})" if row.role == "baseline" else row.label,
                format_count(row.flops),
                format_count(row.params),
                ms_text(row.latency_ms),
                "stalled" if row.stalled else f"{100 * val:.1f} %" if val is not None else "",
                f"{100 * test.mean:.1f}{sd} %" if test else "",
                str(test.n) if test else "",
            ]
        )
    return cells


def study_metrics(result: StudyResult) -> dict[str, float]:
    """Return the figures of the whole study."""
    found = {"trials": float(len(result.rows)), "train_s": result.train_s, "wall_s": result.wall_s}
    spent = result.spending
    found |= {f"spent_rung{rung}_flops": float(flops) for rung, flops in enumerate(spent.search)}
    found |= {
        "spent_flops": float(spent.total),
        "spent_search_flops": float(sum(spent.search)),
        "spent_finals_flops": float(spent.finals),
        "spent_baselines_flops": float(spent.baselines),
        "spent_measuring_flops": float(spent.measuring),
    }
    found |= {"stalls": float(result.stalls), "retried": float(result.retried)}
    found |= _slice_metrics(result)
    winner, verdict = result.winner, result.verdict
    if verdict is not None:
        found |= {"verdict_probability": verdict.probability, "verdict_gain": verdict.gain}
    if winner is not None and winner.expected is not None:
        found["best_expected_accuracy"] = winner.expected
    if winner is not None and winner.final_val is not None:
        found["best_val_accuracy"] = winner.final_val.mean
        if winner.test is not None:
            found["best_test_accuracy"] = winner.test.mean
        if winner.latency_ms is not None:
            found["best_latency_ms"] = winner.latency_ms
    return found


def _slice_metrics(result: StudyResult) -> dict[str, float]:
    """Return the figures of each of several budgets, with the budget in their names."""
    rows, found = {row.name: row for row in result.rows}, {}
    for one in result.slices:
        if one.best is not None:
            found[f"best_expected_accuracy_{one.text}"] = rows[one.best].expected or 0.0
        if one.verdict is not None:
            found[f"verdict_probability_{one.text}"] = one.verdict.probability
            found[f"verdict_gain_{one.text}"] = one.verdict.gain
    return found


def verdict_tags(result: StudyResult) -> dict[str, str]:
    """Return what the study shows, in words, for the tags of its run: of several budgets the front, too."""
    verdict = result.verdict
    if verdict is None:
        return {}
    rows = {row.name: row for row in result.rows}
    front = [(one, rows[one.best]) for one in result.slices if one.front and one.best is not None]
    told = [f"{one.text}: {row.label} {100 * (row.expected or 0):.1f} %" for one, row in front]
    found = {"verdict": " ".join(verdict.lines).removeprefix("Verdict: ")}
    if told:
        found["front"] = "; ".join(told)
    for one in result.slices:
        if one.knee:
            found["knee"] = one.text
    return found


def dataset_record(facts: DatasetFacts, *, classes: int) -> DatasetRecord:
    """Return what the tracker keeps of the data; `classes` is their full number."""
    height, width, channels = facts.input
    return DatasetRecord(
        name=facts.name,
        source=facts.source,
        digest=facts.digest,
        input=(height, width, channels),
        classes=classes,
        splits=dict(facts.splits),
    )
