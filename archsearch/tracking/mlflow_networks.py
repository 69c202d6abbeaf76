"""The networks of a study as MLflow runs: nested in the study's, each with its trainings nested in it."""

from typing import Any, Final

from archsearch.tracking.records import NetworkRecord, StudyRecord
from archsearch.tracking.run_names import one_line
from archsearch.tracking.run_writer import KnownRun, RunWriter
from archsearch.tracking.runs import LEVEL, PARENT, all_runs, close_run, figure, plain_key

_KEY: Final = "design"
"""The tag that names a network: its trainings have it, too."""


class NetworkRuns:
    """Writes the networks of one study. Telling the same again changes nothing."""

    def __init__(self, writer: RunWriter) -> None:
        self._write = writer
        self._runs: dict[str, KnownRun] = {}
        self._begun: set[str] = set()
        self._whole: set[str] = set()  # their files are kept

    def __bool__(self) -> bool:
        return bool(self._runs)

    @property
    def knobs(self) -> tuple[str, ...]:
        """Names of the params that any of them has."""
        return tuple(sorted(set().union(*(run.params for run in self._runs.values()))))

    @property
    def ranked(self) -> bool:
        """Whether they have their places."""
        return any("place" in run.history for run in self._runs.values())

    def run_id(self, key: str) -> str | None:
        """Return the id of a network's run; None: the store could not keep it."""
        run = self._runs.get(key)
        return None if run is None else run.run_id

    def take_up(self, run: Any, *, whole: bool = False) -> None:
        """Take down a run that the store holds already, its files too where it is `whole`."""
        key = run.data.tags.get(_KEY, "")
        known = KnownRun(
            run.info.run_id,
            run.info.run_name,
            run.data.tags.get(PARENT, ""),
            set(run.data.params),
            {name: {0: value} for name, value in run.data.metrics.items()},
            kept=run.data.tags.get("status", "running"),
            tags=dict(run.data.tags),
        )
        self._runs[key] = known
        if whole:
            self._whole.add(key)

    def tell(
        self,
        network: NetworkRecord,
        *,
        study: StudyRecord,
        experiment_id: str,
        parent: str,
        at_ms: int,
    ) -> None:
        """Open a network's run, or bring it up to date."""
        tags = {
            **network.tags,
            "study": study.name,
            "space": study.space,
            "budget": study.budget,
            LEVEL: "network",
            "role": network.role,
            _KEY: network.key,
        }
        run = self._known(network.key, experiment_id)
        name = one_line(network.label)
        if run is None:
            first = {**tags, PARENT: parent, "status": "running"}
            made = self._write.create(
                experiment_id, name, study=study.name, tags=first, at_ms=at_ms
            )
            run = KnownRun(made.info.run_id, name, parent, kept="running")
            run.note_tags(first)
            self._runs[network.key] = run
        elif run.name != name:
            self._write.client.update_run(run.run_id, name=name)
            run.name = name
        if network.key not in self._whole:
            self._write.log_dataset(run.run_id, study.dataset)
            self._write.put(run.run_id, network.artifacts)
            self._whole.add(network.key)
        tags["status"] = network.status
        self._tell_figures(run, network, tags, at_ms)
        self._set_status(run, network.status, at_ms, tagged=True)

    def end_open(self, at_ms: int) -> None:
        """End the runs that are open as interrupted: their study ends."""
        for run in self._runs.values():
            if run.kept == "running":
                self._set_status(run, "interrupted", at_ms)

    def _known(self, key: str, experiment_id: str) -> KnownRun | None:
        # To look through all runs takes longer the more there are: only where this failed before.
        if key not in self._runs and key in self._begun:
            for run in all_runs(self._write.client, experiment_id):
                if run.data.tags.get(LEVEL) == "network" and run.data.tags.get(_KEY) == key:
                    self.take_up(run)
        self._begun.add(key)
        return self._runs.get(key)

    def _tell_figures(
        self, run: KnownRun, network: NetworkRecord, tags: dict[str, str], at_ms: int
    ) -> None:
        params = run.new_params(network.knobs)
        changed = {
            name: value
            for name, value in network.metrics.items()
            if run.history.get(plain_key(name), {}).get(0) != figure(value)
        }
        rows = [(changed, 0, at_ms)]
        self._write.send(run.run_id, rows, params=params, tags=run.new_tags(tags))
        run.note(rows)
        run.note_tags(tags)
        run.params |= {plain_key(name) for name in params}

    def _set_status(self, run: KnownRun, status: str, at_ms: int, *, tagged: bool = False) -> None:
        if run.kept == status:
            return
        if not tagged:
            self._write.client.set_tag(run.run_id, "status", status)
            run.note_tags({"status": status})
        if status == "running":
            self._write.client.update_run(run.run_id, status="RUNNING")
        else:
            close_run(self._write.client, run.run_id, status, at_ms)
            self._write.forget(run.run_id)
        run.kept = status
