"""What tests share that run the real command line, with real workers, in processes of their own."""

import sys
from importlib.util import find_spec
from typing import Final

import pytest

CLI: Final = [
    sys.executable, "-c", "import sys; from archsearch.cli import main; sys.exit(main())",
]  # fmt: skip
"""The command: words of a command line follow."""
MEASURE_S: Final = 0.05
"""How long a pace or a latency is measured where nobody goes by it, in place of 1.5 s for each network."""
BRIEF: Final = f"""
import sys
from dataclasses import replace
from functools import partial
from archsearch.cli import main
from archsearch.study import driver, dry_run, finalists, ports, recorder

dry_run.MEASURE_S = {MEASURE_S}
for asks in (finalists, recorder):
    asks.LatencyRequest = partial(asks.LatencyRequest, seconds={MEASURE_S})
"""
"""The beginning of a script that calls `main`, with so short a measuring."""
_UNMEASURED = """
driver.real_services = lambda settings: replace(ports.real_services(settings), gauge=None)
sys.exit(main())
"""
UNMEASURED: Final = [sys.executable, "-c", BRIEF + _UNMEASURED]
"""The command where the latency can't be measured, either: that process imports TensorFlow."""
BACKEND: Final = "torch" if find_spec("torch") else "tensorflow"
"""The backend whose worker starts with the least work, where a test is not about backends."""
QUICK_AND_SLOW: Final = [
    BACKEND,
    *(pytest.param("tensorflow", marks=pytest.mark.slow) for _ in {BACKEND} - {"tensorflow"}),
]
"""Of tests that are about no backend: PyTorch steps at once, TensorFlow traces each network for a second."""
