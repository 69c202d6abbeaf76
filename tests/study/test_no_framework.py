"""The driver of a whole run imports no framework: it stays small, and its start quick."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.keras

CODE = """
import sys
from archsearch.settings import RunSettings
from archsearch.study import driver

if __name__ == "__main__":
    settings = RunSettings(
        space="vgg", flops="4M", home=sys.argv[1], trials=1, epochs=1, seeds=1, workers=1,
        batch_size=256, baselines="none", backend="tensorflow", max_latency=None,
    )
    result = driver.run(settings)
    assert result.winner is not None
    print([m for m in ("tensorflow", "keras", "torch", "jax") if m in sys.modules])
"""


def test_a_run_trains_and_exports_without_importing_a_framework_itself(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(CODE)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "home")],
        capture_output=True, text=True, check=False, timeout=500,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr
