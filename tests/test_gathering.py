import json
from pathlib import Path

import pytest
import tomli_w

from archsearch.archive.study_folder import StudyFolder
from archsearch.errors import UserError
from archsearch.gathering import differences, gather, read_parts
from archsearch.settings import SETTINGS, RunSettings

GIVEN = {"space": "vgg", "flops": "20M"}


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "run.toml"
        path.write_text('space = "vgg"\nflops = "20M"\n' + text, encoding="utf-8")
        return path

    return write


def test_flags_win_over_file_and_file_over_environment(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text('space = "vgg"\nflops = "20M"\ntrials = 5\nseeds = 2\n', encoding="utf-8")
    environ = {"ARCHSEARCH_TRIALS": "4", "ARCHSEARCH_SEED": "7", "ARCHSEARCH_PRUNE": "no", "X": "y",
               "ARCHSEARCH_MAX_LATENCY": "5ms"}  # fmt: skip
    found = gather({"trials": 6, "seeds": None}, config=file, environ=environ)
    assert (found.trials, found.seeds, found.seed, found.prune) == (6, 2, 7, False)
    assert found.max_latency == "5ms"


def test_a_flag_for_the_length_replaces_the_files(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text('space = "vgg"\nflops = "20M"\nepochs = 5\n', encoding="utf-8")
    found = gather({"train_flops": "2T"}, config=file)
    assert (found.epochs, found.train_flops) == (None, "2T")
    with pytest.raises(UserError, match="one or the other"):
        gather({"train_flops": "2T", "epochs": 3}, config=file)


def test_bad_files_and_variables_are_named(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        gather({}, config=tmp_path / "none.toml")
    file = tmp_path / "run.toml"
    file.write_bytes(b"\xff")
    with pytest.raises(UserError, match="no UTF-8"):
        gather({}, config=file)
    file.write_text("trials = = 3", encoding="utf-8")
    with pytest.raises(UserError, match="is no TOML"):
        gather({}, config=file)
    file.write_text("[trials]\nx = 1", encoding="utf-8")
    with pytest.raises(UserError, match=r"trials is .'x': 1"):
        gather({}, config=file)
    with pytest.raises(UserError, match="environment: trials is 'many'"):
        gather({}, environ={"ARCHSEARCH_TRIALS": "many"})


def test_differences_are_listed():
    assert differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [
        "b: 2 there, 3 here",
        "c: not set there, 4 here",
    ]


def test_a_study_from_before_a_setting_had_its_default():
    assert differences({"trials": 8}, {"trials": 8, "sampler": "gp"}) == []
    assert differences({"trials": 8}, {"trials": 8, "sampler": "random"}) == [
        "sampler: gp there, random here"
    ]


def test_every_variable_sets_its_setting():
    usual = {str: "20M", int: "7", float: "0.25", bool: "yes"}
    own = {
        "input": "8x8x1", "resize": "crop", "max_time": "2h", "max_latency": "5ms", "folds": "5",
    }  # fmt: skip
    for name, known in SETTINGS.items():
        text = own.get(name, usual.get(known.kind, "x"))
        environ = {f"ARCHSEARCH_{name.upper()}": text}
        kind = GIVEN if known.belongs_to("run") else {"network": "resnet20"}
        given = {key: value for key, value in kind.items() if key == "network" or key != name}
        if name == "slices":
            given["flops"] = "20M:40M"
        found = gather(given, environ=environ).to_dict()
        if known.declared.variable:
            assert str(found[name]) == {"yes": "True"}.get(value := environ.popitem()[1], value)
        elif known.belongs_to("run"):
            assert name not in found


def test_a_recipes_parts_come_from_a_table_of_the_file(file):
    found = gather({}, config=file('[recipe]\nname = "resnet2015"\nbase_lr = 0.4\nnesterov = true'))
    assert (found.recipe, found.recipe_parts) == ("resnet2015", {"base_lr": 0.4, "nesterov": True})
    found = gather({}, config=file("[recipe]\nmilestones = [0.5, 0.75]"))
    assert (found.recipe, found.recipe_parts) == ("default", {"milestones": "0.5,0.75"})
    found = gather({}, config=file("recipe.batch = 64"))
    assert found.recipe_parts == {"batch": 64}


def test_a_flag_changes_one_part_and_leaves_the_files_others(file):
    path = file("[recipe]\nbase_lr = 0.4\nwarmup = 0.1")
    found = gather({"recipe_parts": {"base_lr": 0.2}, "recipe": "resnet2015"}, config=path)
    assert found.recipe == "resnet2015"
    assert found.recipe_parts == {"base_lr": 0.2, "warmup": 0.1}


def test_a_part_and_the_setting_of_its_own_exclude_each_other(file):
    path = file("batch_size = 32\nema = 0.9\nclass_weights = true")
    parts = {"batch": 64, "ema": 0.99, "class_weights": False}
    found = gather({"recipe_parts": parts}, config=path)
    assert (found.batch_size, found.ema, found.class_weights) == (None, None, False)
    assert found.parts() == parts
    path = file("[recipe]\nbatch = 64\nclass_weights = true")
    found = gather({"batch_size": 32, "class_weights": False}, config=path)
    assert found.parts() == {"batch": 32}
    for key, value in (("batch_size", 32), ("ema", 0.9), ("class_weights", True)):
        with pytest.raises(
            UserError, match=rf"{key} {value} and recipe\..* are both given; give one"
        ):
            gather({**GIVEN, "recipe_parts": parts, key: value})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe = 3", "recipe is 3; it must be a text"),
        ("[recipe]\nname = 3", "recipe is 3; it must be a text"),
        ("[recipe]\nbase_lr = {a = 1}", "recipe.base_lr is {'a': 1}; it must be a text, a number"),
        (
            "[recipe]\nbase_lr = 2026-01-01",
            "recipe.base_lr is datetime.date(2026, 1, 1); it must be",
        ),
        ('[recipe]\n"a\\nb" = {x = 1}', r"a recipe has no part 'a\nb'; its parts are names"),
        ("[recip]\nbase_lr = 0.4", "unknown setting 'recip'; did you mean 'recipe'?"),
        ("recipe_parts = 3", "recipe_parts is 3; it must be a table"),
    ],
)
def test_a_files_recipe_that_cannot_be_is_refused_with_the_files_name(file, text, message):
    path = file(text)
    with pytest.raises(UserError) as error:
        gather({}, config=path)
    assert str(error.value).startswith(f"{path}: {message}")


def test_a_part_on_the_command_line_is_read_as_in_a_file():
    texts = ["recipe.base_lr=.4", "recipe.batch = 64", "recipe.nesterov=false", "recipe.schedule=step",
             "recipe.milestones=0.5,0.75", "recipe.clip_norm=none", "recipe.batch=32"]  # fmt: skip
    assert read_parts(texts) == {
        "base_lr": 0.4, "batch": 32, "nesterov": False, "schedule": "step",
        "milestones": "0.5,0.75", "clip_norm": "none",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--set '' sets no part of a recipe; write recipe.base_lr=0.4"),
        ("recipe.base_lr", "sets no part of a recipe"),
        ("base_lr=0.4", "sets no part of a recipe"),
        ("trials=4", "--set 'trials=4': a recipe's parts are set so; --trials sets trials"),
        ("recipe=x", "--recipe sets recipe"),
        ("recipe.name=x", "--recipe sets recipe.name"),
    ],
)
def test_what_sets_no_part_is_refused(text, message):
    with pytest.raises(UserError) as error:
        read_parts([text])
    assert message in str(error.value)


def test_parts_are_kept_in_the_study_folder_and_in_the_storage(tmp_path: Path):
    parts = {"base_lr": 0.4, "clip_norm": None, "milestones": (0.5, 0.75), "schedule": "step"}
    asked = RunSettings(
        **GIVEN, recipe="resnet2015", recipe_parts=parts, sampler="random", fidelity="none",
        engine="elsewhere", val_fraction=0.2,
    )  # fmt: skip
    folder = StudyFolder(tmp_path, "s")
    folder.create()
    folder.write_settings(asked)
    assert "[recipe]" in folder.settings.read_text(encoding="utf-8")
    assert gather({}, config=folder.settings) == asked
    stored = json.loads(json.dumps(asked.to_dict()))
    assert stored["recipe.base_lr"] == 0.4
    assert RunSettings.from_dict(stored) == asked
    assert hash(RunSettings.from_dict(stored)) == hash(asked)
    assert gather({}, config=folder.settings).parts() == {
        "base_lr": 0.4, "clip_norm": "none", "milestones": "0.5,0.75", "schedule": "step",
    }  # fmt: skip


def test_settings_without_parts_are_written_as_before(file):
    asked = RunSettings(**GIVEN)
    assert asked.to_dict()["recipe"] == "default"
    assert asked.to_tables() == asked.to_dict()
    assert not [key for key in asked.to_dict() if key.startswith("recipe.")]
    path = file("")
    path.write_text(tomli_w.dumps(asked.to_tables()), encoding="utf-8")
    assert gather({}, config=path) == asked
