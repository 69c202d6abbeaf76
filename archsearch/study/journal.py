"""Tells whoever should know what happens to a job: the study's files, the tracker, the watcher."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from archsearch.archive.folder import StudyFolder
from archsearch.ir.codec import from_json
from archsearch.ir.graph import Graph
from archsearch.readings import table
from archsearch.study.events import EpochDone, Event, JobEnded, JobStarted, Notice
from archsearch.tracking.names import run_name
from archsearch.tracking.records import Role, Tracker, TrialRecord, TrialStatus
from archsearch.training.job import EpochReport, Job, Outcome
from archsearch.training.recipe import Precision, Recipe

_SHOWN = ("val_accuracy", "val_loss", "test_accuracy", "test_loss", "images_per_s", "train_s")
_MORE = ("total_s", "peak_rss_bytes", "epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A network to train once: what is known of it before.

    Attributes:
        facts: what the storage keeps of the network (see `facts_of`).
        images: images seen in training.
        epochs: passes over the training split, the last perhaps partial.
    """

    key: str
    stage: Literal["search", "final"]
    facts: Mapping[str, Any]
    knobs: Mapping[str, Any] = field(default_factory=dict)
    images: int
    epochs: int
    seed: int
    seed_number: int | None = None

    @property
    def label(self) -> str:
        """The design in a few words."""
        return str(self.facts["label"])


class Journal:
    """Takes what happens to jobs, in the order it happens."""

    def __init__(
        self,
        *,
        folder: StudyFolder,
        tracker: Tracker,
        dataset: str,
        recipe: Recipe,
        backend: str = "tensorflow",
        precision: Precision = "float32",
        compiled: bool = False,
        val_every: Callable[[int], int] = lambda epochs: 1,
        tags: Mapping[str, str],
        on_event: Callable[[Event], None],
    ) -> None:
        self._folder = folder
        self._tracker = tracker
        self._dataset = dataset
        self._recipe = recipe
        self._backend = backend
        self._precision: Precision = precision
        self._compiled = compiled
        self._val_every = val_every
        self._tags = dict(tags)
        self._emit = on_event
        self._entries: dict[str, Entry] = {}
        self._best = -1.0

    def start(self, entry: Entry) -> Job:
        """Note that a job begins, and make it."""
        self._track_start(entry)
        self._emit(
            JobStarted(
                key=entry.key,
                stage=entry.stage,
                label=entry.label,
                role=self._role(entry),
                flops=entry.facts["flops"],
                params=entry.facts["params"],
                epochs=entry.epochs,
            )
        )
        final = entry.stage == "final"
        return Job(
            key=entry.key,
            graph=self._folder.read_graph(entry.facts["graph"]),
            dataset=self._dataset,
            recipe=self._recipe,
            images=entry.images,
            seed=entry.seed,
            backend=self._backend,
            precision=self._precision,
            compiled=self._compiled,
            test=final,
            val_every=self._val_every(entry.epochs),
            weights=str(self._folder.weights(entry.key)) if final else None,
            checkpoint=str(self._folder.checkpoint(entry.key)),
        )

    def epoch(self, report: EpochReport) -> None:
        """Note how a job stands after an epoch."""
        entry = self._entries[report.key]
        self._folder.add_epoch(report)
        self._track_epoch(report)
        self._emit(EpochDone(report=report, label=entry.label, epochs=entry.epochs))

    def end(self, entry: Entry, outcome: Outcome | None) -> None:
        """Note how a job ended; None: it was interrupted, and will be taken up again.

        An outcome must have been stored before: without its checkpoints the job cannot go on.
        """
        self._track_end(entry, outcome)
        if outcome is not None:
            self._folder.drop_checkpoint(entry.key)
        best = False
        if outcome is not None and outcome.status == "complete" and outcome.val_accuracy:
            best = outcome.val_accuracy > self._best
            self._best = max(self._best, outcome.val_accuracy)
        self._emit(
            JobEnded(
                key=entry.key,
                label=entry.label,
                status="interrupted" if outcome is None else outcome.status,
                reason="" if outcome is None else outcome.reason,
                val_accuracy=None if outcome is None else outcome.val_accuracy,
                test_accuracy=None if outcome is None else outcome.test_accuracy,
                epochs=0 if outcome is None else outcome.epochs,
                total_s=0.0 if outcome is None else outcome.total_s,
                best=best,
            )
        )

    def replay(self, entry: Entry, outcome: Outcome) -> None:
        """Tell the tracker again of a job that ended before this process began.

        The process before may have died before its tracker had written everything.
        """
        self._folder.drop_checkpoint(entry.key)
        self._track_start(entry)
        for report in self._folder.read_epochs(entry.key):
            if report.epoch <= outcome.epochs:
                self._track_epoch(report)
        self._track_end(entry, outcome)
        if outcome.status == "complete" and outcome.val_accuracy is not None:
            self._best = max(self._best, outcome.val_accuracy)

    def latency(self, key: str, found: Mapping[str, float]) -> None:
        """Note how long a call of a finalist's network takes; its training may have ended."""
        if key in self._entries:
            self._tracker.add_metrics(key, found)

    def notice(self, text: str) -> None:
        """Tell the watcher something."""
        self._emit(Notice(text=text))

    def emit(self, event: Event) -> None:
        """Pass an event on to the watcher."""
        self._emit(event)

    def _role(self, entry: Entry) -> Role:
        if entry.facts["role"] == "baseline":
            return "baseline"
        return "finalist" if entry.stage == "final" else "candidate"

    def _track_start(self, entry: Entry) -> None:
        self._entries[entry.key] = entry
        facts = entry.facts
        role = self._role(entry)
        self._tracker.start_trial(
            TrialRecord(
                key=entry.key,
                label=run_name(
                    entry.label, flops=facts["flops"], role=role, seed=entry.seed_number
                ),
                role=role,
                knobs=dict(entry.knobs),
                metrics={
                    "flops": facts["flops"],
                    "params": facts["params"],
                    "fill": facts["fill"],
                    "activation_bytes": facts["activation_bytes"],
                    "train_flops": 3 * facts["flops"] * entry.images,
                    **_fit_metrics(facts),
                },
                tags={
                    **self._tags,
                    "stage": entry.stage,
                    "origin": facts["origin"],
                    "graph": facts["graph"],
                    "design": facts["name"],
                    **({"bound_by": fit["bound_by"]} if (fit := facts.get("latency_fit")) else {}),
                },
                artifacts=self._artifacts(facts["graph"]),
            )
        )

    def _artifacts(self, identity: str) -> dict[str, str | bytes]:
        text = self._folder.read_graph(identity)
        return {"graph.json": text, "layers.csv": layers_csv(from_json(text))}

    def _track_epoch(self, report: EpochReport) -> None:
        self._tracker.epoch(report.key, report.epoch, numbers(report, skip=("epoch",)))

    def _track_end(self, entry: Entry, outcome: Outcome | None) -> None:
        if outcome is None:
            self._tracker.end_trial(entry.key, "interrupted")
            return
        status: TrialStatus = outcome.status
        wanted = numbers(outcome)
        self._tracker.end_trial(
            entry.key,
            status,
            metrics={name: wanted[name] for name in (*_SHOWN, *_MORE) if name in wanted},
            tags={"reason": outcome.reason} if outcome.reason else {},
        )


def _fit_metrics(facts: Mapping[str, Any]) -> dict[str, float]:
    """Return the latency a network was fitted to in the search: a low quantile, while others trained."""
    fit = facts.get("latency_fit")
    return {} if fit is None else {"search_latency_ms": fit["ms"]}


def layers_csv(graph: Graph) -> str:
    """Return the network's layer table as CSV, one line a layer."""
    lines = ["layer,kind,output,activation_bytes,params,flops,receptive_field_px"]
    for layer in table.layers(graph):
        shape = "x".join(map(str, layer.output))
        costs = f"{layer.activation_bytes},{layer.params},{layer.flops},{layer.receptive_field}"
        lines.append(f"{layer.name},{layer.kind},{shape},{costs}")
    return "\n".join(lines) + "\n"


def numbers(value: EpochReport | Outcome, *, skip: Iterable[str] = ()) -> dict[str, float]:
    """Return a report's figures by name: no texts, none that is missing."""
    return {
        name: float(figure)
        for name, figure in asdict(value).items()
        if isinstance(figure, int | float) and name not in skip
    }
