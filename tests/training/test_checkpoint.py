"""A job that was stopped, in a new process, ends with the same bits as one that was not."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.recipes.recipe import Recipe
from archsearch.training.job import Job, Outcome, from_json
from archsearch.training.job import to_json as job_json
from archsearch.training.weights import load_weights
from tests.networks import resnext_like, vgg_like
from tests.real_runs import BACKEND, QUICK_AND_SLOW

pytestmark = pytest.mark.keras

EPOCHS = 4
# Trains the jobs of one line each, to the epoch given; tells their reports and outcomes.
PROCESS = """
import sys
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend="{backend}", threads={threads}).apply()
from archsearch.training.fit import train
from archsearch.training.job import from_json, to_json
for line in sys.stdin:
    last, _, text = line.partition(" ")
    told = []
    def on_epoch(report):
        told.append(to_json(report))
        return report.epoch < int(last)
    outcome = train(from_json(text), on_epoch)
    print(len(told), *told, to_json(outcome), sep="\\n", flush=True)
"""


def in_a_new_process(jobs: list[tuple[int, Job]], threads: int) -> list[tuple[list, Outcome]]:
    code = PROCESS.format(backend=jobs[0][1].backend, threads=threads)
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="".join(f"{last} {job_json(job)}\n" for last, job in jobs),
        capture_output=True,
        text=True,
        check=True,
    )
    lines = iter(done.stdout.splitlines())
    return [
        ([from_json(next(lines)) for _ in range(int(count))], from_json(next(lines)))
        for count in lines
    ]


def job_for(dataset: Path, graph, folder: Path, **changes) -> Job:
    job = Job(
        key="final-0001-seed1",
        graph=to_json(graph),
        dataset=str(dataset),
        recipe=Recipe(batch=20),  # batches span epochs
        images=EPOCHS * 96 - 40,
        seed=3,
        test=True,
        weights=str(folder / "w.npz"),
        checkpoint=str(folder / "checkpoint"),
    )
    return replace(job, **changes)


def told(reports) -> list[tuple[float, ...]]:
    return [(r.epoch, r.loss, r.accuracy, r.val_loss, r.val_accuracy) for r in reports]


def bits(path: str) -> dict[str, bytes]:
    return {key: value.tobytes() for key, value in load_weights(Path(path)).items()}


def by_chance() -> Graph:
    """A small network with all that is drawn in training."""
    net = Tracer("by chance", (16, 16, 3))
    x = net.max_pool(net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3))), kernel=2)
    x = net.add(net.drop_path(net.batch_norm(net.conv(x, 8, kernel=3)), 0.7), x)
    y = net.conv(x, 8, kernel=3)
    x = net.mean(x, y, drop=0.2)
    x = net.dropout(net.relu(net.dense(net.flatten(x), 24)), 0.5)
    return net.finish(net.dense(x, 5))


# The quick run stops in the middle, between batches that span epochs; the slow one after every epoch. On
# TensorFlow tests/training/test_fit.py goes on in the same process in the quick run.
EVERY = range(1, EPOCHS)


@pytest.mark.parametrize(
    ("backend", "graph", "threads", "stops"),
    [
        (BACKEND, by_chance(), 2, [2]),
        *(
            pytest.param(backend, graph, threads, EVERY, marks=pytest.mark.slow)
            for backend in sorted({BACKEND, "tensorflow"})
            for graph in (by_chance(), resnext_like())
            for threads in (1, 2)
        ),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_the_same_bits_wherever_it_stopped(
    backend, graph, threads, stops, tmp_path, colour_dataset
):
    def job(name: str, **changes) -> Job:
        return job_for(colour_dataset, graph, tmp_path / name, backend=backend, **changes)

    straight = job("straight")
    cut = [job(f"cut{k}") for k in stops]
    everywhere = job("everywhere", checkpoint=None)
    first = in_a_new_process(
        [(99, straight), (99, everywhere), *zip(stops, cut, strict=True)], threads
    )
    (reports, outcome), (plain, _), *stopped = first
    assert [o.status for _, o in stopped] == ["pruned"] * len(cut)
    again = in_a_new_process([(99, job) for job in cut], threads)
    assert outcome.status == "complete"
    assert told(plain) == told(reports)
    for job, (more, end) in zip(cut, again, strict=True):
        assert told(more) == told(reports)  # those before the stop are told once more
        assert bits(job.weights) == bits(straight.weights)
        for name in ("status", "epochs", "val_accuracy", "val_loss", "test_accuracy", "test_loss"):
            assert getattr(end, name) == getattr(outcome, name)
        assert [report.wall_s for report in more] == sorted(report.wall_s for report in more)
        assert sum(report.images_per_s > 0 for report in more) == EPOCHS


@pytest.fixture(scope="module", params=QUICK_AND_SLOW)
def stopped_once(dataset, tmp_path_factory, request) -> Job:
    from archsearch.training.fit import train

    folder = tmp_path_factory.mktemp("stopped")
    job = job_for(dataset, vgg_like(), folder, backend=request.param)
    assert train(job, lambda report: report.epoch < 3).epochs == 3
    return job


@pytest.fixture
def stopped(stopped_once, tmp_path) -> Job:
    """A job stopped after three epochs, with a folder of its own."""
    folder = Path(stopped_once.checkpoint)
    shutil.copytree(folder, tmp_path / folder.name)
    return replace(
        stopped_once,
        checkpoint=str(tmp_path / folder.name),
        weights=str(tmp_path / Path(stopped_once.weights).name),
    )


def epochs_trained(job: Job, monkeypatch) -> int:
    """How many epochs a job still takes."""
    from archsearch.training import fit

    trained = []
    steps = fit._Run._steps
    monkeypatch.setattr(
        fit._Run, "_steps", lambda *arguments: trained.append(1) or steps(*arguments)
    )
    assert fit.train(job, lambda report: True).epochs == EPOCHS
    return len(trained)


def names(job: Job) -> list[str]:
    return sorted(path.name for path in Path(job.checkpoint).iterdir())


def test_the_last_two_are_kept_and_none_is_written_after_the_last_epoch(stopped, monkeypatch):
    assert names(stopped) == ["epoch-000002.npz", "epoch-000003.npz"]
    assert epochs_trained(stopped, monkeypatch) == 1
    assert names(stopped) == ["epoch-000002.npz", "epoch-000003.npz"]


@pytest.mark.parametrize("damage", ["cut short", "empty", "a bit", "no zip"])
def test_a_damaged_one_is_passed_over_with_a_note(stopped, damage, monkeypatch, capsys):
    path = Path(stopped.checkpoint, "epoch-000003.npz")
    whole = path.read_bytes()
    path.write_bytes(
        {
            "cut short": whole[: len(whole) // 2],
            "empty": b"",
            "a bit": whole[:-2000] + bytes([whole[-2000] ^ 4]) + whole[-1999:],
            "no zip": b"x" * 1000,
        }[damage]
    )
    assert epochs_trained(stopped, monkeypatch) == 2
    assert f"checkpoint {path} is ignored: " in capsys.readouterr().err


def test_without_one_that_can_be_read_it_begins_at_the_beginning(stopped, monkeypatch, capsys):
    for path in Path(stopped.checkpoint).iterdir():
        path.write_bytes(b"")
    Path(stopped.checkpoint, "epoch-000004.part").write_bytes(b"half")
    assert epochs_trained(stopped, monkeypatch) == EPOCHS
    assert capsys.readouterr().err.count("is ignored") == 2
    assert not any(name.endswith(".part") for name in names(stopped))


@pytest.mark.parametrize("change", [{"seed": 4}, {"recipe": Recipe(batch=16)}, {"key": "other"}])
def test_another_jobs_are_ignored(stopped, change, monkeypatch, capsys):
    assert epochs_trained(replace(stopped, **change), monkeypatch) == EPOCHS
    assert "it is another job's" in capsys.readouterr().err


def test_another_models_variables_are_ignored(stopped, monkeypatch, capsys):
    path = Path(stopped.checkpoint, "epoch-000003.npz")
    with np.load(path) as stored:
        about = json.loads(stored["about"].tobytes())
        values = stored["values"]
    about["arrays"][0][1] = [1, 2, 3]
    np.savez(path, about=np.frombuffer(json.dumps(about).encode(), np.uint8), values=values)
    assert epochs_trained(stopped, monkeypatch) == 2
    assert "its variables are another model's" in capsys.readouterr().err


def test_stopped_while_it_tells_what_was_before_it_trains_nothing(stopped, monkeypatch):
    from archsearch.training import fit

    monkeypatch.setattr(fit._Run, "_steps", None)
    seen = []
    fit.train(stopped, lambda report: seen.append(report.outdated) or len(seen) < 3)
    assert seen == [True, True, False]
    outcome = fit.train(stopped, lambda report: report.epoch < 2)
    assert (outcome.status, outcome.epochs) == ("pruned", 2)


@pytest.mark.parametrize("backend", QUICK_AND_SLOW)
def test_a_folder_that_vanished_is_not_made_again_and_a_full_disk_costs_no_job(
    backend, dataset, tmp_path, monkeypatch, capsys
):
    from archsearch.training.fit import train

    job = job_for(dataset, vgg_like(), tmp_path, backend=backend)

    def vanish(report):
        shutil.rmtree(job.checkpoint, ignore_errors=True)
        return True

    assert train(job, vanish).status == "complete"
    assert not Path(job.checkpoint).exists()
    assert capsys.readouterr().err == ""

    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("archsearch.training.checkpoint.np.savez", full)
    assert train(replace(job, weights=None), lambda report: True).status == "complete"
    assert "no checkpoint after epoch 1: [Errno 28] No space left" in capsys.readouterr().err
    assert names(job) == []
