"""Files of somebody else's: what would run code when it is read is refused, and nothing of it runs."""

import pickle
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from archsearch.errors import UserError
from archsearch.exchange.formats.torch_program import TORCH

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed")


class Touch:
    """Pickled: a file that is made when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    import torch

    path = tmp_path_factory.mktemp("program") / "net.pt2"
    torch.export.save(torch.export.export(torch.nn.Softmax(-1), (torch.zeros(2, 3),)), path)
    return path


def changed(program: Path, out: Path, name: str, data: bytes) -> Path:
    """Copy a program with one file in it replaced, or added."""
    with zipfile.ZipFile(program) as before, zipfile.ZipFile(out, "w") as after:
        top = before.namelist()[0].split("/")[0]
        for other in before.namelist():
            if other != f"{top}/{name}":
                after.writestr(other, before.read(other))
        after.writestr(f"{top}/{name}", data)
    return out


def test_a_program_without_objects_is_read(program):
    found = TORCH.load(program)(np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(found, np.full((2, 3), 1 / 3), rtol=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "data/constants/opaque_obj_0",
        "data/constants/custom_obj_0",
        "data/weights/model.pt",
        "data/aotinductor/model/a.so",
    ],
)
def test_a_program_with_objects_or_compiled_code_is_refused(program, tmp_path, name):
    touched = tmp_path / "touched"
    out = changed(program, tmp_path / "bad.pt2", name, pickle.dumps(Touch(touched)))
    with pytest.raises(UserError, match="may run code when it is read"):
        TORCH.load(out)
    assert not touched.exists()


def test_pickled_objects_in_place_of_tensors_are_not_read(program, tmp_path):
    import torch

    touched = tmp_path / "touched"
    bad = tmp_path / "inputs.pt"
    torch.save(Touch(touched), bad)
    out = changed(program, tmp_path / "bad.pt2", "data/sample_inputs/model.pt", bad.read_bytes())
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        TORCH.load(out)
    assert not touched.exists()


def test_what_is_no_program_is_said_to_be_none(tmp_path):
    (tmp_path / "text.pt2").write_text("no program")
    with pytest.raises(UserError, match=r"is no program of torch\.export's"):
        TORCH.load(tmp_path / "text.pt2")
