"""The Python interface: complete, documented, typed, light to import."""

import inspect
import pkgutil
import pydoc
import subprocess
import sys

import pytest

import archsearch
from archsearch.errors import BudgetError, UserError


def test_everything_named_is_there_and_says_what_it_raises():
    for name in archsearch.__all__:
        assert inspect.getdoc(getattr(archsearch, name))
    for function in (archsearch.search, archsearch.network, archsearch.profile, archsearch.sample):
        assert "Raises:" in inspect.getdoc(function)
        assert inspect.signature(function).return_annotation is not inspect.Signature.empty


def test_help_lists_the_functions_and_the_tab_key_finds_them():
    page = pydoc.render_doc(archsearch, renderer=pydoc.plaintext)
    for name in (
        "search",
        "train",
        "resume",
        "rerun",
        "load_study",
        "profile",
        "sample",
        "check",
        "export",
    ):
        assert f"\n    {name}(" in page
    assert "class RunSettings" in page
    assert set(archsearch.__all__) <= set(dir(archsearch))


def test_no_module_takes_a_functions_name():
    # Importing a submodule sets an attribute of its name on the package.
    modules = {module.name for module in pkgutil.iter_modules(archsearch.__path__)}
    assert not modules & set(archsearch.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="serach"):
        _ = archsearch.serach


def test_profile_takes_a_name_a_graph_or_a_file(tmp_path):
    from archsearch.ir.codec import to_json

    graph = archsearch.network("resnet20_cifar")
    path = tmp_path / "net.json"
    path.write_text(to_json(graph), encoding="utf-8")
    wanted = archsearch.profile("resnet20_cifar")
    assert wanted["params"] == 269_722  # He et al. 2015, table 6: 0.27 M
    assert archsearch.profile(graph) == archsearch.profile(path) == wanted
    path = path.rename(tmp_path / "net.JSON")
    assert archsearch.profile(path) == wanted


def test_a_file_that_holds_no_network_is_no_misspelt_baseline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("images.npz", "resnet50"):
        (tmp_path / name).write_bytes(b"no network")
    with pytest.raises(UserError, match=r"images.npz is no .keras file"):
        archsearch.network("images.npz")
    assert archsearch.network("resnet50").name == "resnet50"


def test_sample_says_what_is_wrong_before_the_first_candidate():
    with pytest.raises(BudgetError, match="try --flops"):
        archsearch.sample("vgg", "1k")
    with pytest.raises(UserError, match="did you mean vgg"):
        archsearch.sample("vg", "4G")


def test_rules_to_relax_are_a_text_or_a_list():
    rule = "channel-doubling"

    def knobs(relax):
        (found,) = archsearch.sample("vgg", "20M", input=(32, 32, 3), count=1, relax=relax)
        return set(dict(found.knobs))

    assert knobs(rule) == knobs([rule]) == knobs({rule}) > knobs(())


def test_a_budget_is_a_text():
    with pytest.raises(UserError, match="the budget is 20000000; write a text"):
        archsearch.sample("vgg", 20_000_000)


def test_export_takes_texts_for_paths(tmp_path):
    for home in (tmp_path, str(tmp_path)):
        with pytest.raises(UserError, match="no study"):
            archsearch.export("none", home=home, out=str(tmp_path / "model"))


def test_sample_takes_the_classes_that_go_with_the_image():
    small = next(archsearch.sample("vgg", "20M", input=(32, 32, 3), count=1))
    assert small.graph.classes == 10
    large = next(archsearch.sample("vgg", "4G", input=(224, 224, 3), count=1))
    assert large.graph.classes == 1000


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys, archsearch; "
        "found = [m for m in sys.modules if m.startswith('archsearch.')]; "
        "sys.exit(str(found) if found else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.keras
def test_build_gives_a_stock_keras_model(tmp_path):
    import keras

    model = archsearch.build("resnext29_8x64d", input=(32, 32, 1), classes=3)
    assert model.output.shape == (None, 3)
    assert all(type(layer).__module__.startswith("keras.") for layer in model.layers)
    assert isinstance(model, keras.Model)


def test_a_study_is_named_by_a_text():
    with pytest.raises(UserError, match="3 is no study's name; give a text"):
        archsearch.load_study(3)
