"""The flags of `train`: those of `run` that make sense, its own; what they are given reaches the driver."""

import json

import pytest

from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.fields import as_shown
from archsearch.settings import SETTINGS, RunSettings
from archsearch.study import driver, dry_run
from tests.real_runs import BACKEND, MEASURE_S

OWN = {name: s for name, s in SETTINGS.items() if "train" in s.declared.commands}


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Run the command line as far as its settings, and return them."""
    found: list[RunSettings] = []

    def run(settings, **_):
        found.append(settings)
        raise UserError("asked")

    monkeypatch.setattr(driver, "run", run)

    def ask(*flags: str) -> RunSettings:
        assert main(["train", *flags, "--home", str(tmp_path)]) == 2
        return found.pop()

    return ask


def test_help_says_what_every_field_says_and_no_flag_of_a_search(capsys):
    assert main(["train", "--help"]) == 0
    shown = capsys.readouterr().out
    for known in as_shown(SETTINGS.values()):
        there = f"\n  {known.flag} " in shown
        assert there == (known.name in OWN), known.name
    assert "NETWORK" in shown


def test_what_is_given_reaches_the_driver(asked):
    found = asked(
        "lenet5", "--epochs", "9", "--on", "train+val", "--seeds", "3", "--max-time", "2h",
        "--set", "recipe.base_lr=0.4", "--data", "mnist", "--devices", "1", "--precision", "float32",
    )  # fmt: skip
    assert (found.network, found.epochs, found.train_on, found.seeds) == (
        "lenet5",
        9,
        "train+val",
        3,
    )
    assert (found.data, found.recipe_parts) == ("mnist", {"base_lr": 0.4})
    assert asked("vgg", "--flops", "20M").flops == "20M"


def test_a_settings_file_may_name_the_network(asked, tmp_path):
    file = tmp_path / "run.toml"
    file.write_text('network = "lenet5"\nepochs = 3\n', encoding="utf-8")
    assert asked("--config", str(file)).network == "lenet5"
    assert asked("alexnet", "--config", str(file)).network == "alexnet"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "network is empty; give a study, a baseline's name or a file"),
        (["lenet5", "--place", "1"], "no study 'lenet5'"),
        (["lenet5", "--on", "test"], "it must be train or train+val"),
        (["lenet5", "--trials", "3"], "No such option"),
        (["lenet5", "--set", "trials=3"], "--trials sets trials"),
        (["lenet6", "--dry-run"], "did you mean lenet5?"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, capsys, tmp_path):
    assert main(["train", *arguments, "--home", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.keras
def test_the_plan_as_json(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "MEASURE_S", MEASURE_S)
    arguments = ["train", "lenet5", "--epochs", "3", "--workers", "1", "--backend", BACKEND]
    assert main([*arguments, "--dry-run", "--json", "--home", str(tmp_path)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["space"], found["finals"], found["epochs"]) == ("", 1, 3)
    assert found["network"].startswith("baseline lenet5")
    assert found["total_s"] > 0
