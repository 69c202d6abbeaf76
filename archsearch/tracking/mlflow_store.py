"""A study's runs in an MLflow store: study → network → training, nested. Blocks; one thread."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from archsearch.tracking import connect
from archsearch.tracking.curves import learning_curves_png
from archsearch.tracking.mlflow_networks import NetworkRuns
from archsearch.tracking.records import (
    Ending,
    Epochs,
    ModelRecord,
    NetworkRecord,
    Scalar,
    StudyRecord,
    TrialRecord,
)
from archsearch.tracking.registry.versions import register
from archsearch.tracking.run_names import one_line
from archsearch.tracking.run_writer import KnownRun, MetricRow, RunWriter
from archsearch.tracking.runs import (
    LEVEL,
    NOTE,
    PARENT,
    all_runs,
    close_run,
    end_run,
    figure,
    plain_key,
    runs_where,
)
from archsearch.tracking.saved_view import TAG, saved_view

DRAWN: Final = 300
"""Trainings of a search whose learning curves are drawn, the first ones; and all others of a study.

A picture takes longer than all else that is kept of a short training; MLflow draws the curves itself, too.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPoint:
    """An epoch's metrics and when they came, in milliseconds; step 0: what is known before, params too."""

    key: str
    step: int
    at_ms: int
    metrics: Mapping[str, float]
    params: Mapping[str, Scalar] = field(default_factory=dict)


def first_point(trial: TrialRecord, at_ms: int) -> EpochPoint:
    """Return what is known of a training before its first epoch: it waits for that one."""
    return EpochPoint(key=trial.key, step=0, at_ms=at_ms, metrics=trial.metrics, params=trial.knobs)


class MlflowStore:
    """Writes one study. Every method may be repeated after a failure without doing it twice."""

    def __init__(self, uri: str, home: Path) -> None:
        self.client = connect.open_client(uri)
        self.experiment_id = ""
        self._uri = uri
        self._home = home
        self._write = RunWriter(self.client)
        self._networks = NetworkRuns(self._write)
        self._study: StudyRecord | None = None
        self._parent = ""
        self._runs: dict[str, KnownRun] = {}
        self._begun: set[str] = set()
        self._unread = False  # whether there are runs of an earlier process, not looked at yet
        self._knobs: tuple[str, ...] = ()
        self._shown: object = None  # in MLflow's page

    def ping(self) -> None:
        """Raise if the store does not answer."""
        self.client.search_experiments(max_results=1)

    def start_study(self, study: StudyRecord, at_ms: int) -> None:
        """Open or take up the parent run; end what a dead process left running."""
        self._study = study
        self.experiment_id = self._experiment(study.name)
        parent = self._existing(study.name)
        self._unread = parent is not None
        tags = {
            **study.tags,
            "study": study.name,
            "space": study.space,
            "budget": study.budget,
            LEVEL: "study",
            "role": "study",
            "status": "running",
        }
        if study.description:
            tags[NOTE] = study.description
        if study.dataset is not None:
            tags["dataset"] = study.dataset.name
            tags["dataset_digest"] = study.dataset.digest
        known: set[str] = set()
        if parent is None:
            parent = self._create(one_line(study.name), tags={}, at_ms=at_ms)
        else:
            known = set(parent.data.params)
            self.client.update_run(parent.info.run_id, status="RUNNING")
        self._parent = parent.info.run_id
        settings = {name: v for name, v in study.settings.items() if plain_key(name) not in known}
        self._write.send(self._parent, params=settings, tags=tags)
        self._write.log_dataset(self._parent, study.dataset)
        self._write.put(self._parent, study.artifacts)
        self._describe(study.description)
        if self._unread:
            self._end_left(at_ms)
        else:
            self._show(())

    def network(self, network: NetworkRecord, at_ms: int) -> None:
        """Open a network's run, or bring it up to date."""
        self._read_all()
        self._networks.tell(
            network,
            study=self._need_study(),
            experiment_id=self.experiment_id,
            parent=self._parent,
            at_ms=at_ms,
        )
        self._show(plain_key(name) for name in network.knobs)

    def start_trial(self, trial: TrialRecord, at_ms: int) -> None:
        """Open or take up a trial's run; its figures come with its epochs (see `first_point`)."""
        study = self._need_study()
        self._read_all()
        tags = {
            **trial.tags,
            "study": study.name,
            "space": study.space,
            "budget": study.budget,
            LEVEL: "training",
            "role": trial.role,
            "status": "running",
            "key": trial.key,
        }
        parent = self._networks.run_id(trial.network) or self._parent
        # To look through all runs takes longer the more there are: only where this failed before.
        again = trial.key in self._begun
        self._begun.add(trial.key)
        run = self._runs.get(trial.key) or (self._find(trial.key) if again else None)
        made = run is None
        if run is None:
            run = self._opened(trial, {**tags, PARENT: parent}, at_ms)
        elif run.kept:
            run.history = self._write.read_history(run.run_id)
        if run.parent != parent:  # an earlier version knew no networks
            self._write.send(run.run_id, tags={PARENT: parent, LEVEL: "training"})
            run.parent = parent
        self._runs[trial.key] = run
        self._show(plain_key(name) for name in trial.knobs)
        if run.kept not in {"", "interrupted"}:
            # It ended before, and everything was written before its end was: the driver tells it
            # once more, to be sure. The first news of it reopen it.
            return
        self._write.reopen(run)
        if not made:
            self._write.send(run.run_id, tags=tags)
        self._write.log_dataset(run.run_id, study.dataset)
        self._write.put(run.run_id, trial.artifacts)

    def _opened(self, trial: TrialRecord, tags: Mapping[str, str], at_ms: int) -> KnownRun:
        name = one_line(trial.label)
        made = self._create(name, tags=tags, at_ms=at_ms)
        run = KnownRun(made.info.run_id, name, tags[PARENT])
        run.drawn = trial.role != "candidate" or len(self._runs) < DRAWN
        return run

    def epochs(self, points: Iterable[EpochPoint]) -> None:
        """Keep epochs of any trials, one request a trial; those kept or told before are left out."""
        wanted: dict[str, list[EpochPoint]] = {}
        for point in points:
            wanted.setdefault(point.key, []).append(point)
        for key, mine in wanted.items():
            run = self._runs[key]
            rows, params = _news(run, mine)
            if rows or params:
                self._write.reopen(run)
                self._write.send(run.run_id, rows, params=params)
                _note(run, rows, params)

    def end_trial(
        self, key: str, end: Ending, at_ms: int, points: Iterable[EpochPoint] = ()
    ) -> None:
        """Close a trial's run: its last epochs and figures in one request, learning curves, state."""
        run = self._runs[key]
        rows, params = _news(run, points)
        if run.kept == end.status and not (rows or params):
            self._write.send(run.run_id, tags=end.tags)
            return
        self._write.reopen(run)
        last = _last_rows(run, rows, end.metrics, at_ms)
        tags = {**end.tags, "status": end.status}
        self._write.send(run.run_id, [*rows, *last], params=params, tags=tags)
        _note(run, [*rows, *last], params)  # and not before: what failed is tried again
        self._write.put(run.run_id, {**_curves(run), **end.artifacts})
        close_run(self.client, run.run_id, end.status, at_ms)
        self._write.forget(run.run_id)
        # Of thousands of trainings the curves would be most of the memory; figures may still come.
        run.history = {name: {0: p[0]} for name, p in run.history.items() if 0 in p}

    def recall(self, trial: TrialRecord, end: Ending, epochs: Epochs, at_ms: int) -> None:
        """Have all of a trial of an earlier process: where its end is kept, all of it is."""
        self._read_all()
        run = self._runs.get(trial.key)
        if run is not None and run.has_ended(end.status, end.metrics):
            return
        self.start_trial(trial, at_ms)
        points = [first_point(trial, at_ms)]
        for step, metrics in epochs():
            points.append(EpochPoint(key=trial.key, step=step, at_ms=at_ms, metrics=metrics))
        self.end_trial(trial.key, end, at_ms, points)

    def add_metrics(self, key: str, metrics: Mapping[str, float], at_ms: int) -> None:
        """Keep a trial's figures that have no epoch; MLflow takes them for ended runs, too."""
        run = self._runs[key]
        rows = [(run.news(metrics, 0), 0, at_ms)]
        self._write.send(run.run_id, rows)
        run.note(rows)

    def register(self, model: ModelRecord) -> None:
        """Have the winner in the Model Registry, once, as a version of the study's model."""
        run = self._runs[model.training]
        register(self.client, self._need_study().name, model, run_id=run.run_id)

    def end_study(self, end: Ending, description: str, at_ms: int) -> None:
        """Close the parent run."""
        note = {NOTE: description} if description else {}
        kept = self.client.get_run(self._parent).data.metrics
        news = {
            name: value
            for name, value in end.metrics.items()
            if kept.get(plain_key(name)) != figure(value)
        }
        self._write.send(self._parent, [(news, 0, at_ms)], tags={**end.tags, **note})
        self._describe(description)
        self._write.put(self._parent, end.artifacts)
        self._networks.end_open(at_ms)
        end_run(self.client, self._parent, end.status, at_ms)

    def _need_study(self) -> StudyRecord:
        if self._study is None:
            raise ValueError("no study was started")
        return self._study

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            self.client.restore_experiment(found.experiment_id)
        if found is not None:
            return str(found.experiment_id)
        location = (
            None if connect.is_server(self._uri) else connect.artifact_location(self._home, name)
        )
        return str(
            self.client.create_experiment(
                name,
                artifact_location=location,
                # Without a kind the UI asks which kind it may be.
                tags={
                    "archsearch.study": name,
                    "mlflow.experimentKind": "custom_model_development",
                },
            )
        )

    def _existing(self, study: str) -> Any:
        """Return the study's parent run; None: there is none."""
        found = runs_where(self.client, self.experiment_id, "tags.role = 'study'")
        parents = [
            run
            for run in found
            if PARENT not in run.data.tags
            and run.data.tags.get("study") == study
            and run.data.tags.get("role") == "study"
        ]
        return min(parents, key=lambda run: run.info.start_time, default=None)

    def _find(self, key: str) -> KnownRun | None:
        """Return a trial's run that an earlier, failed attempt may have made."""
        study = self._need_study().name
        for run in all_runs(self.client, self.experiment_id):
            if run.data.tags.get("key") == key and run.data.tags.get("study") == study:
                return _known(run)
        return None

    def _end_left(self, at_ms: int) -> None:
        """End what a dead process left running."""
        left = runs_where(self.client, self.experiment_id, "attributes.status = 'RUNNING'")
        for run in self._nested(list(left)):
            end_run(self.client, run.info.run_id, "interrupted", at_ms)

    def _read_all(self) -> None:
        """Take down the runs of an earlier process, a thousand a request, once one of them may be meant."""
        if not self._unread:
            return
        for run in self._nested(all_runs(self.client, self.experiment_id)):
            if run.data.tags.get(LEVEL) == "network":
                self._networks.take_up(run, whole=True)
                continue
            kept = run.data.tags.get("status", "interrupted")
            self._runs[run.data.tags.get("key", "")] = _known(run, kept=kept)
        self._unread = False
        self._show(self._networks.knobs)

    def _nested(self, runs: Iterable[Any]) -> Iterator[Any]:
        """Yield those runs that are in the study's, at any depth."""
        study = self._need_study().name
        for run in runs:
            if PARENT in run.data.tags and run.data.tags.get("study") == study:
                yield run

    def _create(self, name: str, *, tags: Mapping[str, str], at_ms: int) -> Any:
        study = self._need_study().name
        return self._write.create(self.experiment_id, name, study=study, tags=tags, at_ms=at_ms)

    def _describe(self, description: str) -> None:
        if description:
            self.client.set_experiment_tag(self.experiment_id, NOTE, description)

    def _show(self, knobs: Iterable[str]) -> None:
        """Add knobs to the columns of MLflow's page; have networks in their order once they have one."""
        columns = (*self._knobs, *(name for name in knobs if name not in self._knobs))
        shown = (columns, bool(self._networks), self._networks.ranked)
        if shown != self._shown:
            now = int(time.time() * 1000)
            saved = saved_view(columns, now, networks=shown[1], ranked=shown[2])
            self.client.set_experiment_tag(self.experiment_id, TAG, saved)
            self._shown = shown
        self._knobs = columns


def _news(run: KnownRun, points: Iterable[EpochPoint]) -> tuple[list[MetricRow], dict[str, Scalar]]:
    """Return what of some points a run does not hold: metrics by step, each once, and params."""
    steps: dict[int, MetricRow] = {}
    params: dict[str, Scalar] = {}
    for point in points:
        told, _, at_ms = steps.get(point.step, ({}, point.step, point.at_ms))
        news = run.news(point.metrics, point.step)
        steps[point.step] = ({**news, **told}, point.step, at_ms)
        params |= run.new_params(point.params)
    return [row for row in steps.values() if row[0]], params


def _note(run: KnownRun, rows: Iterable[MetricRow], params: Mapping[str, Scalar]) -> None:
    run.note(rows)
    run.params |= {plain_key(name) for name in params}


def _last_rows(
    run: KnownRun, news: Iterable[MetricRow], metrics: Mapping[str, float], at_ms: int
) -> list[MetricRow]:
    """Return a training's last figures: one that says the same as its last epoch is left out.

    Where a metric was kept by epoch, its last figure belongs to the last epoch: MLflow shows the one with
    the highest step.
    """
    rows: dict[int, dict[str, float]] = {}
    coming: dict[str, dict[int, float]] = {}
    for row, step, _ in news:
        for name, value in row.items():
            coming.setdefault(plain_key(name), {})[step] = figure(value)
    for name, value in metrics.items():
        key = plain_key(name)
        points = {**run.history.get(key, {}), **coming.get(key, {})}
        last = max(points, default=0)
        if points.get(last) != figure(value):
            rows.setdefault(last, {})[name] = value
    # Later than the epoch's own, even if both came in the same millisecond.
    return [(row, step, at_ms + 1) for step, row in rows.items()]


def _curves(run: KnownRun) -> dict[str, bytes]:
    """Return the picture of a training's learning curves, where it is drawn."""
    curves = {
        name: {step: value for step, value in points.items() if step > 0}
        for name, points in run.history.items()
    }
    shown = ("loss", "val_loss", "accuracy", "val_accuracy")
    if not run.drawn or not any(curves.get(name) for name in shown):
        return {}
    return {"learning_curves.png": learning_curves_png(curves, title=run.name)}


def _known(run: Any, *, kept: str = "") -> KnownRun:
    parent = run.data.tags.get(PARENT, "")
    return KnownRun(
        run.info.run_id, run.info.run_name, parent, set(run.data.params), kept=kept,
        last=run.data.metrics if kept else {},
    )  # fmt: skip
