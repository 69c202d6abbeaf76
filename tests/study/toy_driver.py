"""A driver to be killed: `python -m tests.study.toy_driver HOME run|measure|resume`; it takes its time."""

import sys
import time

from archsearch.settings import RunSettings
from archsearch.study.events import Preparing
from tests.world import STUDY, World


def take_time(engine) -> None:
    time.sleep(0.02)


def measure_for_ever(engine) -> None:
    while True:
        time.sleep(1)


def say(event) -> None:
    if not isinstance(event, Preparing):  # told on a slow machine only
        print(type(event).__name__, flush=True)


def main(home: str, what: str) -> None:
    settings = RunSettings(
        space="vgg", flops="20M", trials=8, epochs=3, workers=2, seeds=2, home=home
    )
    world = World(before=measure_for_ever if what == "measure" else take_time, watch=say)
    if what in ("run", "measure"):
        world.run(settings)
    else:
        world.resume(STUDY, home)


if __name__ == "__main__":
    main(*sys.argv[1:])
