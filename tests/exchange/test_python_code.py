"""A network as Python code: what it says, that ruff leaves it as it is, that it answers alike."""

import ast
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from archsearch.exchange.export import trained_probabilities
from archsearch.exchange.formats.format import Trained
from archsearch.exchange.formats.keras_code import layer_call, literal
from archsearch.exchange.formats.python_code import CODE_FILE, PYTHON
from archsearch.ir.graph import Graph
from archsearch.readings.cost import cost
from archsearch.testing.format_case import FormatCase
from archsearch.units import format_count
from tests.networks import everything, modern, resnext_like


@pytest.mark.slow
@pytest.mark.keras
class TestPython(FormatCase):
    form = PYTHON


def written(graph: Graph, folder: Path) -> tuple[Trained, Path]:
    class Case(FormatCase):
        def network(self):
            return graph

    trained = Case().example()
    PYTHON.write(trained, folder)
    return trained, folder / CODE_FILE


RUFF = [sys.executable, "-m", "ruff"]


@pytest.mark.keras
@pytest.mark.parametrize("graph", [resnext_like(), everything(3), modern()], ids=lambda g: g.name)
def test_it_is_formatted_and_answers_as_the_network(graph: Graph, tmp_path: Path):
    trained, file = written(graph, tmp_path / "python")
    for check in (["format", "--diff"], ["check"]):
        command = [*RUFF, *check, "--isolated", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    wanted = trained_probabilities(trained, trained.sample)
    np.testing.assert_allclose(PYTHON.call(file.parent, trained.sample), wanted, atol=1e-5)
    text = file.read_text()
    assert f"{format_count(cost(graph).flops)} FLOPs" in text
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported == {"pathlib", "keras"}


@pytest.mark.keras
def test_blocks_say_what_they_cost(tmp_path: Path):
    _, file = written(resnext_like(), tmp_path / "python")
    text = file.read_text()
    # 16·16 positions, 1×1 from 16 to 16, 3×3 in 4 groups, 1×1 from 16 to 32, and the shortcut's.
    flops = 256 * (16 * 16 + 9 * 16 * 4 + 16 * 32 + 16 * 32)
    params = 256 + 576 + 512 + 512 + 2 * (16 + 16 + 32 + 32)
    assert f"# stage1: 16x16x32, {format_count(flops)} FLOPs, {params:,} parameters" in text
    assert 'name="stage1-conv2"' in text


def test_long_statements_are_split_as_ruff_splits_them(tmp_path: Path):
    cases = [
        layer_call("x", "ReLU", ['name="a"'], "x"),
        layer_call("x", "Conv2D", ["8", "3", 'padding="same"', 'name="stage1-block1-conv1"'], "x"),
        layer_call("x", "Conv2D", [f"a{n}={n}" for n in range(9)] + ['name="a-long-name"'], "x"),
        layer_call("x", "Conv2D", [f"a{n}={n}" for n in range(16)], "x"),
        layer_call("x", "Add", ['name="stage1-block1-add"'], "[stage1_block1_conv3, shortcut1_ab]"),
        layer_call(
            "x", "Add", ['name="a"'], f"[{', '.join(f'stage{n}_conv{n}' for n in range(9))}]"
        ),
        layer_call("x", "Rescaling", [literal(tuple(range(200)))], "x"),
    ]
    file = tmp_path / "code.py"
    lines = [line for case in cases for line in case]
    file.write_text("def build(x):\n" + "\n".join(lines) + "\n    return x\n")
    done = subprocess.run(
        [*RUFF, "format", "--diff", "--isolated", str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
