"""The contract of formats, held to by those of this project and by a third party's."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.errors import ArchsearchError, UserError
from archsearch.exchange.export import ExportRequest, check_out, export, export_trained
from archsearch.exchange.formats import format as formats
from archsearch.exchange.formats.format import Need, file_name, why_unusable
from archsearch.exchange.formats.keras_file import KERAS_FILE
from archsearch.exchange.formats.registry import FORMATS, find_format, format_for, load_formats
from archsearch.exchange.formats.saved_model import SAVED_MODEL
from archsearch.exchange.model_process import ModelProcess
from archsearch.testing.format_case import FormatCase
from tests.networks import vgg_like
from tests.third_party import install
from tests.third_party.example.archsearch_example.npz import NPZ

OURS = [
    "keras", "litert", "litert-int8", "mlflow", "onnx", "onnx-int8", "openvino", "python", "saved_model",
    "torch",
]  # fmt: skip
ON_NPZ = {FORMATS: {"npz": "tests.third_party.example.archsearch_example.npz:NPZ"}}


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
class TestSavedModel(FormatCase):
    form = SAVED_MODEL


@pytest.mark.keras
@pytest.mark.usefixtures("reloaded_here")
class TestKerasFile(FormatCase):
    form = KERAS_FILE

    # In the quick run tests/training/test_user_configuration.py loads one in another process.
    @pytest.mark.slow
    def test_another_process_loads_it_and_is_killed_writing(self, trained, tmp_path):
        super().test_another_process_loads_it_and_is_killed_writing(trained, tmp_path)


def test_formats_are_found_by_name_a_third_partys_too(tmp_path, monkeypatch):
    assert list(load_formats()) == OURS
    assert find_format("saved_model") is SAVED_MODEL
    with pytest.raises(UserError, match=f"no format is named 'npz'; there are {', '.join(OURS)}"):
        find_format("npz")
    install(tmp_path / "on_npz", monkeypatch, ON_NPZ)
    assert find_format("npz") is NPZ
    assert list(load_formats()) == sorted([*OURS, "npz"])
    with pytest.raises(UserError, match=r"no format is named 'keras2'; did you mean keras\?"):
        find_format("keras2")


def test_a_place_speaks_of_a_format_by_its_suffix():
    names = {"m.keras": "keras", "m.onnx": "onnx", "m.tflite": "litert", "m.pt2": "torch"}
    names |= dict.fromkeys(("model", "v1.2", "net.h5", ".onnx/model"), "saved_model")
    assert {name: format_for(Path(name)) for name in names} == names
    assert format_for(None) == "saved_model"


def test_broken_packages_are_named(tmp_path, monkeypatch):
    points = {
        "gone": "no_such_module:X",
        "odd": "os:sep",
        "renamed": "tests.third_party.example.archsearch_example.npz:NPZ",
        "keras": "tests.third_party.example.archsearch_example.npz:NPZ",
    }
    install(tmp_path / "broken", monkeypatch, {FORMATS: points})
    for name, why in (
        ("gone", "entry point gone = no_such_module:X: No module named"),
        ("odd", "odd = os:sep is no Format"),
        ("renamed", "is a format named 'npz'; the two must be the same"),
        ("keras", "two packages install a format named 'keras'"),
    ):
        with pytest.raises(ArchsearchError, match=why) as caught:
            find_format(name)
        assert "\n" not in str(caught.value)
    assert find_format("saved_model") is SAVED_MODEL  # others are not in its way


def test_models_have_names_of_their_own():
    assert [file_name(form) for form in (SAVED_MODEL, KERAS_FILE, NPZ)] == [
        "saved_model", "model.keras", "model.npz",
    ]  # fmt: skip

    class Small(type(NPZ)):
        name = "npz_int8"

    assert file_name(Small()) == "npz_int8.npz"


class Far(type(NPZ)):
    needs = (Need("no_such_one", "mine[far]"), Need("no_such_two", "mine[far]"))


def test_what_is_missing_is_named_with_what_installs_it(tmp_path, monkeypatch):
    assert why_unusable(SAVED_MODEL) is None
    assert why_unusable(Far()) == (
        "exporting as npz needs no_such_one and no_such_two, which are not installed: "
        "pip install 'mine[far]'"
    )
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name == "keras" else name)
    request = ExportRequest(
        graph="", weights="", dataset="", out=str(tmp_path / "model.keras"), format="keras"
    )
    # Said before a process is started, and by the export itself.
    with ModelProcess(log=tmp_path / "log") as process:
        for ask in (check_out, export, process.export):
            with pytest.raises(
                UserError, match="needs keras, which is not installed: pip install k"
            ):
                ask(request)
        assert process.process_id is None
    assert list(tmp_path.iterdir()) == []


def test_finding_a_format_imports_no_framework(tmp_path):
    code = (
        "import sys; from archsearch.exchange.formats.registry import load_formats; load_formats(); "
        "heavy = ('keras', 'tensorflow', 'torch', 'jax', 'onnx', 'openvino', 'mlflow'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow  # in the quick run tests/third_party/test_example.py exports so by the command line
@pytest.mark.keras
def test_a_third_partys_format_goes_through_the_model_process(
    npz_request: ExportRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    install(tmp_path / "on_npz", monkeypatch, ON_NPZ)
    with ModelProcess(log=tmp_path / "log") as process:
        out = process.export(npz_request)
    assert out.path == tmp_path / "model.npz"
    import numpy as np

    with np.load(out.path) as file:
        assert json.loads(str(file["graph"]))["name"] == "mine"


@pytest.mark.keras
def test_a_network_that_a_format_does_not_hold(tmp_path: Path):
    class Pooled(FormatCase):
        def network(self):
            return vgg_like(channels=3)

    with pytest.raises(UserError, match="--format npz holds no pool operation"):
        export_trained(Pooled().example(), NPZ, tmp_path / "model.npz")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def npz_request(colour_dataset: Path, tmp_path: Path) -> ExportRequest:
    from archsearch.data.dataset import load
    from archsearch.ir.codec import to_json
    from archsearch.ir.tracer import Tracer
    from archsearch.training.weights import fresh_weights, save_weights

    data = load(colour_dataset)
    net = Tracer("mine", data.input)
    x = net.global_avg_pool(net.relu(net.conv(net.input, 4, kernel=3)))
    graph = net.finish(net.dense(x, len(data.classes)))
    save_weights(fresh_weights(graph), tmp_path / "w.npz")
    return ExportRequest(
        graph=to_json(graph),
        weights=str(tmp_path / "w.npz"),
        dataset=str(colour_dataset),
        out=str(tmp_path / "model.npz"),
        format="npz",
    )
