"""What every test shares: quiet libraries, no real home, no real environment."""

import os
import signal

import pytest

pytest_plugins = ["tests.bench", "tests.images"]

# Before anything imports TensorFlow: its start-up lines say nothing about the code under test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# A shell's background job starts with Ctrl-C ignored, and hands that on to every process a test starts.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # and nohup a hang-up
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("ARCHSEARCH_", "MLFLOW_", "OPTUNA_")):
            monkeypatch.delenv(name)
