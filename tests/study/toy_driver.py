"""A driver to be killed: `python toy_driver.py HOME run|measure|resume`; its engine takes its time."""

import sys
import time
from pathlib import Path

from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.events import Preparing
from archsearch.study.ports import Services
from archsearch.testing.fake_engine import FakeEngine
from archsearch.testing.memory_tracker import MemoryTracker

STUDY = "vgg-20M-digits"


class Slow(FakeEngine):
    def events(self, timeout_s):
        time.sleep(0.02)
        return super().events(timeout_s)


class Measuring(Slow):
    """Never comes to the end of measuring the pace."""

    def events(self, timeout_s):
        time.sleep(timeout_s)
        return []


def services(engine=Slow) -> Services:
    return Services(
        engine=lambda setups, folder: engine(len(setups), train_images=1000),
        tracker=lambda settings, warn: MemoryTracker(),
        export=lambda store, folder, gauge: folder.exports,
    )


def main(home: str, what: str) -> None:
    settings = RunSettings(
        space="vgg", flops="20M", trials=8, epochs=3, workers=2, seeds=2, home=home
    )

    def say(event) -> None:
        if not isinstance(event, Preparing):  # told on a slow machine only
            print(type(event).__name__, flush=True)

    if what in ("run", "measure"):
        engine = Slow if what == "run" else Measuring
        driver.run(settings, services=services(engine), on_event=say)
    else:
        driver.resume(STUDY, home=Path(home), services=services(), on_event=say)


if __name__ == "__main__":
    main(*sys.argv[1:])
