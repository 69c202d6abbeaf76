"""What is written to a run of an MLflow store: figures, params, tags, files, its images. Blocks."""

import json
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypeAlias

from archsearch.tracking.records import DatasetRecord, Scalar
from archsearch.tracking.run_names import one_line
from archsearch.tracking.runs import figure, plain_key, user

_MAX_METRICS, _MAX_OTHERS = 900, 50  # a request; MLflow refuses 1000 metrics, 100 params, 1 MB
_MAX_DIGEST = 36

MetricRow: TypeAlias = tuple[Mapping[str, float], int, int]
"""Metrics, step, time in milliseconds."""


@dataclass(slots=True)
class KnownRun:
    """What is known of a run.

    Attributes:
        parent: id of the run it is nested in.
        history: metric → step → value, what the store holds or is about to; step 0 is what holds
            for the whole run.
        kept: the status an earlier process ended it with, until something new is told of it.
        tags: those it has; kept of networks alone.
        last: its last figures, where an earlier process ended it.
        drawn: whether its learning curves are drawn as it ends.
    """

    run_id: str
    name: str
    parent: str = ""
    params: set[str] = field(default_factory=set)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    kept: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    last: Mapping[str, float] = field(default_factory=dict)
    drawn: bool = True

    def news(self, metrics: Mapping[str, float], step: int) -> dict[str, float]:
        """Return those of a step's metrics that are not kept yet."""
        return {
            name: v
            for name, v in metrics.items()
            if step not in self.history.get(plain_key(name), {})
        }

    def has_ended(self, status: str, metrics: Mapping[str, float]) -> bool:
        """Whether an earlier process ended it so, with these last figures."""
        last = self.last
        return self.kept == status and all(
            last.get(plain_key(name)) == figure(value) for name, value in metrics.items()
        )

    def new_tags(self, tags: Mapping[str, str]) -> dict[str, str]:
        """Return those that it does not have as they are."""
        return {n: v for n, v in tags.items() if self.tags.get(plain_key(n)) != str(v)}

    def note_tags(self, tags: Mapping[str, str]) -> None:
        """Take down what was sent."""
        self.tags |= {plain_key(name): str(value) for name, value in tags.items()}

    def note(self, rows: Iterable[MetricRow]) -> None:
        """Take down what was sent."""
        for metrics, step, _ in rows:
            for name, value in metrics.items():
                self.history.setdefault(plain_key(name), {})[step] = figure(value)

    def new_params(self, params: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Return those that are not kept yet: MLflow refuses another value of one."""
        return {name: v for name, v in params.items() if plain_key(name) not in self.params}


class RunWriter:
    """Writes to runs of a store, in as few requests as it allows."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._places: dict[str, str] = {}  # where the files of a run are, as far as it is known

    def create(
        self, experiment_id: str, name: str, *, study: str, tags: Mapping[str, str], at_ms: int
    ) -> Any:
        """Make a run of a study."""
        made = self.client.create_run(
            experiment_id,
            start_time=at_ms,
            run_name=name,
            tags={
                "study": study,
                "role": "study",
                **{plain_key(name): value for name, value in tags.items()},
                "mlflow.source.name": "archsearch",
                "mlflow.source.type": "LOCAL",
                "mlflow.user": user(),
            },
        )
        self._places[made.info.run_id] = made.info.artifact_uri
        return made

    def forget(self, run_id: str) -> None:
        """Keep no more of a run that has ended."""
        self._places.pop(run_id, None)

    def send(
        self,
        run_id: str,
        rows: Iterable[MetricRow] = (),
        *,
        params: Mapping[str, Scalar] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Send metrics (with step and time), params and tags."""
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

    def log_dataset(self, run_id: str, data: DatasetRecord | None) -> None:
        """Name the images of a run."""
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

    def put(self, run_id: str, artifacts: Mapping[str, str | bytes]) -> None:
        """Keep files, by path."""
        if not artifacts:
            return
        with tempfile.TemporaryDirectory(prefix="archsearch-") as name:
            for path, content in artifacts.items():
                file = Path(name, *PurePosixPath(path).parts)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content.encode() if isinstance(content, str) else content)
            self._files_of(run_id).log_artifacts(name)

    def _files_of(self, run_id: str) -> Any:
        """Return what keeps the files of a run; MLflow's client asks its store where they are."""
        uri = self.client.tracking_uri
        place = self._places.get(run_id)
        if place is None or uri.startswith("databricks"):  # which has a way of its own
            return _Asking(self.client, run_id)
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        return get_artifact_repository(place, tracking_uri=uri)

    def read_history(self, run_id: str) -> dict[str, dict[int, float]]:
        """Return a run's figures: metric → step → the last value."""
        run = self.client.get_run(run_id)
        history: dict[str, dict[int, float]] = {}
        for name in run.data.metrics:
            points = list(self.client.get_metric_history(run_id, name))
            points.sort(key=lambda point: (point.step, point.timestamp))
            history[name] = {point.step: point.value for point in points}
        return history

    def reopen(self, run: KnownRun) -> None:
        """Have a run that had ended go on."""
        if run.kept:
            self.client.update_run(run.run_id, status="RUNNING")
            self.client.set_tag(run.run_id, "status", "running")
            run.kept = ""


class _Asking(NamedTuple):
    """The files of a run of which the client has to ask where they are."""

    client: Any
    run_id: str

    def log_artifacts(self, folder: str) -> None:
        """Keep all files of a folder."""
        self.client.log_artifacts(self.run_id, folder)
