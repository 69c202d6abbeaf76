"""A tracker that keeps everything in memory, for tests of whatever talks to a tracker."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from archsearch.tracking.ledger import Ledger, check_artifacts
from archsearch.tracking.records import (
    Ending,
    Epochs,
    ModelRecord,
    NetworkRecord,
    StudyRecord,
    TrialRecord,
    tell_whole,
)


@dataclass(slots=True)
class MemoryRun:
    """What was said of one run.

    Attributes:
        status: `running`, then what it ended as.
        metrics: last figure of each metric.
        history: metric → epoch → value.
        network: key of the network it is a training of; empty: none was told.
    """

    name: str
    status: str = "running"
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    history: dict[str, dict[int, float]] = field(default_factory=dict)
    artifacts: dict[str, str | bytes] = field(default_factory=dict)
    network: str = ""

    def end(self, ending: Ending) -> None:
        """Note how it ended."""
        self.status = ending.status
        self.metrics.update(ending.metrics)
        self.tags.update(ending.tags)
        self.artifacts.update(ending.artifacts)


class MemoryTracker:
    """Keeps a study's runs in `study`, `networks` and `trials`, in the order they began; models in `models`.

    Args:
        before: the tracker of a process that is dead now; its study is taken up.
    """

    def __init__(self, before: "MemoryTracker | None" = None) -> None:
        self.study: MemoryRun | None = None
        self.study_record: StudyRecord | None = None
        self.trial_records: dict[str, TrialRecord] = {} if before is None else before.trial_records
        self.trials: dict[str, MemoryRun] = {} if before is None else before.trials
        self.networks: dict[str, MemoryRun] = {} if before is None else before.networks
        self.models: dict[str, ModelRecord] = {} if before is None else before.models
        self.description = ""
        self.closed = False
        self._ledger = Ledger()
        self._lock = threading.Lock()

    def start_study(self, study: StudyRecord) -> None:
        """Open the study."""
        check_artifacts(study.artifacts)
        self._ledger.start_study(study.name)
        self.study_record = study
        self.description = study.description
        self.study = MemoryRun(study.name, tags=dict(study.tags), artifacts=dict(study.artifacts))
        for run in (*self.trials.values(), *self.networks.values()):
            if run.status == "running":
                run.status = "interrupted"

    def network(self, network: NetworkRecord) -> None:
        """Open a network, or bring it up to date."""
        check_artifacts(network.artifacts)
        self._ledger.network(network.key)
        with self._lock:
            run = self.networks.setdefault(network.key, MemoryRun(network.label))
            run.name, run.status = network.label, network.status
            run.tags |= {**network.tags, "role": network.role}
            run.metrics |= network.metrics
            run.artifacts |= network.artifacts

    def start_trial(self, trial: TrialRecord) -> None:
        """Open a trial."""
        check_artifacts(trial.artifacts)
        self._ledger.start_trial(trial.key, network=trial.network)
        with self._lock:
            if trial.key in self.trials:
                run = self.trials[trial.key]
                if run.status == "interrupted":  # one that ended is told of once more, to be sure
                    run.status = "running"
                return
            self.trial_records[trial.key] = trial
            self.trials[trial.key] = MemoryRun(
                trial.label,
                tags={**trial.tags, "role": trial.role},
                metrics=dict(trial.metrics),
                artifacts=dict(trial.artifacts),
                network=trial.network,
            )

    def epoch(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep an epoch's metrics."""
        if not self._ledger.epoch(key):
            return
        run = self.trials[key]
        with self._lock:
            for name, value in metrics.items():
                kept = run.history.setdefault(name, {})
                if step not in kept:
                    kept[step] = run.metrics[name] = value

    def end_trial(self, key: str, ending: Ending) -> None:
        """Close a trial."""
        check_artifacts(ending.artifacts)
        self._ledger.end_trial(key)
        self.trials[key].end(ending)

    def recall(self, trial: TrialRecord, ending: Ending, epochs: Epochs) -> None:
        """Keep a trial of an earlier process, unless it is here with its last figures."""
        kept = self.trials.get(trial.key)
        whole = kept is not None and kept.status == ending.status
        if kept is None or not whole or not ending.metrics.items() <= kept.metrics.items():
            tell_whole(self, trial, ending, epochs)
            return
        self._ledger.start_trial(trial.key, network=trial.network)
        self._ledger.end_trial(trial.key)

    def add_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        """Keep figures of a trial."""
        self._ledger.check_known(key)
        run = self.trials[key]
        with self._lock:
            run.metrics.update({n: v for n, v in metrics.items() if n not in run.metrics})

    def register(self, model: ModelRecord) -> None:
        """Keep a model, by the key of its training."""
        self._ledger.check_known(model.training)
        self.models[model.training] = model

    def end_study(self, ending: Ending, *, description: str = "") -> None:
        """Close the study; trials and networks still open end as interrupted."""
        check_artifacts(ending.artifacts)
        for key in self._ledger.end_study(ending.status):
            self.trials[key].status = "interrupted"
        for run in self.networks.values():
            run.status = "interrupted" if run.status == "running" else run.status
        self.description = description or self.description
        assert self.study is not None  # the ledger has just said so
        self.study.end(ending)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Nothing waits here."""
        return True

    def close(self, timeout_s: float = 30.0) -> str | None:
        """Note that it was closed; nothing is ever lost."""
        self._ledger.close()
        self.closed = True
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
