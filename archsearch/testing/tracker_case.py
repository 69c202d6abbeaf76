"""What every tracker does, as tests: subclass `TrackerCase` to hold a tracker of your own to it."""

import dataclasses
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from archsearch.testing.memory_tracker import MemoryRun
from archsearch.tracking.records import (
    DatasetRecord,
    Ending,
    NetworkRecord,
    StudyRecord,
    Tracker,
    TrialRecord,
)

PATIENCE_S: Final = 60.0
EPOCH: Final = {"loss": 1.0, "val_loss": 1.1, "accuracy": 0.5, "val_accuracy": 0.4}
STUDY: Final = StudyRecord(
    name='it\'s a "study"\nof `a/b`/.. % ü 🙂',
    space="resnext",
    budget="20M",
    dataset=DatasetRecord(
        name="digits", source="digits", digest="ab" * 32, input=(32, 32, 3), classes=10
    ),
    settings={"epochs": 3, "seed": 0, "name": None},
    tags={"asked": "by a test"},
    description="**space** resnext",
    artifacts={"run.toml": "space = 'resnext'\n"},
)
TRIAL: Final = TrialRecord(
    key="trial-0000",
    label="resnext 3-4-6-3 G8 · 19.8M",
    knobs={"depth_1": 3, "cardinality": 8},
    metrics={"flops": 19_800_001, "fill": 0.99},
    tags={"graph": "00ff"},
    artifacts={"graph.json": "{}", "tables/layers.csv": "conv1\n"},
)


NETWORK: Final = NetworkRecord(
    key="trial-0000",
    label="resnext 3-4-6-3 G8 · 19.8M",
    role="candidate",
    knobs={"depth_1": 3, "cardinality": 8},
    tags={"graph": "00ff"},
    artifacts={"graph.json": "{}"},
)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptStudy:
    """What a store holds of a study: of a run its status, last figures, epochs, tags and artifacts.

    A trial's `MemoryRun.network` is the key of the network it is kept with.
    """

    study: MemoryRun
    trials: Mapping[str, MemoryRun]
    """By key."""
    networks: Mapping[str, MemoryRun] = field(default_factory=dict)
    """By key."""


class TrackerCase:
    """The contract of `Tracker`. A subclass says how its tracker is opened, and how its store is read.

    class TestMine(TrackerCase):
        def open(self, home):
            return MyTracker(home / "runs")

        def kept(self, home, study):
            return read_my_runs(home / "runs", study)
    """

    def open(self, home: Path) -> Tracker:
        """Return a tracker on the one store in this folder; it is asked for again after a resume."""
        raise NotImplementedError

    def kept(self, home: Path, study: str) -> KeptStudy:
        """Read what the store holds; all trackers that wrote it were flushed."""
        raise NotImplementedError

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        """Return a new folder; override it where a store needs more before it is opened."""
        return tmp_path

    def test_misuse_is_told_at_once(self, home: Path) -> None:
        done = Ending(status="complete")
        with self.open(home) as tracker:
            with pytest.raises(ValueError, match="no study was started"):
                tracker.start_trial(TRIAL)
            with pytest.raises(ValueError, match="no study was started"):
                tracker.end_study(done)
            tracker.start_study(STUDY)
            with pytest.raises(ValueError, match="tracked already"):
                tracker.start_study(STUDY)
            unknown = f"'{TRIAL.key}' was never started"
            with pytest.raises(ValueError, match=unknown):
                tracker.epoch(TRIAL.key, 1, EPOCH)
            with pytest.raises(ValueError, match=unknown):
                tracker.end_trial(TRIAL.key, done)
            with pytest.raises(ValueError, match=unknown):
                tracker.add_metrics(TRIAL.key, {"latency_ms": 1.0})
            tracker.start_trial(TRIAL)
            with pytest.raises(ValueError, match="started before"):
                tracker.start_trial(TRIAL)
            tracker.end_trial(TRIAL.key, Ending(status="pruned"))
            with pytest.raises(ValueError, match="ended before"):
                tracker.end_trial(TRIAL.key, done)
            with pytest.raises(ValueError, match="a study is not pruned"):
                tracker.end_study(Ending(status="pruned"))
            tracker.end_study(done)
            with pytest.raises(ValueError, match="has ended"):
                tracker.start_trial(dataclasses.replace(TRIAL, key="trial-0001"))
            with pytest.raises(ValueError, match="has ended"):
                tracker.end_study(done)
            assert tracker.close(PATIENCE_S) is None

    @pytest.mark.parametrize("path", ["../out", "/etc/x", "a/../../b", "", "a\\b", "a\0b"])
    def test_artifacts_stay_in_their_run(self, home: Path, path: str) -> None:
        leads_out = {path: "x"}
        with self.open(home) as tracker:
            with pytest.raises(ValueError, match="must stay inside"):
                tracker.start_study(dataclasses.replace(STUDY, artifacts=leads_out))
            tracker.start_study(STUDY)
            with pytest.raises(ValueError, match="must stay inside"):
                tracker.start_trial(dataclasses.replace(TRIAL, artifacts=leads_out))
            tracker.start_trial(TRIAL)
            ending = Ending(status="complete", artifacts=leads_out)
            with pytest.raises(ValueError, match="must stay inside"):
                tracker.end_trial(TRIAL.key, ending)
            with pytest.raises(ValueError, match="must stay inside"):
                tracker.end_study(ending)

    def test_a_trial_is_kept_as_it_was_told(self, home: Path) -> None:
        figures = {"train_s": 3.0, "val_accuracy": 0.6}
        with self.open(home) as tracker:
            tracker.start_study(STUDY)
            known = {"flops": 19_800_001, "fill": 0.99}
            tracker.start_trial(dataclasses.replace(TRIAL, metrics=known))
            known.clear()  # what was told is the tracker's, whatever the caller does with its own
            told = dict(EPOCH)
            tracker.epoch(TRIAL.key, 1, told)
            told["val_accuracy"] = 0.6
            tracker.epoch(TRIAL.key, 2, told)
            tracker.add_metrics(TRIAL.key, {"latency_ms": 4.5})
            tracker.end_trial(
                TRIAL.key,
                Ending(
                    status="complete",
                    metrics=figures,
                    tags={"reason": "-"},
                    artifacts={"notes/end.bin": b"\x00\xff"},
                ),
            )
            told.clear()
            figures.clear()
            tracker.epoch(TRIAL.key, 3, EPOCH)  # a worker's last report may come late
            tracker.add_metrics(TRIAL.key, {"latency_ms": 9.0, "latency_p90_ms": 5.5})
            assert tracker.flush(PATIENCE_S)
            assert tracker.close(PATIENCE_S) is None
        run = self.kept(home, STUDY.name).trials[TRIAL.key]
        assert run.status == "complete"
        assert {"role": "candidate", "graph": "00ff", "reason": "-"}.items() <= run.tags.items()
        assert run.history["val_accuracy"] == pytest.approx({1: 0.4, 2: 0.6})
        wanted = {"flops": 19_800_001, "fill": 0.99, "train_s": 3.0, "val_accuracy": 0.6}
        wanted |= {"loss": 1.0, "latency_ms": 4.5, "latency_p90_ms": 5.5}
        assert {name: run.metrics[name] for name in wanted} == pytest.approx(wanted, rel=1e-5)
        assert _bytes(run)["tables/layers.csv"] == b"conv1\n"
        assert _bytes(run)["notes/end.bin"] == b"\x00\xff"

    def test_a_study_is_kept_as_it_was_told(self, home: Path) -> None:
        with self.open(home) as tracker:
            tracker.start_study(STUDY)
            tracker.start_trial(TRIAL)
            tracker.start_trial(dataclasses.replace(TRIAL, key="open", role="finalist"))
            tracker.end_trial(TRIAL.key, Ending(status="pruned"))
            tracker.end_study(Ending(status="failed", metrics={"best": 0.6}, tags={"why": "x"}))
            assert tracker.close(PATIENCE_S) is None
        found = self.kept(home, STUDY.name)
        assert set(found.trials) == {TRIAL.key, "open"}
        assert found.trials[TRIAL.key].status == "pruned"
        assert found.trials["open"].status == "interrupted"  # the study ended before it did
        assert found.trials["open"].tags["role"] == "finalist"
        assert found.study.status == "failed"
        assert {"asked": "by a test", "why": "x"}.items() <= found.study.tags.items()
        assert found.study.metrics["best"] == pytest.approx(0.6)
        assert _bytes(found.study)["run.toml"] == b"space = 'resnext'\n"

    def test_trainings_are_kept_with_their_network(self, home: Path) -> None:
        def tell(*, role: str, val_accuracy: float) -> KeptStudy:
            with self.open(home) as tracker:
                tracker.start_study(STUDY)
                with pytest.raises(ValueError, match="network 'lost'"):
                    tracker.start_trial(dataclasses.replace(TRIAL, network="lost"))
                tracker.network(NETWORK)
                for key in (TRIAL.key, "final-0000-seed1"):
                    tracker.start_trial(dataclasses.replace(TRIAL, key=key, network=NETWORK.key))
                    tracker.end_trial(key, Ending(status="complete"))
                tracker.network(
                    dataclasses.replace(
                        NETWORK,
                        role=role,
                        status="complete",
                        metrics={"val_accuracy": val_accuracy, "val_accuracy_n": 2},
                    )
                )
                tracker.network(dataclasses.replace(NETWORK, key="left"))
                tracker.end_study(Ending(status="complete"))
                assert tracker.close(PATIENCE_S) is None
            return self.kept(home, STUDY.name)

        tell(role="finalist", val_accuracy=0.9)
        found = tell(role="winner", val_accuracy=0.8)
        assert {run.network for run in found.trials.values()} == {NETWORK.key}
        assert set(found.networks) == {NETWORK.key, "left"}
        assert found.networks["left"].status == "interrupted"  # the study ended before it did
        run = found.networks[NETWORK.key]
        assert run.status == "complete"
        assert {"role": "winner", "graph": "00ff"}.items() <= run.tags.items()
        assert run.metrics["val_accuracy"] == pytest.approx(0.8)  # what is told later counts
        assert run.metrics["val_accuracy_n"] == 2
        assert _bytes(run)["graph.json"] == b"{}"

    def test_a_study_whose_process_died_is_taken_up(self, home: Path) -> None:
        dead = self.open(home)
        dead.start_study(STUDY)
        for key in ("done", "cut", "lost"):
            dead.start_trial(dataclasses.replace(TRIAL, key=key))
            for step in (1, 2):
                dead.epoch(key, step, {"val_accuracy": step / 10})
        dead.end_trial("done", Ending(status="complete"))
        assert dead.flush(PATIENCE_S)  # and no word more of it
        with self.open(home) as tracker:
            tracker.start_study(STUDY)
            assert tracker.flush(PATIENCE_S)
            statuses = {key: run.status for key, run in self.kept(home, STUDY.name).trials.items()}
            assert statuses == {"done": "complete", "cut": "interrupted", "lost": "interrupted"}
            with pytest.raises(ValueError, match="'cut' was never started"):
                tracker.epoch("cut", 2, EPOCH)  # not by this one
            tracker.start_trial(dataclasses.replace(TRIAL, key="cut"))
            assert tracker.flush(PATIENCE_S)
            assert self.kept(home, STUDY.name).trials["cut"].status == "running"
            for step in (2, 3):  # epoch 2 comes again, from the checkpoint of epoch 1
                tracker.epoch("cut", step, {"val_accuracy": step / 10})
            tracker.end_trial("cut", Ending(status="complete"))
            tracker.end_study(Ending(status="complete"))
            assert tracker.close(PATIENCE_S) is None
        found = self.kept(home, STUDY.name)
        assert set(found.trials) == {"done", "cut", "lost"}
        assert found.study.status == found.trials["cut"].status == "complete"
        history = found.trials["cut"].history["val_accuracy"]
        assert history == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3})
        assert found.trials["lost"].status == "interrupted"

    def test_what_is_told_again_changes_nothing(self, home: Path) -> None:
        """A driver that resumes tells of every trial again: its tracker may have lost something."""

        def tell(epochs: int) -> KeptStudy:
            with self.open(home) as tracker:
                tracker.start_study(STUDY)
                tracker.start_trial(TRIAL)
                for step in range(1, epochs + 1):
                    tracker.epoch(TRIAL.key, step, {**EPOCH, "images_per_s": 100.0 + step})
                tracker.end_trial(
                    TRIAL.key, Ending(status="complete", metrics={"images_per_s": 101.5})
                )
                tracker.add_metrics(TRIAL.key, {"latency_ms": 4.5})
                tracker.end_study(Ending(status="complete"))
                assert tracker.close(PATIENCE_S) is None
            return self.kept(home, STUDY.name)

        first = tell(2)
        assert first.trials[TRIAL.key].metrics["images_per_s"] == 101.5  # the last word counts
        assert tell(2) == first
        longer = tell(3).trials[TRIAL.key]  # what was lost then is written now
        assert longer.status == "complete"
        assert set(longer.history["val_accuracy"]) == {1, 2, 3}

    def test_a_trial_of_an_earlier_process_is_recalled(self, home: Path) -> None:
        """Whatever came of it there: all of it, a part, or nothing; and once more changes nothing."""
        ending = Ending(status="complete", metrics={"train_s": 3.0}, tags={"reason": "-"})
        keys = ("whole", "cut", "lost")
        trials = {key: dataclasses.replace(TRIAL, key=key) for key in keys}
        epochs = [(step, {**EPOCH, "val_accuracy": step / 10}) for step in (1, 2, 3)]
        dead = self.open(home)
        dead.start_study(STUDY)
        for key, count in (("whole", 3), ("cut", 1)):
            dead.start_trial(trials[key])
            for step, metrics in epochs[:count]:
                dead.epoch(key, step, metrics)
        dead.end_trial("whole", ending)
        assert dead.flush(PATIENCE_S)  # and no word more of it
        found = []
        for _ in range(2):
            with self.open(home) as tracker:
                tracker.start_study(STUDY)
                for trial in trials.values():
                    tracker.recall(trial, ending, lambda: epochs)
                with pytest.raises(ValueError, match="started before"):
                    tracker.start_trial(trials["whole"])
                tracker.add_metrics("whole", {"latency_ms": 4.5})
                tracker.end_study(Ending(status="complete"))
                assert tracker.close(PATIENCE_S) is None
            found.append(self.kept(home, STUDY.name))
        assert found[0] == found[1]
        assert set(found[0].trials) == set(keys)
        for run in found[0].trials.values():
            assert run.status == "complete"
            assert run.history["val_accuracy"] == pytest.approx({1: 0.1, 2: 0.2, 3: 0.3})
            assert run.metrics["train_s"] == 3.0
            assert run.tags["reason"] == "-"

    def test_an_epoch_told_twice_counts_once(self, home: Path) -> None:
        with self.open(home) as tracker:
            tracker.start_study(STUDY)
            tracker.start_trial(TRIAL)
            for accuracy in (0.4, 0.5):  # a worker died after its report and did it again
                tracker.epoch(TRIAL.key, 1, {"val_accuracy": accuracy})
            tracker.end_study(Ending(status="complete"))
            assert tracker.close(PATIENCE_S) is None
        run = self.kept(home, STUDY.name).trials[TRIAL.key]
        assert run.history["val_accuracy"] == pytest.approx({1: 0.4})
        assert run.metrics["val_accuracy"] == pytest.approx(0.4)

    def test_threads_may_tell_it_at_once(self, home: Path) -> None:
        def tell(number: int) -> None:
            for trial in range(3):
                key = f"t{number}-{trial}"
                tracker.start_trial(TrialRecord(key=key, label=key))
                for step in range(1, 6):
                    tracker.epoch(key, step, {"custom": step + number / 10})
                tracker.end_trial(key, Ending(status="complete"))

        with self.open(home) as tracker:
            tracker.start_study(STUDY)
            threads = [threading.Thread(target=tell, args=(n,)) for n in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            tracker.end_study(Ending(status="complete"))
            assert tracker.close(PATIENCE_S) is None
        found = self.kept(home, STUDY.name)
        assert len(found.trials) == 12
        for key, run in found.trials.items():
            tenth = int(key[1]) / 10
            assert run.history["custom"] == pytest.approx({e: e + tenth for e in range(1, 6)})

    def test_closed_it_is_closed(self, home: Path) -> None:
        tracker = self.open(home)
        tracker.start_study(STUDY)
        assert tracker.close(PATIENCE_S) is None
        assert tracker.close(PATIENCE_S) is None
        with pytest.raises(ValueError, match="closed"):
            tracker.start_trial(TRIAL)


def _bytes(run: MemoryRun) -> dict[str, bytes]:
    return {
        path: content.encode() if isinstance(content, str) else content
        for path, content in run.artifacts.items()
    }
