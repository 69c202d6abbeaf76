"""The command that trains for others: worker."""

from pathlib import Path

import click

from archsearch.cli.options import WholeNumber, say
from archsearch.units import parse_duration


@click.command(
    epilog="Examples: archsearch worker /shared/mlruns · archsearch worker mlruns --cores 8 --idle 30min · "
    "srun --ntasks=4 --cpus-per-task=8 archsearch worker /shared/mlruns --idle 10min"
)
@click.argument("home", type=click.Path(path_type=Path), default="mlruns", envvar="ARCHSEARCH_HOME")
@click.option("--cores", type=WholeNumber(1), metavar="N", help="Cores to use; default: all.")
@click.option("--idle", metavar="T", help="Leave after so long without a job: 30min, 2h.")
def worker(home: Path, cores: int | None, idle: str | None) -> None:
    """Train for runs with --engine shared on this machine, from their folder HOME.

    As many workers as you like, on any machines that have the folder, which may lie elsewhere on each. They
    come and go while runs go on. Ctrl-C, or a scheduler's SIGTERM, puts back what trains here: another worker
    goes on from the last epoch.
    """
    from archsearch.engines.pool_worker import serve

    idle_s = None if idle is None else parse_duration(idle)
    serve(home, cores=cores, idle_s=idle_s, tell=lambda text: say(text, error=True))
