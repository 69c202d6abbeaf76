"""What tracking is told of a study: plain values, and the narrow port that takes them."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

Role = Literal["candidate", "baseline", "finalist"]
TrialStatus = Literal["complete", "pruned", "failed", "interrupted"]
StudyStatus = Literal["complete", "failed", "interrupted"]
NetworkStatus = Literal["running", "complete", "pruned", "failed", "interrupted"]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetRecord:
    """The images a study trains on.

    Attributes:
        name: short name, shown in the Dataset column.
        source: what the user gave: `digits`, a folder, a file.
        digest: identifies the content; the same digest is the same images and split.
        input: height, width, channels.
        classes: number of classes.
        splits: images per split, such as `{"train": 1149, "val": 288, "test": 360}`.
    """

    name: str
    source: str
    digest: str
    input: tuple[int, int, int]
    classes: int
    splits: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """One search: the parent run.

    Attributes:
        name: the study's name, any text; its MLflow experiment is named the same.
        space: name of the space searched.
        budget: the budget as the user wrote it: `20M`, `3.8G:4.2G`.
        dataset: the images, logged with every run of the study.
        settings: shown as params of the parent run.
        tags: more tags for the parent run.
        description: markdown shown above the parent run (see `study_note`).
        artifacts: path to content (text, or bytes of an image).
    """

    name: str
    space: str
    budget: str
    dataset: DatasetRecord | None = None
    settings: Mapping[str, Scalar] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""
    artifacts: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRecord:
    """One network of a study: a run nested in its study's, with its trainings nested in it.

    Attributes:
        key: unique among the study's networks: `trial-0007`, a published network's name.
        label: names the run.
        role: what it is in its study, as tables have it: candidate, finalist, winner, matched, published.
        status: `running`, or how it ended.
        knobs: shown as params, beside one another on the compare page.
        metrics: figures of all its trainings: mean, standard deviation, number. What a page is to show
            first stands first.
        tags: more tags, such as the content hash of the graph.
        artifacts: path to content, kept where the run is opened.
    """

    key: str
    label: str
    role: str
    status: NetworkStatus = "running"
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRecord:
    """A study's winner as a model that others take from a registry.

    Attributes:
        training: key of the training whose weights it holds.
        folder: the exported SavedModel.
        input: height, width, channels of the images it takes, uint8.
        classes: their names, in the order of its probabilities.
        example: (1, height, width, channels), uint8: an image of the study.
        tags: of its version, such as the network's label and accuracies.
    """

    training: str
    folder: Path
    input: tuple[int, int, int]
    classes: tuple[str, ...]
    example: "npt.NDArray[np.uint8]"
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialRecord:
    """One training: a run nested in its network's.

    Attributes:
        key: unique in its study, the same after a resume: `trial-0007`, `final-0007-seed1`.
        network: key of its network, which was told before; empty: it is nested in the study's run.
        label: names the run, so that one design is told from another (see `run_name`).
        role: candidate, baseline or finalist.
        knobs: shown as params, beside one another on the compare page.
        metrics: what is known before training: flops, train_flops, params, fill, activation_bytes.
        tags: more tags, such as the content hash of the graph.
        artifacts: path to content: the Graph's JSON, the layer table.
    """

    key: str
    network: str = ""
    label: str
    role: Role = "candidate"
    knobs: Mapping[str, Scalar] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str | bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a run ended, and the last that is to be kept of it.

    Attributes:
        status: of a study, never `pruned`.
        metrics: last figures.
        tags: more tags, such as the reason of a failure.
        artifacts: path to content.
    """

    status: TrialStatus
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    artifacts: Mapping[str, str | bytes] = field(default_factory=dict)


class Files(Mapping[str, str | bytes]):
    """Artifacts by path whose content is made when it is asked for: whoever has it already asks for none.

    Args:
        paths: of all there are.
        make: gives their content by path, once and from any thread.
    """

    def __init__(self, paths: Iterable[str], make: Callable[[], Mapping[str, str | bytes]]) -> None:
        self._paths = tuple(paths)
        self._make = cache(make)

    def __getitem__(self, path: str) -> str | bytes:
        """Return the content of a file."""
        return self._make()[path]

    def __iter__(self) -> Iterator[str]:
        """Yield the paths."""
        return iter(self._paths)

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._paths)


Epochs = Callable[[], Iterable[tuple[int, Mapping[str, float]]]]
"""Gives a training's epochs when they are asked for: each one's number, from 1, and its metrics."""

_Record = TypeVar("_Record", StudyRecord, NetworkRecord, TrialRecord, Ending)


def owned(record: _Record) -> _Record:
    """Return a record with copies of its mappings: whoever told it may change his own while this waits."""
    values: dict[str, Any] = {f.name: getattr(record, f.name) for f in fields(record)}
    copies: dict[str, Any] = {
        name: dict(value)
        for name, value in values.items()
        if isinstance(value, Mapping) and not isinstance(value, Files)  # which nobody can change
    }
    return replace(record, **copies)


class Tracker(Protocol):
    """Where a study's runs are kept. Methods return at once and may be called from any thread.

    A tracker never lets its store's troubles reach training: it warns once and says in `close`
    what was lost. Only misuse raises: a `ValueError` for a key that was never started or was
    started twice, for a study that was not started or has ended, for an artifact's path that
    leads out of its run, for a tracker that is closed (`Ledger` and `check_artifacts` do these
    checks for any tracker). What it was told is its own: a caller's mapping may change later.

    Starting a study that is kept already resumes it: its runs left running by a dead process are
    ended as interrupted, and a trial started again under a known key goes on in its own run,
    where epochs that are kept already are not counted twice. A driver that resumes recalls every trial that
    ended before, as the tracker may have lost something: what is kept already stays as it is.

    `archsearch.testing.tracker_case` holds a tracker to all of this.
    """

    def start_study(self, study: StudyRecord) -> None:
        """Open the study's parent run, or take up the one that is there."""
        ...

    def network(self, network: NetworkRecord) -> None:
        """Open a network's run, or bring it up to date: figures told later take the place of earlier ones."""
        ...

    def start_trial(self, trial: TrialRecord) -> None:
        """Open a trial's run, or take up the one with its key."""
        ...

    def epoch(self, key: str, step: int, metrics: Mapping[str, float]) -> None:
        """Keep an epoch's metrics (step counts from 1).

        A worker's last report may race with its end: epochs of an ended trial are ignored.
        """
        ...

    def end_trial(self, key: str, ending: Ending) -> None:
        """Close a trial's run with its last figures; its learning curves are drawn and kept."""
        ...

    def recall(self, trial: TrialRecord, ending: Ending, epochs: Epochs) -> None:
        """Have a trial of an earlier process, all of it.

        Whoever holds its end with these figures holds all of it, as it was told in order, and need not ask
        for its epochs; `tell_whole` writes what is missing.
        """
        ...

    def add_metrics(self, key: str, metrics: Mapping[str, float]) -> None:
        """Keep figures of a trial, running or ended, that have no epoch; kept ones stay."""
        ...

    def register(self, model: ModelRecord) -> None:
        """Have the winner in the store's registry of models, if it has one: each training once."""
        ...

    def end_study(self, ending: Ending, *, description: str = "") -> None:
        """Close the parent run; trials and networks still open are ended as interrupted.

        Args:
            ending: of the study.
            description: takes the place of the one it was started with, where it is not empty.
        """
        ...

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until everything said so far is kept and return whether it is; False: time ran out first."""
        ...

    def close(self, timeout_s: float = 30.0) -> str | None:
        """Flush and let go of the store; one line on what could not be kept, or None.

        Closing it again does no harm.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def tell_whole(tracker: Tracker, trial: TrialRecord, ending: Ending, epochs: Epochs) -> None:
    """Tell a tracker of a training that has ended, from its start to its end."""
    tracker.start_trial(trial)
    for step, metrics in epochs():
        tracker.epoch(trial.key, step, metrics)
    tracker.end_trial(trial.key, ending)
