"""How long networks train is kept with the home: a later study on the same platform begins with it."""

import shutil
from dataclasses import replace
from functools import cache
from math import log
from pathlib import Path

import numpy as np
import pytest

from archsearch.archive.databases import default_url, opened
from archsearch.archive.store import StudyStore
from archsearch.engines.engine import Machine
from archsearch.ir.codec import from_json
from archsearch.planning.problem import pose
from archsearch.readings.workload import COEFFICIENTS, coefficients_of, log_effort, workload
from archsearch.settings import RunSettings
from archsearch.study.catalogue import delete_study
from archsearch.study.conduct import choices_of
from archsearch.study.dry_run import plan
from archsearch.study.events import Planned
from archsearch.study.interrupt import Interrupted
from archsearch.testing.fake_engine import FakeClock, FakeEngine
from tests.world import TRAIN, World, interrupting

HERE = Machine(cores=2, memory_bytes=8_000_000_000, processor="AMD EPYC")
SETTINGS = {
    "space": "mobilenet", "flops": "3M", "trials": 24, "epochs": 2, "workers": 1, "finalists": 0,
    "sampler": "random", "fidelity": "none", "export": False, "backend": "tensorflow",
}  # fmt: skip


@cache
def epoch_s(graph: str) -> float:
    """As on a GPU: each op takes its time to be begun, and hardly anything else counts."""
    return 0.01 * 2 ** (1.5 * workload(from_json(graph)).ops)


def world(machine: Machine = HERE, **options) -> World:
    clock = FakeClock(1000.0)

    def engine(setups, folder):
        def seconds(key: str, epoch: int) -> float:
            taken = (*made.submitted, *made.measured)
            return epoch_s(next(job.graph for job in taken if job.key == key))

        made = FakeEngine(len(setups), train_images=TRAIN, epoch_s=seconds, clock=clock, **options)
        return made

    return World(engine=engine, machine=lambda: machine, clock=clock)


def settings(home: Path, **changes) -> RunSettings:
    return RunSettings(**{**SETTINGS, "home": str(home), **changes})


@pytest.fixture(scope="module")
def ended(tmp_path_factory) -> Path:
    """A home with one study that has ended."""
    home = tmp_path_factory.mktemp("home")
    first = world().run(settings(home, name="first"))
    assert first.durations_from == {}
    return home


def planned(home: Path, machine: Machine = HERE, **changes):
    asked = settings(home, **{"name": "later", "seed": 7, **changes})
    return plan(asked, services=world(machine).services())


def off(home: Path, efforts, space: str) -> float:
    """By how much foretold durations of networks of a space are off: the sd of their logarithms."""
    asked = settings(home, space=space, flops="5M")
    loads = pose(asked, HERE).workloads()
    return float(np.std([log_effort(load, efforts) - log(2) * 1.5 * load.ops for load in loads]))


def test_networks_that_nobody_has_trained_are_foretold(ended):
    learnt = coefficients_of(planned(ended).pace.durations.coefficients)
    for space in ("mobilenet", "vgg"):
        before = off(ended, COEFFICIENTS, space)
        assert off(ended, learnt, space) < 0.6 * before
        assert before > 0.2


def test_the_plan_goes_by_it_and_says_so(ended):
    asked = {"space": "nin", "flops": "5M"}
    found = planned(ended, **asked)
    assert found.durations_from == found.to_dict()["durations_from"] == {"first": 24}
    line = "knows how long networks train from: first (24 networks); --no-prior leaves that out"
    assert line in found.notes
    without = planned(ended, prior=False, **asked)
    assert without.durations_from == {}
    assert not any("how long networks train" in note for note in without.notes)


def test_the_plan_is_nearer_to_what_happens(ended):
    misses = []
    for seed in range(3):
        asked = {"space": "nin", "flops": "5M", "seed": seed}
        loads = pose(settings(ended, **asked), HERE).workloads()
        really_s = 2 * float(np.mean([0.01 * 2 ** (1.5 * load.ops) for load in loads]))
        found = [planned(ended, prior=prior, **asked).trial_s for prior in (True, False)]
        misses.append(np.abs(np.log(np.array(found) / really_s)))
    learnt, before = np.array(misses).T
    assert learnt.max() < 0.1
    assert learnt.mean() < 0.5 * before.mean()


@pytest.mark.parametrize(
    ("machine", "changes"),
    [
        (replace(HERE, processor="Intel Xeon"), {}),
        (replace(HERE, processor=""), {}),
        (replace(HERE, cores=4), {}),
        (HERE, {"backend": "jax"}),
    ],
    ids=["another processor", "an unknown one", "more threads", "another backend"],
)
def test_another_platform_says_nothing(ended, machine, changes):
    found = planned(ended, machine, **changes)
    assert found.durations_from == {}
    assert found.pace.typical == planned(ended, prior=False).pace.typical


def test_a_study_that_goes_on_keeps_what_it_began_with(ended, tmp_path):
    homes = [tmp_path / "calm", tmp_path / "stopped"]
    hurried = {"name": "second", "sampler": "gp", "seed": 3, "max_time": "150s", "trials": 40}
    found = []
    for home in homes:
        shutil.copytree(ended, home)
        asked = settings(home, **hurried)
        if home.name == "calm":
            found.append(world().run(asked))
            continue
        with pytest.raises(Interrupted):
            world(before=interrupting(lambda key: key == "trial-0005")).run(asked)
        delete_study("first", home=home)  # what it began with is gone
        made = world()
        found.append(made.resume("second", home))
        [told] = [event.forecast for event in made.events if isinstance(event, Planned)]
        assert told.durations_from == {"first": 24}
    assert found[0].durations_from == found[1].durations_from == {"first": 24}
    calm, stopped = ({row.name: row.knobs for row in result.rows} for result in found)
    both = calm.keys() & stopped.keys()  # how many fit into the time is another question
    assert len(both) > 6
    assert all(calm[name] == stopped[name] for name in both)


def test_the_sampler_has_it_before_anything_has_trained(ended):
    home, problem = ended, pose(settings(ended), HERE)
    for prior in (True, False):
        name = f"hurried-{prior}"
        asked = settings(home, name=name, seed=5, trials=2, max_time="1h", prior=prior)
        world().run(asked)
        with opened(default_url(home)) as storage:
            store = StudyStore.open(storage, name)
            efforts = choices_of(store, problem).efforts
            assert (efforts == COEFFICIENTS) is not prior
            assert (store.facts.durations is None) is not prior
            assert store.facts.platform.device == "AMD EPYC"
