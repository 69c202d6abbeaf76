"""What every export format does, as tests: subclass `FormatCase` to hold a format of your own to it."""

import os
import pickle
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pytest

from archsearch.errors import UserError
from archsearch.exchange.export import export_trained, trained_probabilities
from archsearch.exchange.formats.format import FACTS_FILE, Format, Need, Trained, file_name
from archsearch.exchange.formats.read_back import HoldsWeights
from archsearch.exchange.place import clear_leftovers
from archsearch.ir.graph import Graph
from archsearch.ir.tracer import Tracer
from archsearch.training.weights import fresh_weights

_IN_ANOTHER_PROCESS = """
import pickle, sys
from archsearch.lean_imports import import_lean
import_lean()
import numpy as np
form, out, images, answers, trained, other = pickle.load(sys.stdin.buffer)
np.save(answers, form.call(out, images))
from archsearch.exchange.export import export_trained
from archsearch.testing.format_case import CutShort
export_trained(trained, CutShort(form, killed=True), other)
"""


@dataclass(frozen=True)
class CutShort:
    """A format whose process comes to its end when all is written: interrupted, or killed."""

    form: Format
    killed: bool = False

    @property
    def name(self) -> str:
        """The format's own."""
        return self.form.name

    @property
    def suffix(self) -> str:
        """The format's own."""
        return self.form.suffix

    @property
    def needs(self) -> tuple[Need, ...]:
        """The format's own."""
        return self.form.needs

    @property
    def exact(self) -> bool:
        """The format's own."""
        return self.form.exact

    def write(self, trained: Trained, out: Path) -> None:
        """Write, and end."""
        self.form.write(trained, out)
        if self.killed:
            os.kill(os.getpid(), signal.SIGKILL)
        raise KeyboardInterrupt

    def call(self, out: Path, images: npt.NDArray[np.uint8]) -> npt.NDArray[Any]:
        """Do as the format does."""
        return self.form.call(out, images)


class FormatCase:
    """The contract of `Format`. A subclass says which format; it lies in a module that can be imported.

    class TestMine(FormatCase):
        form = MY_FORMAT
    """

    form: ClassVar[Format]

    def network(self) -> Graph:
        """Return the network that is exported, of colour images; override it for a format that takes few."""
        net = Tracer("a small network", (16, 16, 3))
        x = net.relu(net.batch_norm(net.conv(net.input, 8, kernel=3)))
        x = net.relu(net.batch_norm(net.conv(x, 16, kernel=3, stride=2)))
        return net.finish(net.dense(net.global_avg_pool(x), 5, bias=True))

    def example(self) -> Trained:
        """Return the network with weights that no fresh one has, and images of chance."""
        graph, rng = self.network(), np.random.default_rng(0)
        sample = rng.integers(0, 256, (8, *graph.input), np.uint8)
        sample //= rng.integers(1, 5, (8, 1, 1, 1), np.uint8)  # dark ones and bright ones
        sample[..., -1] = 0
        return Trained(
            graph=graph,
            weights={
                name: w + rng.random(w.shape, np.float32) * (0.5 if w.ndim == 1 else 0.1)
                for name, w in fresh_weights(graph).items()
            },
            classes=tuple(f"class {n}/ü" for n in range(graph.classes)),
            mean=(120.0, 110.0, 0.0),
            std=(60.0, 50.0, 0.0),  # a colour that no training image has
            dataset="some images",
            sample=sample,
            labels=rng.integers(0, graph.classes, len(sample)),
            calibration=sample,
        )

    def check(self, got: npt.NDArray[Any], wanted: npt.NDArray[np.float64]) -> None:
        """Hold answers to the network's: equal, or near where the format rounds numbers to 8 bits."""
        np.testing.assert_allclose(got, wanted, atol=1e-4 if self.form.exact else 0.1)
        np.testing.assert_allclose(got.sum(axis=1), 1, atol=1e-5 if self.form.exact else 0.02)

    @pytest.fixture
    def trained(self) -> Trained:
        """Give the tests the example."""
        return self.example()

    def test_it_says_what_it_is(self) -> None:
        assert re.fullmatch(r"[a-z][a-z0-9_-]*", self.form.name)
        assert re.fullmatch(r"(\.[A-Za-z0-9_]+)?", self.form.suffix)
        for need in self.form.needs:
            assert need.module.replace(".", "_").isidentifier()
            assert need.install
            assert find_spec(need.module), f"install {need.install} for these tests"

    def test_the_model_answers_as_the_network(self, trained: Trained, tmp_path: Path) -> None:
        wanted = trained_probabilities(trained, trained.sample)
        assert wanted.max() < 0.99
        assert wanted.std(axis=0).max() > 0.01  # one image is told from another
        models = tmp_path / "models [1]"  # a pattern, to whoever looks for files
        out = models / file_name(self.form)
        made = export_trained(trained, self.form, out)
        assert (made.path, made.format, made.images) == (out, self.form.name, len(trained.sample))
        assert made.size_bytes > 0
        assert (made.accuracy is None) == self.form.exact
        assert [path.name for path in models.iterdir()] == [out.name]
        assert out.is_file() == bool(self.form.suffix)
        for count in (1, 7):
            got = self.form.call(out, trained.sample[:count])
            assert got.shape == (count, trained.graph.classes)
            self.check(got, wanted[:count])

    def test_floats_of_0_to_1_are_understood_or_refused(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        out = tmp_path / file_name(self.form)
        self.form.write(trained, out)
        floats = trained.sample.astype(np.float32) / np.float32(255)
        try:
            got = self.form.call(out, floats)  # type: ignore[arg-type]  # what users do
        except Exception as refused:  # each runtime has its own
            assert str(refused)  # noqa: PT017
            return
        self.check(got, trained_probabilities(trained, trained.sample))

    def test_weights_that_it_gives_back_are_the_networks(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        if not isinstance(self.form, HoldsWeights):
            return
        out = tmp_path / file_name(self.form)
        self.form.write(trained, out)
        found = self.form.read_weights(out, trained.graph)
        assert found.keys() == trained.weights.keys()
        for name, value in trained.weights.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)

    def test_what_is_there_is_replaced_only_if_asked(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        out = tmp_path / file_name(self.form)
        old = self._write_old(out)
        with pytest.raises(UserError, match="exists; give another --out, or --force"):
            export_trained(trained, self.form, out)
        with pytest.raises(KeyboardInterrupt):
            export_trained(trained, CutShort(self.form), out, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
        assert old.read_text() == "old"
        part = tmp_path / f".{out.stem}.77.part{out.suffix}"
        part.write_text("what a killed export has left")
        export_trained(trained, self.form, out, overwrite=True)
        assert [path.name for path in tmp_path.iterdir()] == [out.name]
        assert not (old.is_file() and old.read_bytes() == b"old")

    def test_what_others_have_written_is_never_replaced(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        out = tmp_path / file_name(self.form)
        out.mkdir()
        (out / "photo.jpg").write_text("mine")
        with pytest.raises(UserError, match="holds what archsearch did not write"):
            export_trained(trained, self.form, out, overwrite=True)
        assert (out / "photo.jpg").read_text() == "mine"

    def _write_old(self, out: Path) -> Path:
        """Write what an earlier export may have left, and return a file of it."""
        if self.form.suffix:
            old = out
        else:
            out.mkdir()
            (out / FACTS_FILE).write_text("{}")
            old = out / "old.txt"
        old.write_text("old")
        return old

    def test_another_process_loads_it_and_is_killed_writing(
        self, trained: Trained, tmp_path: Path
    ) -> None:
        out, other = tmp_path / file_name(self.form), tmp_path / f"other{self.form.suffix}"
        answers = tmp_path / "answers.npy"
        self.form.write(trained, out)
        told = (self.form, out, trained.sample, answers, trained, other)
        done = subprocess.run(
            [sys.executable, "-c", _IN_ANOTHER_PROCESS],
            input=pickle.dumps(told),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            check=False,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr.decode()
        self.check(np.load(answers), trained_probabilities(trained, trained.sample))
        assert not other.exists()
        left = {path.name for path in tmp_path.iterdir()} - {out.name, answers.name}
        assert len(left) == 1, left  # what was written, under another name
        clear_leftovers(other)
        assert {path.name for path in tmp_path.iterdir()} == {out.name, answers.name}
