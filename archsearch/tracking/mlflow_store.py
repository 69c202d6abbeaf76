"""A study's runs in an MLflow store: one parent run, one nested run a trial. Blocks; one thread."""

import json
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from archsearch.tracking import connect
from archsearch.tracking.curves import learning_curves_png
from archsearch.tracking.records import Ending, Scalar, StudyRecord, TrialRecord
from archsearch.tracking.run_names import one_line
from archsearch.tracking.runs import NOTE, PARENT, all_runs, end_run, figure, plain_key, user
from archsearch.tracking.saved_view import TAG, saved_view

_MAX_METRICS, _MAX_OTHERS = 900, 50  # a request; MLflow refuses 1000 metrics, 100 params, 1 MB
_MAX_DIGEST = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochPoint:
    """An epoch's metrics and when they came, in milliseconds."""

    key: str
    step: int
    at_ms: int
    metrics: Mapping[str, float]


@dataclass(slots=True)
class _Run:
    """What is known of a trial's run.

    Attributes:
        history: metric → step → value, what the store holds or is about to; step 0 is what holds
            for the whole run.
        kept: the status an earlier process ended it with, until something new is told of it.
    """

    run_id: str
    name: str
    params: set[str] = field(default_factory=set)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    kept: str = ""


_Row = tuple[Mapping[str, float], int, int]  # metrics, step, time in milliseconds


class MlflowStore:
    """Writes one study. Every method may be repeated after a failure without doing it twice."""

    def __init__(self, uri: str, home: Path) -> None:
        self.client = connect.open_client(uri)
        self.experiment_id = ""
        self._uri = uri
        self._home = home
        self._study: StudyRecord | None = None
        self._parent = ""
        self._runs: dict[str, _Run] = {}
        self._begun: set[str] = set()
        self._knobs: tuple[str, ...] = ()

    def ping(self) -> None:
        """Raise if the store does not answer."""
        self.client.search_experiments(max_results=1)

    def start_study(self, study: StudyRecord, at_ms: int) -> None:
        """Open or take up the parent run; end what a dead process left running."""
        self._study = study
        self.experiment_id = self._experiment(study.name)
        parent, trials = self._existing(study.name)
        tags = {
            **study.tags,
            "study": study.name,
            "space": study.space,
            "budget": study.budget,
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
        self._send(self._parent, params=settings, tags=tags)
        self._log_dataset(self._parent)
        self._put(self._parent, study.artifacts)
        self._describe(study.description)
        self._show(())
        for run in trials:
            kept = "interrupted"
            if run.info.status == "RUNNING":
                end_run(self.client, run.info.run_id, kept, at_ms)
            else:
                kept = run.data.tags.get("status", kept)
            self._runs[run.data.tags.get("key", "")] = _Run(
                run.info.run_id, run.info.run_name, set(run.data.params), kept=kept
            )

    def start_trial(self, trial: TrialRecord, at_ms: int) -> None:
        """Open or take up a trial's run."""
        study = self._need_study()
        tags = {
            **trial.tags,
            "study": study.name,
            "space": study.space,
            "budget": study.budget,
            "role": trial.role,
            "status": "running",
            "key": trial.key,
        }
        # To look through all runs takes longer the more there are: only where this failed before.
        again = trial.key in self._begun
        self._begun.add(trial.key)
        run = self._runs.get(trial.key) or (self._find(trial.key) if again else None)
        if run is None:
            name = one_line(trial.label)
            made = self._create(name, tags={**tags, PARENT: self._parent}, at_ms=at_ms)
            run = _Run(made.info.run_id, name)
        elif run.kept:
            run.history = self._history(run.run_id)
        self._runs[trial.key] = run
        self._show(plain_key(name) for name in trial.knobs)
        if run.kept not in {"", "interrupted"}:
            # It ended before, and everything was written before its end was: the driver tells it
            # once more, to be sure. The first news of it reopen it.
            return
        self._reopen(run)
        knobs = {name: v for name, v in trial.knobs.items() if plain_key(name) not in run.params}
        rows = [(_news(run, trial.metrics, 0), 0, at_ms)]
        self._send(run.run_id, rows, params=knobs, tags=tags)
        _note(run, rows)
        self._log_dataset(run.run_id)
        self._put(run.run_id, trial.artifacts)

    def epochs(self, points: Iterable[EpochPoint]) -> None:
        """Keep epochs of any trials, one request a trial; those kept or told before are left out."""
        wanted: dict[str, dict[int, _Row]] = {}
        for point in points:
            steps = wanted.setdefault(point.key, {})
            told, _, at_ms = steps.get(point.step, ({}, point.step, point.at_ms))
            news = _news(self._runs[point.key], point.metrics, point.step)
            steps[point.step] = ({**news, **told}, point.step, at_ms)
        for key, steps in wanted.items():
            rows = [row for row in steps.values() if row[0]]
            if not rows:
                continue
            run = self._runs[key]
            self._reopen(run)
            self._send(run.run_id, rows)
            _note(run, rows)

    def end_trial(self, key: str, end: Ending, at_ms: int) -> None:
        """Close a trial's run: last figures, learning curves, state."""
        run = self._runs[key]
        if run.kept == end.status:
            self._send(run.run_id, tags=end.tags)
            return
        self._reopen(run)
        # Where a metric was kept by epoch, its last figure belongs to the last epoch: MLflow shows
        # the one with the highest step. One that says the same again is left out.
        rows: dict[int, dict[str, float]] = {}
        for name, value in end.metrics.items():
            points = run.history.get(plain_key(name), {})
            last = max(points, default=0)
            if points.get(last) != figure(value):
                rows.setdefault(last, {})[name] = value
        # Later than the epoch's own, even if both came in the same millisecond.
        last_rows = [(row, step, at_ms + 1) for step, row in rows.items()]
        self._send(run.run_id, last_rows, tags=end.tags)
        _note(run, last_rows)
        files = dict(end.artifacts)
        curves = {
            name: {step: value for step, value in points.items() if step > 0}
            for name, points in run.history.items()
        }
        if any(curves.get(name) for name in ("loss", "val_loss", "accuracy", "val_accuracy")):
            picture = learning_curves_png(curves, title=run.name)
            files.setdefault("learning_curves.png", picture)
        self._put(run.run_id, files)
        end_run(self.client, run.run_id, end.status, at_ms)

    def add_metrics(self, key: str, metrics: Mapping[str, float], at_ms: int) -> None:
        """Keep a trial's figures that have no epoch; MLflow takes them for ended runs, too."""
        run = self._runs[key]
        rows = [(_news(run, metrics, 0), 0, at_ms)]
        self._send(run.run_id, rows)
        _note(run, rows)

    def end_study(self, end: Ending, description: str, at_ms: int) -> None:
        """Close the parent run."""
        note = {NOTE: description} if description else {}
        kept = self.client.get_run(self._parent).data.metrics
        news = {
            name: value
            for name, value in end.metrics.items()
            if kept.get(plain_key(name)) != figure(value)
        }
        self._send(self._parent, [(news, 0, at_ms)], tags={**end.tags, **note})
        self._describe(description)
        self._put(self._parent, end.artifacts)
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

    def _existing(self, study: str) -> tuple[Any, list[Any]]:
        """Return the study's parent run, if there is one, and its trials' runs."""
        runs = list(all_runs(self.client, self.experiment_id))
        parents = [
            run
            for run in runs
            if PARENT not in run.data.tags
            and run.data.tags.get("study") == study
            and run.data.tags.get("role") == "study"
        ]
        if not parents:
            return None, []
        parent = min(parents, key=lambda run: run.info.start_time)
        return parent, [r for r in runs if r.data.tags.get(PARENT) == parent.info.run_id]

    def _find(self, key: str) -> _Run | None:
        """Return a trial's run that an earlier, failed attempt may have made."""
        for run in all_runs(self.client, self.experiment_id, parent=self._parent):
            if run.data.tags.get("key") == key:
                return _Run(run.info.run_id, run.info.run_name, set(run.data.params))
        return None

    def _create(self, name: str, *, tags: Mapping[str, str], at_ms: int) -> Any:
        study = self._need_study()
        return self.client.create_run(
            self.experiment_id,
            start_time=at_ms,
            run_name=name,
            tags={
                "study": study.name,
                "role": "study",
                **{plain_key(name): value for name, value in tags.items()},
                "mlflow.source.name": "archsearch",
                "mlflow.source.type": "LOCAL",
                "mlflow.user": user(),
            },
        )

    def _history(self, run_id: str) -> dict[str, dict[int, float]]:
        run = self.client.get_run(run_id)
        history: dict[str, dict[int, float]] = {}
        for name in run.data.metrics:
            points = list(self.client.get_metric_history(run_id, name))
            points.sort(key=lambda point: (point.step, point.timestamp))
            history[name] = {point.step: point.value for point in points}
        return history

    def _reopen(self, run: _Run) -> None:
        if run.kept:
            self.client.update_run(run.run_id, status="RUNNING")
            self.client.set_tag(run.run_id, "status", "running")
            run.kept = ""

    def _send(
        self,
        run_id: str,
        rows: Iterable[_Row] = (),
        *,
        params: Mapping[str, Scalar] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send metrics (with step and time), params and tags in as few requests as allowed."""
        from mlflow.entities import Metric, Param, RunTag

        metrics = [
            Metric(plain_key(name), figure(value), at_ms, step)
            for row, step, at_ms in rows
            for name, value in row.items()
        ]
        ps = [Param(plain_key(name), str(value)) for name, value in (params or {}).items()]
        ts = [RunTag(plain_key(name), str(value)) for name, value in (tags or {}).items()]
        while metrics or ps or ts:
            self.client.log_batch(
                run_id,
                metrics=metrics[:_MAX_METRICS],
                params=ps[:_MAX_OTHERS],
                tags=ts[:_MAX_OTHERS],
                synchronous=True,
            )
            metrics, ps, ts = metrics[_MAX_METRICS:], ps[_MAX_OTHERS:], ts[_MAX_OTHERS:]

    def _log_dataset(self, run_id: str) -> None:
        data = self._need_study().dataset
        if data is None:
            return
        from mlflow.entities import Dataset, DatasetInput, InputTag

        # MLflow takes 36 characters of digest and shows them all beside the name: a long one is
        # cut, the whole of it is in the profile and a tag.
        profile = {
            "digest": data.digest,
            "input": list(data.input),
            "classes": data.classes,
            "images": dict(data.splits),
        }
        dataset = Dataset(
            name=one_line(data.name),
            digest=data.digest if len(data.digest) <= _MAX_DIGEST else data.digest[:16],
            source_type="archsearch",
            source=json.dumps({"source": data.source}),
            profile=json.dumps(profile),
        )
        tag = InputTag(key="mlflow.data.context", value="training")
        self.client.log_inputs(run_id, [DatasetInput(dataset, [tag])])

    def _describe(self, description: str) -> None:
        if description:
            self.client.set_experiment_tag(self.experiment_id, NOTE, description)

    def _show(self, knobs: Iterable[str]) -> None:
        """Add knobs to the columns of MLflow's page."""
        columns = (*self._knobs, *(name for name in knobs if name not in self._knobs))
        if columns != self._knobs or not columns:
            saved = saved_view(columns, int(time.time() * 1000))
            self.client.set_experiment_tag(self.experiment_id, TAG, saved)
            self._knobs = columns

    def _put(self, run_id: str, artifacts: Mapping[str, str | bytes]) -> None:
        if not artifacts:
            return
        with tempfile.TemporaryDirectory(prefix="archsearch-") as name:
            for path, content in artifacts.items():
                file = Path(name, *PurePosixPath(path).parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.encode() if isinstance(content, str) else content)
            self.client.log_artifacts(run_id, name)


def _news(run: _Run, metrics: Mapping[str, float], step: int) -> dict[str, float]:
    """Return those of a step's metrics that are not kept yet."""
    return {
        name: v for name, v in metrics.items() if step not in run.history.get(plain_key(name), {})
    }


def _note(run: _Run, rows: Iterable[_Row]) -> None:
    for metrics, step, _ in rows:
        for name, value in metrics.items():
            run.history.setdefault(plain_key(name), {})[step] = figure(value)
