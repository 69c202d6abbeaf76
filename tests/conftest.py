"""What every test shares: quiet libraries, no real home, no real environment."""

import os
import signal
import sqlite3
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from archsearch.lean_imports import import_lean

pytest_plugins = ["tests.bench", "tests.garbage", "tests.images", "tests.in_memory", "tests.once"]

# Before anything imports TensorFlow: its start-up lines say nothing about the code under test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# XLA works a third less at code that runs a few steps.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
)
# Threads of PyTorch that wait spin by default: of the CPU that other tests and workers could use.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Networks here have a few channels: threads would wait for one another longer than they compute.
for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(_name, "1")

# Processes that tests start would each compile this project anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What tests import of Keras and TensorFlow is what our processes have of them.
import_lean()

# A shell's background job starts with Ctrl-C ignored, and hands that on to every process a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # and nohup a hang-up
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@event.listens_for(Engine, "connect")
def _wait_for_no_disk(connection: Any, record: object) -> None:
    """What was written outlives a killed process; only a machine that loses its power would lose it."""
    # Whoever opens what is no database hears of it as without this.
    if isinstance(connection, sqlite3.Connection):
        with suppress(sqlite3.DatabaseError):
            connection.execute("PRAGMA synchronous = OFF").close()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ARCHSEARCH_", "MLFLOW_", "OPTUNA_")):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store without runs: MLflow takes 2 s to make its tables, and a copy takes none."""
    from archsearch.tracking.connect import open_client, store_uri

    place = tmp_path_factory.getbasetemp()
    # One for all processes of this session. Whoever comes at the same moment makes it, too.
    home = (place.parent if "PYTEST_XDIST_WORKER" in os.environ else place) / "empty"
    if not (home / "mlflow.db").exists():
        open_client(store_uri(home))
    return home / "mlflow.db"


@pytest.fixture
def reloaded_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported models are loaded in this process: another one imports TensorFlow for seconds.

    Tests of the formats, and those by the command line, load them in another.
    """
    from archsearch.exchange import export
    from archsearch.exchange.cards import judged

    monkeypatch.setattr(export, "answers_afresh", lambda form, out, images: form.call(out, images))
    monkeypatch.setattr(judged, "_LATENCY_S", 0.01)  # nobody goes by what the card says of it
