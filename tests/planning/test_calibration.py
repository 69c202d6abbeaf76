"""Ways to share a machine, measured by engines whose speed is made up."""

from dataclasses import replace

import pytest

from archsearch.engines.engine import Machine as EngineMachine
from archsearch.errors import ArchsearchError
from archsearch.planning.calibration import Calibration
from archsearch.planning.pace import MEASURE_S
from archsearch.planning.problem import pose
from archsearch.report.plan import plan_lines
from archsearch.settings import RunSettings
from archsearch.study.loop import Loop
from archsearch.study.recorder import PaceRecorder
from archsearch.testing.fake_engine import FakeEngine
from archsearch.training.job import Outcome

MEASUREMENT_S = 10.0


class Machine:
    """Eight cores; a clock that measuring moves on; workers of so many images a second.

    `room`: trainings at a time that there is memory for; `working(shared)` is called while workers measure,
    and may fail.
    """

    def __init__(self, images_per_s, start_s=1.0, *, room=None, working=lambda shared: None):
        self.images_per_s = images_per_s
        self.start_s = start_s
        self.room = room
        self.working = working
        self.now = 0.0
        self.engines = []
        self.told = []

    def engine(self, shared):
        assert self.open == 0, "two engines at a time"

        def tell(outcome):
            self.now += MEASUREMENT_S / max(2, shared.workers)
            if self.room is not None and int(outcome.key.rpartition("-")[2]) >= self.room:
                return Outcome(key=outcome.key, status="failed", reason="CUDA out of memory")
            return replace(outcome, images_per_s=self.images_per_s(shared), start_s=self.start_s)

        def before(engine):
            self.working(shared)

        self.engines.append(FakeEngine(shared.workers, tell=tell, before=before))
        return self.engines[-1]

    @property
    def opened(self):
        return [engine.workers for engine in self.engines]

    @property
    def open(self):
        return sum(not engine.closed for engine in self.engines)

    def calibration(self, stopped=lambda: False):
        return Calibration(
            open_engine=self.engine,
            drive=self.drive,
            clock=lambda: self.now,
            began=0.0,
            stopped=stopped,
            tell=self.told.append,
        )

    def drive(self, engine, problem, phase, stopped):
        recorder = PaceRecorder(problem.job, seconds=MEASURE_S)
        Loop(engine, recorder, clock=lambda: self.now, stopped=stopped, halts=False).run(phase)

    def chosen(self, problem):
        with self.calibration().run(problem) as found:
            assert self.open == 1
            assert found.engine.workers == found.problem.sharing.workers
        assert self.open == 0
        return found


@pytest.fixture
def problem(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def make(**changes):
        settings = RunSettings(
            space="vgg",
            flops="20M",
            trials=100,
            fidelity="median",
            backend="tensorflow",
            home=str(tmp_path),
        )
        return pose(replace(settings, **changes), EngineMachine(cores=8))

    return make


def alone(shared):
    """One thread trains as fast as many: the more workers, the better."""
    return 100.0


def together(shared):
    """Workers get in each other's way."""
    return 2000.0 / shared.workers**2


def test_workers_are_doubled_as_long_as_that_is_faster(problem):
    machine = Machine(alone)
    found = machine.chosen(problem())
    assert found.problem.sharing.workers == 8
    assert machine.opened == [4, 8]  # the last one goes on, nothing is left to try beyond it
    # 13 rounds of trials and one of finals, where 4 workers take 25 and one.
    assert found.forecast.tried == {
        "4 workers of 2 threads, tensorflow, float32": pytest.approx(14 / 26)
    }
    assert found.forecast.workers == 8
    (line,) = [line for line in plan_lines(found.forecast) if line.startswith("machine")]
    assert line.endswith(
        "Measured, by its speed: 4 workers of 2 threads, tensorflow, float32 0.54×"
    )


def test_they_are_halved_where_that_is_faster(problem):
    machine = Machine(together)
    found = machine.chosen(problem(epochs=40))
    assert found.problem.sharing.workers == 2  # one alone is not even tried
    assert machine.opened == [4, 8, 2]
    assert len(found.forecast.tried) == 2


def test_the_best_is_opened_again_where_it_is_not_the_last(problem):
    machine = Machine(lambda shared: 100.0 if shared.workers == 4 else 10.0)
    found = machine.chosen(problem())
    assert found.problem.sharing.workers == 4
    assert machine.opened == [4, 8, 2, 4]


def test_a_little_faster_is_not_faster(problem):
    machine = Machine(lambda shared: 105.0 * 4 / shared.workers if shared.workers == 8 else 100.0)
    assert machine.chosen(problem()).problem.sharing.workers == 4


@pytest.mark.parametrize(
    ("changes", "opened"),
    [
        # 100 trials of 4 epochs take 4 workers two minutes: not worth 10 s.
        ({}, [4]),
        # Five times that is worth one other measurement, ten times both.
        ({"epochs": 18}, [4, 8, 4]),
        ({"epochs": 60}, [4, 8, 2, 4]),
        # Where it is said there is nothing to choose.
        ({"epochs": 400, "workers": 4}, [4]),
        # A bounded run is no longer than its bound.
        ({"epochs": 18, "max_time": "4min"}, [4]),
        ({"epochs": 60, "max_time": "2h"}, [4, 8, 2, 4]),
    ],
)
def test_measuring_takes_a_small_part_of_the_run(problem, changes, opened):
    machine = Machine(lambda shared: 1000.0 * 4 / shared.workers, start_s=0.0)
    found = machine.chosen(problem(**changes))
    assert machine.opened == opened
    assert found.problem.sharing.workers == 4
    if len(opened) > 1:
        assert (len(machine.told) - 1) * MEASUREMENT_S <= 0.021 * found.forecast.total_s


def test_what_cannot_be_measured_is_not_chosen(problem):
    machine = Machine(lambda shared: 0.0 if shared.workers == 8 else 100.0)
    found = machine.chosen(problem(epochs=100))
    assert found.problem.sharing.workers != 8
    assert found.forecast.tried["8 workers of 1 thread, tensorflow, float32"] == 0


def test_what_takes_too_long_is_given_up(problem):
    machine = Machine(lambda shared: 1000.0 * 4 / shared.workers)
    measured = machine.engine

    def engine(shared):
        if shared.workers == 8:
            machine.now += 20.0  # its workers are slow to start
        return measured(shared)

    machine.engine = engine
    found = machine.chosen(problem(epochs=20))
    assert machine.opened == [4, 8, 4]
    assert found.forecast.tried == {"8 workers of 1 thread, tensorflow, float32": 0.0}
    assert machine.now < 40


@pytest.mark.parametrize(("broken", "ends"), [(8, False), (4, True)])
def test_workers_that_do_not_start_end_only_a_run_that_needs_them(problem, broken, ends):
    def working(shared):
        if shared.workers == broken:
            raise ArchsearchError("worker processes do not start")

    machine = Machine(alone, working=working)
    if ends:
        with pytest.raises(ArchsearchError, match="do not start"):
            machine.chosen(problem(epochs=60))
    else:
        found = machine.chosen(problem(epochs=60))
        assert found.problem.sharing.workers == 4
        assert found.forecast.tried["8 workers of 1 thread, tensorflow, float32"] == 0
    assert machine.open == 0


def test_workers_that_do_not_all_find_memory_are_not_chosen(problem):
    machine = Machine(alone, room=4)
    found = machine.chosen(problem(epochs=60))
    assert found.problem.sharing.workers == 4
    assert found.forecast.tried["8 workers of 1 thread, tensorflow, float32"] == 0
    assert not [note for note in found.forecast.notes if "failed" in note]


def test_the_first_guess_is_halved_until_all_find_memory(problem):
    machine = Machine(alone, room=2)
    found = machine.chosen(problem())
    assert found.problem.sharing.workers == 2
    assert machine.opened == [4, 2]
    assert found.forecast.tried == {"4 workers of 2 threads, tensorflow, float32": 0.0}


def test_trainings_that_fail_however_few_there_are_leave_the_number_as_it_was(problem):
    machine = Machine(alone, room=1)  # the second network fails always
    found = machine.chosen(problem())
    assert machine.opened == [4, 2, 1, 4]
    assert found.problem.sharing.workers == 4
    assert "of 4 trainings failed: CUDA out of memory" in " ".join(found.forecast.notes)
    (line,) = [line for line in plan_lines(found.forecast) if line.startswith("machine")]
    assert line.endswith("1 worker of 8 threads, tensorflow, float32 given up")


def test_where_the_number_of_workers_is_asked_for_it_says_that_they_do_not_fit(problem):
    machine = Machine(alone, room=2)
    found = machine.chosen(problem(workers=4))
    assert found.problem.sharing.workers == 4
    (note,) = [note for note in found.forecast.notes if "failed" in note]
    assert note.startswith("2 of 4 trainings failed: CUDA out of memory; with fewer --workers")


def test_no_pace_no_choice(problem):
    machine = Machine(lambda shared: 0.0)
    found = machine.chosen(problem(epochs=100))
    # Fewer workers do no better, so that it is not their number.
    assert machine.opened == [4, 2, 1, 4]
    assert found.problem.sharing.workers == 4
    assert found.forecast.total_s is None


def test_stopping_ends_it(problem):
    machine = Machine(alone)
    with machine.calibration(stopped=lambda: True).run(problem(epochs=400)):
        pass
    assert machine.opened == [4]
    assert machine.open == 0


def test_an_engine_does_not_outlive_an_error(problem):
    machine = Machine(alone)
    with pytest.raises(ZeroDivisionError), machine.calibration().run(problem()):
        raise ZeroDivisionError
    assert machine.open == 0
