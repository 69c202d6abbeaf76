"""Formats that do not keep to the contract are caught by its suite."""

import numpy as np
import pytest

from archsearch.errors import ArchsearchError
from archsearch.ir.codec import to_json
from archsearch.testing.format_case import FormatCase
from tests.third_party.example.archsearch_example.npz import Npz

WRITES = "test_the_model_answers_as_the_network"
ELSEWHERE = "test_another_process_loads_it_and_is_killed_writing"


class Untidy(Npz):
    def write(self, trained, out):
        super().write(trained, out)
        (out.parent / "notes.txt").write_text("beside it")


class Dividing(Npz):
    def write(self, trained, out):
        constants = {"shift": np.array(trained.mean), "scale": np.array(trained.std)}
        np.savez(out, graph=np.array(to_json(trained.graph)), **constants, **trained.weights)

    def call(self, out, images):
        with np.errstate(all="ignore"):
            return super().call(out, images)


class OfOneLength(Npz):
    def call(self, out, images):
        if len(images) != 8:
            raise ValueError("batches of 8")
        return super().call(out, images)


class Averaging(Npz):
    def call(self, out, images):
        return super().call(out, images).mean(axis=0, keepdims=True)


class Remembering(Npz):
    written = ()

    def write(self, trained, out):
        super().write(trained, out)
        Remembering.written = (*self.written, out)

    def call(self, out, images):
        if out not in self.written:
            raise ValueError("written by another process")
        return super().call(out, images)


@pytest.mark.keras
@pytest.mark.parametrize(
    ("form", "test"),
    [
        (Untidy(), WRITES),
        (Dividing(), WRITES),
        (OfOneLength(), WRITES),
        (Averaging(), WRITES),
        (Remembering(), ELSEWHERE),
    ],
)
def test_what_is_wrong_is_caught(form, test, tmp_path):
    case = FormatCase()
    case.form = form
    example = case.example()
    with pytest.raises((AssertionError, ArchsearchError, ValueError)):
        getattr(case, test)(example, tmp_path)


def test_a_name_that_no_option_takes_is_caught():
    class Shouting(Npz):
        name = "NPZ file"

    case = FormatCase()
    case.form = Shouting()
    with pytest.raises(AssertionError):
        case.test_it_says_what_it_is()
