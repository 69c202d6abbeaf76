import os
import subprocess
import sys

import numpy as np
import pytest

from archsearch.data.dataset import load
from archsearch.exchange.export import ExportRequest, export
from archsearch.training import devices
from archsearch.training.devices import gpu_memory_bytes, gpu_numbers, has_bfloat16, has_cudnn


def test_gpus_are_found_by_their_device_files_or_the_variable(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    # CUDA's numbers: a container may have been given any of a machine's GPUs.
    assert gpu_numbers(tmp_path) == ("0", "1")
    for text, found in (("", ()), ("-1", ()), ("1, 0", ("1", "0")), ("GPU-8f", ("GPU-8f",))):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", text)
        assert gpu_numbers(tmp_path) == found


@pytest.mark.parametrize(
    ("tool", "gpu", "found"),
    [
        ('test "$1" = --id=1 && echo 143771', "1", 143771 * 2**20),
        ("echo '[N/A]'", "0", None),
        ("exit 9", "0", None),
        (None, "0", None),
        ("echo 143771", "", None),
    ],
)
def test_a_gpus_memory_is_what_nvidias_tool_tells(tool, gpu, found, tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", gpu)
    monkeypatch.setenv("PATH", str(tmp_path))
    if tool is not None:
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{tool}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
    assert gpu_memory_bytes() == found


def test_cudnn_is_found_beside_the_packages_or_where_libraries_are_looked_for(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "find_library", lambda name: None)
    monkeypatch.setenv("LD_LIBRARY_PATH", f":{tmp_path / 'lib'}")
    packages = tmp_path / "packages"
    assert not has_cudnn(packages)
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "libcudnn.so.9").touch()
    assert has_cudnn(packages)
    monkeypatch.setenv("LD_LIBRARY_PATH", "")
    assert not has_cudnn(packages)
    own = packages / "nvidia" / "cudnn" / "lib"
    own.mkdir(parents=True)
    (own / "libcudnn.so.9").touch()
    assert has_cudnn(packages)
    own.rename(tmp_path / "gone")
    monkeypatch.setattr(devices, "find_library", lambda name: f"lib{name}.so.9")
    assert has_cudnn(packages)


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu avx2 avx512_bf16", True), ("fpu avx2", False), ("amx_bf16", True)]
)
def test_bfloat16_is_read_off_the_flags(flags, has, tmp_path):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    assert has_bfloat16(tmp_path / "cpuinfo") is has
    assert not has_bfloat16(tmp_path / "missing")


SETTINGS = """
import os, sys
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend="tensorflow", threads=3).apply()
assert not {"tensorflow", "keras"} & set(sys.modules)  # which read these as they are imported
print(*(repr(os.environ[name]) for name in sys.argv[1:]))
"""
IMPORTED = """
import tensorflow as tf
assert tf.config.threading.get_intra_op_parallelism_threads() in (0, 3)
assert tf.config.list_logical_devices("GPU") == []
import keras
print(keras.backend.backend())
"""


# In the quick run tests/training/test_user_configuration.py trains in such a process.
@pytest.mark.parametrize(
    ("code", "backend"),
    [
        (SETTINGS, ""),
        pytest.param(
            SETTINGS + IMPORTED, "tensorflow", marks=[pytest.mark.slow, pytest.mark.keras]
        ),
    ],
    ids=["told", "imported"],
)
def test_tensorflow_gets_its_threads_and_no_gpu(code, backend):
    names = ["TF_NUM_INTRAOP_THREADS", "CUDA_VISIBLE_DEVICES", "KERAS_BACKEND"]
    done = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["'3'", "''", "'tensorflow'", *backend.split()]


@pytest.mark.keras
def test_torch_gets_its_threads_and_trains_without_keras_or_tensorflow(tmp_path):
    pytest.importorskip("torch", reason="torch is not installed")
    code = """
import sys
sys.path.insert(0, "tests")
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend="torch", threads=1).apply()
from pathlib import Path
from tests.images import write_dataset
from tests.networks import resnext_like
from archsearch.ir.codec import to_json
from archsearch.training.fit import train
from archsearch.training.job import Job
from archsearch.recipes.recipe import Recipe
folder = write_dataset(Path(sys.argv[1]) / "data", channels=3)
job = Job(key="t", graph=to_json(resnext_like()), dataset=str(folder), recipe=Recipe(batch=16),
    images=192, seed=0, backend="torch", test=True, weights=sys.argv[1] + "/w.npz")
outcome = train(job, lambda report: True)
assert outcome.status == "complete", outcome
import torch
print(torch.get_num_threads(), [m for m in ("tensorflow", "keras", "jax") if m in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "1 []", done.stderr


JAX_CODE = """
import sys
sys.path.insert(0, "tests")
sys.modules["tensorflow"] = None  # as if it were not installed
from archsearch.training.setup import WorkerSetup
WorkerSetup(backend="jax", threads=1, cache=sys.argv[1] + "/cache").apply()
from pathlib import Path
from tests.images import write_dataset
from tests.networks import vgg_like
from archsearch.ir.codec import to_json
from archsearch.training.fit import train
from archsearch.training.job import Job
from archsearch.recipes.recipe import Recipe
folder = write_dataset(Path(sys.argv[1]) / sys.argv[2], channels=1)
job = Job(key="t", graph=to_json(vgg_like()), dataset=str(folder), recipe=Recipe(batch=16),
    images=32, seed=0, backend="jax", weights=sys.argv[1] + "/w.npz")
outcome = train(job, lambda report: True)
assert outcome.status == "complete", outcome
print(outcome.val_loss, to_json(vgg_like()), sep="\\n")
"""


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
def test_jax_trains_without_tensorflow_and_compiles_a_network_once(tmp_path):
    pytest.importorskip("jax", reason="jax is not installed")
    import tensorflow as tf

    kept = []
    for number in range(2):  # two workers
        done = subprocess.run(
            [sys.executable, "-c", JAX_CODE, str(tmp_path), f"data{number}"],
            env={**os.environ, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        kept.append({path.name for path in (tmp_path / "cache").glob("jit__train_step*-cache")})
    assert len(kept[0]) == 1
    assert kept[1] == kept[0]

    # What it has trained, TensorFlow exports, with the same loss.
    loss, graph = done.stdout.splitlines()
    data = load(tmp_path / "data1")
    request = ExportRequest(
        graph=graph,
        weights=str(tmp_path / "w.npz"),
        dataset=str(tmp_path / "data1"),
        out=str(tmp_path / "model"),
    )
    model = tf.saved_model.load(str(export(request).path))
    said = model.serve(data.val.images)["probabilities"].numpy()
    losses = -np.log(said[np.arange(len(said)), data.val.labels])
    assert losses.mean() == pytest.approx(float(loss), rel=1e-4)
