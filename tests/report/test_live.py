"""What a person sees while a run works: live, plain or nothing, all from the same events."""

import errno
import io
from dataclasses import replace

import pytest
from rich.console import Console

from archsearch.archive.design import Design
from archsearch.archive.keys import JobKey
from archsearch.archive.orders import Length, Order
from archsearch.report.live import LiveView, PlainView, open_view, progress_bar
from archsearch.report.tables import PlainConsole
from archsearch.study.events import (
    EpochDone,
    FinalistsStarted,
    JobEnded,
    JobStarted,
    Notice,
    Preparing,
)
from archsearch.training.job import EpochReport, Outcome


def _job(key):
    design = Design(
        name="trial-0000", label="resnext 3-3-3 G8", origin="search", graph="g", flops=20_000_000,
        params=134_000,
    )  # fmt: skip
    order = Order(key=JobKey.parse(key), design=design, length=Length(300, 3), seed=0)
    report = EpochReport(
        key=key, epoch=2, loss=1.25, accuracy=0.5, val_loss=1.0, val_accuracy=0.75,
        images_per_s=150.4, learning_rate=0.1, wall_s=9.0,
    )  # fmt: skip
    outcome = Outcome(key=key, status="complete", val_accuracy=0.75, epochs=3, total_s=75.0)
    ended = JobEnded(order=order, outcome=outcome, best=True)
    return JobStarted(order=order), EpochDone(order=order, report=report), ended


def test_plain_lines():
    stream = io.StringIO()
    with PlainView(stream) as view:
        for event in (*_job("trial-0000"), Notice(text="something to hear")):
            view(event)
    lines = stream.getvalue().splitlines()
    assert any("resnext 3-3-3 G8 (20.0M FLOPs)" in line for line in lines)
    assert any("epoch 2/3  loss 1.250  val 75.0%  150 images/s" in line for line in lines)
    assert any("complete, val 75.0%, 1 min 15 s" in line and "best" in line for line in lines)
    assert lines[-1].endswith("something to hear")


@pytest.mark.parametrize(
    ("entrants", "jobs", "line"),
    [
        ((), 0, ""),  # no trial came to its end
        (("a",), 1, "Finals: a from scratch, 1 training\n"),
        (("a", "b"), 4, "Finals: a, b from scratch, 4 trainings\n"),
    ],
)
def test_finals_are_told_where_there_are_any(entrants, jobs, line):
    for view_of in (PlainView, lambda stream: LiveView(Console(file=stream, width=120))):
        stream = io.StringIO()
        with view_of(stream) as view:
            view(FinalistsStarted(rows=(), entrants=entrants, jobs=jobs))
        assert stream.getvalue().strip() == line.strip()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_the_live_view_fits_any_window(width):
    stream = io.StringIO()
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    with LiveView(console) as view:
        for key in ("trial-0000", "trial-0001"):
            started, epoch, ended = _job(key)
            view(started)
            view(epoch)
        view(ended)
    assert "resnext" in stream.getvalue()


def test_images_that_take_a_while_are_told():
    stream = io.StringIO()
    with PlainView(stream) as view:
        for done in (10_000, 20_000):
            view(Preparing(done=done, images=60_000))
    assert stream.getvalue() == "preparing 60,000 images\n"
    stream = io.StringIO()
    console = Console(file=stream, width=80, force_terminal=True, color_system=None)
    with LiveView(console) as view:
        view(Preparing(done=20_000, images=60_000))
        view._live.refresh()
    assert "images ━━━━━━━━━─────────────────── 20,000/60,000" in stream.getvalue()


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_of_its_own_in_a_terminal_only(monkeypatch):
    for name in ("NO_COLOR", "CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    terminal, pipe = _Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        with progress_bar("images", stream=stream) as tell:
            tell(500, 1000)
    assert "500/1,000" in terminal.getvalue()
    assert pipe.getvalue() == ""


@pytest.mark.parametrize("variable", ["NO_COLOR", "CI"])
def test_no_bars_where_none_are_wanted(variable, monkeypatch):
    for name in ("NO_COLOR", "CI", "TERM"):
        monkeypatch.delenv(name, raising=False)
    assert isinstance(open_view(quiet=False, stream=_Terminal()), LiveView)
    monkeypatch.setenv(variable, "1")
    assert isinstance(open_view(quiet=False, stream=_Terminal()), PlainView)
    assert isinstance(open_view(quiet=False, stream=io.StringIO()), PlainView)


def test_an_epoch_that_was_not_evaluated_leaves_the_last_accuracy_in_view():
    _, done, _ = _job("trial-0000")
    later = replace(done.report, epoch=3, loss=1.0, val_loss=None, val_accuracy=None)
    skipped = replace(done, report=later)
    stream = io.StringIO()
    with PlainView(stream) as view:
        view(skipped)
    assert "epoch 3/3  loss 1.000  150 images/s" in stream.getvalue()
    with LiveView(Console(file=io.StringIO(), width=120)) as view:
        for event in (_job("trial-0000")[0], done, skipped):
            view(event)
        assert view._board.jobs["trial-0000"].note == "loss 1.000  val 75.0%  150 images/s"


def test_what_is_left_counts_networks_that_are_half_through(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("archsearch.report.live.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    _, first, ended = _job("trial-0000")
    order = replace(first.order, key=JobKey.parse("trial-0001"), length=Length(400, 4))
    other = EpochDone(order=order, report=replace(first.report, key="trial-0001"))
    with PlainView(stream) as view:
        view._clock.begin(8)
        now[0] = 90.0
        for event in (first, other, ended):
            view(event)
    # One and a half of eight in a minute and a half.
    assert stream.getvalue().splitlines()[-1].endswith("best so far; about 6 min 30 s left")


class Gone(io.StringIO):
    """A terminal that has closed: what is written to it fails."""

    def __init__(self, number: int, place: int) -> None:
        super().__init__()
        self.number, self.place = number, place

    def write(self, text: str) -> int:
        raise OSError(self.number, "gone")

    def fileno(self) -> int:
        return self.place


@pytest.mark.parametrize("number", [errno.EIO, errno.EPIPE])
def test_a_run_goes_on_where_nobody_watches_any_more(number: int, tmp_path):
    with (tmp_path / "terminal").open("w") as place:
        gone = Gone(number, place.fileno())
        PlainView(gone)(Notice(text="a"))
        LiveView(PlainConsole(file=gone))(Notice(text="a"))
        with pytest.raises(OSError, match="gone"):  # what is another matter is not hidden
            PlainView(Gone(errno.ENOSPC, place.fileno()))(Notice(text="a"))
