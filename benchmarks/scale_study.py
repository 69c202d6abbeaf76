"""One study of trainings that sleep, by the real driver; prints what it took as JSON: for scale.py."""

import argparse
import json
import os
import resource
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scale_work import NoTracker, RealClock, SkippingClock, SleepingEngine, machine

from archsearch.settings import RunSettings
from archsearch.study import driver
from archsearch.study.events import Event, JobEnded, JobRecalled, JobStarted
from archsearch.study.ports import Services
from archsearch.tracking.mlflow_tracker import MlflowTracker

NAME = "scale"
EPOCHS = 4


@dataclass
class Watch:
    """Takes down what the driver took by every so many trials.

    Attributes:
        out: gets a line each time: trials that have ended, the driver's processor time, all time, memory
            in MB, and its peak.
    """

    every: int
    end: int
    out: Path
    knobs: dict = field(default_factory=dict)
    first_s: float | None = None
    recalled: int = 0
    ended: int = 0
    engine: SleepingEngine | None = None
    clock: RealClock | SkippingClock | None = None

    def __call__(self, event: Event) -> None:
        """Hear what happens."""
        if isinstance(event, JobStarted):
            self.knobs[str(event.order.key)] = event.order.knobs
            if self.first_s is None:
                self.first_s = time.process_time()
                self.note()
        elif isinstance(event, JobRecalled):
            self.recalled += 1
        elif isinstance(event, JobEnded):
            self.knobs.pop(str(event.order.key), None)
            if event.order.key.purpose != "search":
                return
            self.ended += 1
            if self.ended % self.every == 0:
                self.note()
            if self.ended == self.end:
                raise KeyboardInterrupt

    def note(self) -> None:
        """Take down how things stand."""
        assert self.engine is not None
        assert self.clock is not None
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
        row = {
            "trials": self.ended, "cpu_s": time.process_time() - self.engine.own_s,
            "main_s": time.thread_time() - self.engine.own_s, "time_s": self.clock(),
            "busy_s": self.engine.busy_s, "rss_mb": resident / 1e6,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
        }  # fmt: skip
        with self.out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", required=True)
    parser.add_argument("--out", type=Path, required=True, help="file of what was taken down")
    parser.add_argument("--space", default="resnet")
    parser.add_argument("--flops", default="100M")
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--trial-s", type=float, default=10.0)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--sampler", default="gp")
    parser.add_argument("--storage")
    parser.add_argument("--prune", action="store_true")
    parser.add_argument("--mlflow", action="store_true")
    parser.add_argument("--real", action="store_true", help="by the real clock")
    parser.add_argument("--end", type=int, default=-1, help="trials after which it is interrupted")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--profile")
    return parser.parse_args()


def catch_up(tracker: MlflowTracker, seconds: float) -> None:
    """Wait until a tracker has written what is due, for so many seconds at most; epochs wait for others."""
    end = time.monotonic() + seconds
    while tracker.behind and time.monotonic() < end:
        time.sleep(0.0005)


def study(options: argparse.Namespace) -> dict:
    """Run or resume the study; return what it took."""
    clock = RealClock() if options.real else SkippingClock()
    every = min(100, max(1, options.trials // 10))
    watch = Watch(every=every, end=options.end, clock=clock, out=options.out)

    def engine(setups, folder):
        watch.engine = SleepingEngine(
            len(setups), clock, trial_s=options.trial_s, train_images=1149, knobs=watch.knobs
        )
        return watch.engine

    def tracker(settings, warn):
        if not options.mlflow:
            return NoTracker()
        made = MlflowTracker(Path(settings.home), warn=warn, clock=clock)
        if isinstance(clock, SkippingClock):
            clock.idle = partial(catch_up, made)
        return made

    services = Services(
        engine=engine, tracker=tracker, export=lambda store, folder, gauge: folder.exports,
        clock=clock, machine=lambda: machine(options.workers),
    )  # fmt: skip
    begin_s = time.process_time()
    told = None
    try:
        if options.resume:
            driver.resume(NAME, home=Path(options.home), on_event=watch, services=services)
        else:
            driver.run(settings_of(options), on_event=watch, services=services)
    except BaseException as error:
        told = f"{type(error).__name__}: {error}"
    return {
        "began_s": begin_s, "first_s": watch.first_s, "told": told,
        "recalled": watch.recalled, "end_s": time.process_time() - watch.engine.own_s,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }  # fmt: skip


def settings_of(options: argparse.Namespace) -> RunSettings:
    """Return the settings of the study."""
    return RunSettings(
        space=options.space, flops=options.flops, trials=options.trials, epochs=options.epochs,
        workers=options.workers, seeds=1, finalists=2, sampler=options.sampler, name=NAME,
        prune=options.prune, export=False, home=options.home, storage=options.storage,
        backend="torch",
    )  # fmt: skip


def main() -> None:
    """Run it."""
    options = parse()
    if options.profile:
        import cProfile

        profile = cProfile.Profile()
        found = profile.runcall(study, options)
        profile.dump_stats(options.profile)
    else:
        found = study(options)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
