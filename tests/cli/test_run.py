"""The flags of `run`: each setting has one, and what it is given reaches the driver."""

import pytest

from archsearch.cli import main
from archsearch.errors import UserError
from archsearch.fields import as_shown
from archsearch.settings import SETTINGS, RunSettings
from archsearch.study import driver

BEFORE = [
    "--space", "--flops", "--data", "--input", "--relax", "--trials", "--epochs",
    "--train-flops", "--max-time", "--search-flops", "--max-latency", "--recipe",
    "--batch-size", "--val-every", "--finalists", "--seeds", "--baselines", "--class-weights",
    "--mirror", "--strict", "--seed", "--workers", "--workers-per-gpu", "--backend",
    "--precision", "--compile", "--ema", "--prune", "--export", "--name", "--storage",
    "--tracking-uri", "--home",
]  # fmt: skip
NEW = [
    "--resize",
    "--slices",
    "--set",
    "--val-fraction",
    "--test-fraction",
    "--engine",
    "--address",
    "--folds",
    "--sampler",
    "--fidelity",
    "--train-winner",
    "--margin",
    "--prior",
    "--memory",
]
OWN = {name: s for name, s in SETTINGS.items() if "run" in s.declared.commands}


@pytest.fixture
def asked(monkeypatch):
    """Run the command line as far as its settings, and return them."""
    found: list[RunSettings] = []

    def run(settings, **_):
        found.append(settings)
        raise UserError("asked")

    monkeypatch.setattr(driver, "run", run)

    def ask(*flags: str, given=("--space", "vgg", "--flops", "20M")) -> RunSettings:
        assert main(["run", *given, *flags]) == 2
        return found.pop()

    return ask


def test_flags_stand_in_the_order_they_always_did_beside_the_new_ones(capsys):
    flags = [s.flag for s in as_shown(OWN.values())]
    assert [flag for flag in flags if flag not in NEW] == BEFORE
    assert sorted(flags) == sorted(BEFORE + NEW)
    assert main(["run", "--help"]) == 0
    shown = capsys.readouterr().out
    places = [shown.index(f"\n  {flag} ") for flag in flags]
    assert places == sorted(places)


def test_help_says_what_every_field_says(capsys):
    assert main(["run", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for known in OWN.values():
        assert known.help in shown
        assert "{" not in known.help
        if known.declared.metavar is not None:
            assert f"{known.flag} {known.declared.metavar} " in shown
        if known.kind is bool:
            assert f"{known.flag} / --no-{known.flag.removeprefix('--')} " in shown


@pytest.mark.parametrize("name", list(OWN))
def test_every_flag_sets_its_setting(name, asked):
    known, default = SETTINGS[name], getattr(asked(), name)
    if known.kind is bool:
        assert getattr(asked(known.flag), name) is True
        assert getattr(asked(f"--no-{known.flag.removeprefix('--')}"), name) is False
        return
    texts = {
        "flops": "30M", "input": "8x8x1", "max_time": "2h", "max_latency": "5ms",
        "train_flops": "2T", "search_flops": "1P", "recipe_parts": "recipe.base_lr=0.25",
        "resize": "squash", "folds": "5", "memory": "6GB",
    }  # fmt: skip
    text = texts.get(name) or {int: "5", float: "0.25", str: "other"}[known.kind]
    goes_with = ["--flops", "20M:40M"] if name == "slices" else []
    found = getattr(asked(*goes_with, known.flag, text), name)
    assert found != default
    assert str(found) == text or found == {"base_lr": 0.25}


def test_the_three_choices_have_defaults_and_are_kept(asked):
    found = asked()
    assert (found.sampler, found.fidelity, found.engine) == ("gp", "auto", "local")
    assert {"sampler", "fidelity", "engine"} <= found.to_dict().keys()


def test_several_parts_and_rules_in_one_command(asked):
    found = asked(
        "--set", "recipe.base_lr=0.4", "--set", "recipe.schedule=step", "--relax", "a", "--relax", "b",
    )  # fmt: skip
    assert found.recipe_parts == {"base_lr": 0.4, "schedule": "step"}
    assert found.relax == "a,b"
    assert asked("--relax", "").relax is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--set", "recipe.base_lrr=1"],
            "a recipe has no part 'base_lrr'; did you mean 'base_lr'?",
        ),
        (["--set", "recipe.base_lr=fast"], "recipe.base_lr is 'fast'; it must be a number"),
        (["--set", "recipe.base_lr=-1"], "recipe default: learning rate -1.0 does not work"),
        (["--set", "trials=4"], "--trials sets trials"),
        (
            ["--set", "recipe.batch=9", "--batch-size", "8"],
            "batch_size 8 and recipe.batch 9 are both",
        ),
        (["--val-fraction", "1"], "val_fraction is 1.0; it must lie between 0 and 1"),
        (["--val-fraction", "0.5", "--test-fraction", "0.5"], "leave nothing to train on"),
    ],
)
def test_what_cannot_be_set_is_one_line(flags, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--space", "vgg", "--flops", "20M", *flags]) == 2
    said = capsys.readouterr().err
    assert said.startswith("archsearch: ")
    assert said.count("\n") == 1
    assert message in said
    assert not list(tmp_path.iterdir())  # nothing is kept
