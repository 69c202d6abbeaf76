"""Events by name: each method hears its own, in the order in which things happen."""

import inspect

import archsearch
from tests.small_study import NAME


class Heard(archsearch.Callback):
    def __init__(self):
        self.names = []
        self.best = 0.0

    def on_study_start(self, event):
        self.names.append("start")
        assert event.settings.trials == 4

    def on_epoch_end(self, event):
        self.names.append("epoch")

    def on_training_end(self, event):
        self.names.append("training")
        self.best = max(self.best, event.outcome.val_accuracy)

    def on_finals_start(self, event):
        self.names.append("finals")

    def on_study_end(self, event):
        self.names.append("end")
        assert event.result.study == NAME


def test_methods_hear_their_events(done):
    heard = Heard()
    for event in done.events:
        heard(event)
    assert heard.names[0] == "start"
    assert heard.names[-1] == "end"
    assert heard.names.count("finals") == 1
    assert heard.names.index("epoch") < heard.names.index("training") < heard.names.index("finals")
    assert heard.best >= max(row.val_accuracy or 0 for row in done.result.rows)


def test_what_is_not_overridden_is_passed_over(done):
    for event in done.events:
        assert archsearch.Callback()(event) is None


def test_every_method_says_what_it_is_told():
    methods = [name for name in dir(archsearch.Callback) if name.startswith("on_")]
    assert set(methods) == set(archsearch.Callback._METHODS.values())
    assert all(inspect.getdoc(getattr(archsearch.Callback, name)) for name in methods)
