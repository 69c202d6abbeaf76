"""The driver at scale: its processor time a trial, memory, workers kept busy, how long a study is to read.

A study of trainings that sleep (scale_work.py) is driven by the real driver, sampler, storage and tracker
(scale_study.py), each in a process of its own. Idle time is skipped, so that 10,000 trials take what the
driver does; with `--real` it passes. Times are the processor's, of all threads, since a machine may have
other work; they leave out what a disk or a database server takes. Results are kept, a line each: the same
command goes on where it was; a study that was cut off begins anew.

    python benchmarks/scale.py --out /tmp/scale --trials 10000 --workers 64 256 --samplers gp random
    python benchmarks/scale.py --out /tmp/scale --storages sqlite journal postgresql --mlflow off on
    python benchmarks/scale.py --out /tmp/scale --real --trials 2000 --workers 256
    python benchmarks/scale.py --out /tmp/scale --table
    python benchmarks/scale.py --out /tmp/scale --read            (leaderboard, report, compare, resume)
    python benchmarks/scale_ray.py --trials 200 --workers 8       (Ray Tune with OptunaSearch on the same)

PostgreSQL is reached by `--postgresql URL`, an empty database; its tables are left behind.
"""

import argparse
import itertools
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import machine, spread, versions

HERE = Path(__file__).parent
COMMANDS = {
    "leaderboard": ("leaderboard", "scale", "--json"),
    "report": ("report", "scale", "--json"),
    "compare": ("compare", "scale", "--json", "--quiet"),
    "resume": ("resume", "scale", "--json", "--quiet"),
}
"""What reads a study that has ended."""


@dataclass(frozen=True)
class Case:
    """A study: what it is driven with."""

    sampler: str
    workers: int
    storage: str
    mlflow: str
    trials: int
    real: bool

    @property
    def name(self) -> str:
        """Say it in a word, for files."""
        clock = "-real" if self.real else ""
        return f"{self.sampler}-{self.workers}-{self.storage}-mlflow-{self.mlflow}-{self.trials}{clock}"

    def command(self, options: argparse.Namespace) -> list[str]:
        """Return the command that runs it."""
        home = options.homes / self.name
        urls = {
            "sqlite": None, "journal": f"journal:///{home}/optuna.log",
            "postgresql": options.postgresql,
        }  # fmt: skip
        found = [
            sys.executable, str(HERE / "scale_study.py"), "--home", str(home), "--out",
            str(options.out / f"{self.name}.jsonl"), "--trials", str(self.trials), "--workers",
            str(self.workers), "--sampler", self.sampler, "--trial-s", str(options.trial_s),
            "--space", options.space, "--flops", options.flops,
        ]  # fmt: skip
        found += ["--mlflow"] * (self.mlflow == "on") + ["--real"] * self.real
        return (
            found if urls[self.storage] is None else [*found, "--storage", str(urls[self.storage])]
        )


def cases(options: argparse.Namespace) -> Iterator[Case]:
    """Yield what was asked for."""
    for values in itertools.product(
        options.samplers, options.workers, options.storages, options.mlflow, [options.trials]
    ):
        yield Case(*values, real=options.real)


def run(case: Case, options: argparse.Namespace) -> None:
    """Run a study that has not been; what is left of one that was cut off goes."""
    rows, home = options.out / f"{case.name}.jsonl", options.homes / case.name
    if rows.exists() and [row for row in kept(rows) if row["trials"] == case.trials]:
        return
    rows.unlink(missing_ok=True)
    shutil.rmtree(home, ignore_errors=True)
    ended = subprocess.run(case.command(options), capture_output=True, text=True, check=False)
    (options.out / f"{case.name}.json").write_text(ended.stdout, encoding="utf-8")
    if ended.returncode:
        print(f"{case.name} failed: {ended.stderr.strip().splitlines()[-1:]}", flush=True)


def kept(path: Path) -> list[dict]:
    """Return what was taken down of a study; the last line may be cut short."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("}")]


# --- what came out --------------------------------------------------------------------------------


def rates(rows: Sequence[dict], field: str, *, each: int) -> list[float]:
    """Return milliseconds a trial for each so many trials."""
    marks = [row for row in rows if row["trials"] % each == 0]
    return [
        1000 * (b[field] - a[field]) / (b["trials"] - a["trials"])
        for a, b in itertools.pairwise(marks)
    ]


def steady(rows: Sequence[dict], workers: int) -> float | None:
    """Return the share of the workers' time with a training, but for the first and the last of each."""
    inner = [row for row in rows if workers <= row["trials"] <= rows[-1]["trials"] - workers]
    if len(inner) < 2:
        return None
    a, b = inner[0], inner[-1]
    return (b["busy_s"] - a["busy_s"]) / (workers * (b["time_s"] - a["time_s"]))


def report(options: argparse.Namespace) -> Iterator[str]:
    """Give a Markdown table of what was taken down."""
    yield (
        "| sampler, workers, storage, MLflow | trials | ms a trial: first part | last part | last / first |"
        " median (extremes) | peak MB at parts | workers busy |"
    )
    yield "|---" * 8 + "|"
    for path in sorted(options.out.glob("*.jsonl")):
        rows = kept(path)
        if not rows or rows[-1]["trials"] < 200:
            continue
        sampler, workers, storage, _, mlflow, *rest = path.stem.split("-")
        last = rows[-1]["trials"]
        each = 1000 if last >= 3000 else max(100, last // 400 * 100)
        found = rates(rows, "cpu_s", each=each)
        if not found:
            continue
        peaks = [
            f"{row['peak_mb']:.0f}" for row in rows if row["trials"] in (1000, 5000, 10000, last)
        ]
        busy = steady(rows, int(workers))
        clock = " by the real clock" if "real" in rest else ""
        yield (
            f"| {sampler}, {workers}, {storage}, {mlflow}{clock} | {last} | {found[0]:.1f} | "
            f"{found[-1]:.1f} | {found[-1] / found[0]:.2f} | {spread(found)}, {each} each | "
            f"{', '.join(peaks)} | {'' if busy is None else f'{100 * busy:.1f} %'} |"
        )


def read(options: argparse.Namespace) -> Iterator[str]:
    """Give the seconds that each command takes which reads a study."""
    yield "| study | " + " | ".join(COMMANDS) + " |\n" + "|---" * (1 + len(COMMANDS)) + "|"
    for home in sorted(path for path in options.homes.iterdir() if (path / "studies").is_dir()):
        took = []
        for words in COMMANDS.values():
            before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            ended = subprocess.run(
                [sys.executable, "-m", "archsearch", *words, "--home", str(home)],
                capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "200"},
            )  # fmt: skip
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            wall_s = time.perf_counter() - begin
            how = "" if not ended.returncode else f", exit status {ended.returncode}"
            took.append(f"{cpu_s:.1f} s ({wall_s:.1f} s by the clock{how})")
        yield f"| {home.name} | {' | '.join(took)} |"


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    parser.add_argument("--homes", type=Path, help="folder of the studies; default: in --out")
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--samplers", nargs="+", default=["gp", "random"])
    parser.add_argument(
        "--storages", nargs="+", choices=["sqlite", "journal", "postgresql"], default=["sqlite"]
    )
    parser.add_argument("--mlflow", nargs="+", choices=["on", "off"], default=["off"])
    parser.add_argument("--postgresql", help="URL of an empty database")
    parser.add_argument("--trial-s", type=float, default=10.0, help="seconds of a training")
    parser.add_argument("--space", default="resnet")
    parser.add_argument("--flops", default="100M")
    parser.add_argument("--real", action="store_true", help="by the real clock")
    parser.add_argument("--table", action="store_true", help="run nothing, print what there is")
    parser.add_argument("--read", action="store_true", help="only read the studies there are")
    found = parser.parse_args()
    found.homes = found.homes or found.out / "homes"
    return found


def main() -> None:
    """Run, then print."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    options.homes.mkdir(parents=True, exist_ok=True)
    for case in () if options.table or options.read else cases(options):
        run(case, options)
    print(f"{machine()}; {versions(('optuna', 'mlflow', 'SQLAlchemy', 'scipy'))}\n")
    print("\n".join(read(options) if options.read else report(options)))


if __name__ == "__main__":
    main()
