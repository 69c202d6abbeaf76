"""What a notebook's cell shows of a run: the lines that stay, the bars while it works."""

import sys
from types import SimpleNamespace

from archsearch.report.live import SilentView
from archsearch.report.notebook.cell import NotebookView, open_notebook_view
from archsearch.study.events import EpochDone
from tests.small_study import NAME


class Cell:
    """What IPython's `display` gives: a handle by which a shown thing is replaced."""

    def __init__(self):
        self.shown = []

    def __call__(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.shown.append(bundle)
        return self

    def update(self, bundle, *, raw):
        assert raw
        self.shown.append(bundle)


def watched(done, clock=lambda: 0.0):
    """What a cell shows of a study, one drawing after the other."""
    cell = Cell()
    with NotebookView(cell, clock) as view:
        for event in done.events:
            view(event)
    return cell.shown


def test_bars_while_it_works_and_lines_when_it_is_over(done):
    shown = watched(done)
    bars = [bundle["text/plain"] for bundle in shown if "─" in bundle["text/plain"]]
    assert any("search" in text for text in bars)
    assert any("finals" in text for text in bars)
    last = shown[-1]["text/plain"]
    assert f"Study {NAME}" in last
    assert "complete" in last
    assert "─" not in last
    assert "━" not in last


def test_what_is_shown_is_text_and_never_markup(done):
    for bundle in watched(done):
        assert set(bundle) == {"text/plain", "text/html"}
        inside = bundle["text/html"].removeprefix("<pre>").removesuffix("</pre>")
        assert "<" not in inside


def test_epochs_are_drawn_a_few_times_a_second_at_most(done):
    epochs = sum(isinstance(event, EpochDone) for event in done.events)
    slow, quick = watched(done, iter(range(10_000)).__next__), watched(done)
    assert len(slow) == len(done.events) + 2  # as it begins, and as it ends
    assert len(slow) - len(quick) == epochs  # other events fall into the same quarter of a second


def test_a_kernel_has_a_cell_and_no_other_process(monkeypatch):
    assert isinstance(open_notebook_view(), SilentView)
    cell = Cell()
    for shell, kind in (
        (SimpleNamespace(kernel=object()), NotebookView),
        (SimpleNamespace(), SilentView),  # IPython in a terminal
        (None, SilentView),  # imported by a script
    ):
        display = SimpleNamespace(display=cell)
        ipython = SimpleNamespace(get_ipython=lambda shell=shell: shell, display=display)
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)
        assert isinstance(open_notebook_view(), kind)
