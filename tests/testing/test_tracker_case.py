"""Trackers that do not keep to the contract are caught by its suite."""

from types import SimpleNamespace

import pytest

from archsearch.testing.memory_tracker import MemoryTracker
from archsearch.testing.tracker_case import TrackerCase


class LastWins(MemoryTracker):
    def epoch(self, key, step, metrics):
        if self._ledger.epoch(key):
            for name, value in metrics.items():
                self.trials[key].history.setdefault(name, {})[step] = value
                self.trials[key].metrics[name] = value


class Forgetful(MemoryTracker):
    def __init__(self, before=None):
        super().__init__()


class Sharing(MemoryTracker):
    def start_trial(self, trial):
        super().start_trial(trial)
        self.trials[trial.key].metrics = trial.metrics


class Trusting(MemoryTracker):
    def end_trial(self, key, ending):
        self.trials[key].end(ending)


class Patient(MemoryTracker):
    def end_study(self, ending, *, description=""):
        self._ledger.end_study(ending.status)
        self.study.end(ending)


class Reopened(MemoryTracker):
    def close(self, timeout_s=30.0):
        return None


class Stubborn(MemoryTracker):
    def network(self, network):
        self._ledger.network(network.key)
        if network.key not in self.networks:
            super().network(network)


class Losing(MemoryTracker):
    def close(self, timeout_s=30.0):
        super().close()
        return "something was lost"


@pytest.mark.parametrize(
    ("tracker", "test"),
    [
        (LastWins, "test_an_epoch_told_twice_counts_once"),
        (Forgetful, "test_a_study_whose_process_died_is_taken_up"),
        (Sharing, "test_a_trial_is_kept_as_it_was_told"),
        (Trusting, "test_misuse_is_told_at_once"),
        (Patient, "test_a_study_is_kept_as_it_was_told"),
        (Reopened, "test_closed_it_is_closed"),
        (Stubborn, "test_trainings_are_kept_with_their_network"),
        (Losing, "test_threads_may_tell_it_at_once"),
    ],
)
def test_what_is_wrong_is_caught(tracker, test, tmp_path):
    class Case(TrackerCase):
        last = None

        def open(self, home):
            self.last = self.made(self.last)
            return self.last

        def kept(self, home, study):
            return SimpleNamespace(
                study=self.last.study, trials=self.last.trials, networks=self.last.networks
            )

    Case.made = MemoryTracker
    getattr(Case(), test)(tmp_path)
    Case.made = tracker
    # Whichever way a test fails: an AssertionError, pytest's own "did not raise", a KeyError.
    with pytest.raises((AssertionError, KeyError, pytest.fail.Exception)):
        getattr(Case(), test)(tmp_path / "again")
