import string
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from archsearch import settings
from archsearch.checks import check_study_name
from archsearch.errors import UserError
from archsearch.gathering import gather
from archsearch.settings import SETTINGS, RunSettings, default_study_name


def make(**changes: object) -> RunSettings:
    """Settings of a search; of a full training where only that has one of the changes."""
    own = all(SETTINGS[name].belongs_to("run") for name in changes if name in SETTINGS)
    kind = {"space": "resnext", "flops": "20M"} if own else {"network": "resnet20"}
    return RunSettings.from_dict({**kind, **changes})


def test_defaults_suffice_beside_space_and_budget():
    assert make().data == "digits"
    assert make().epochs is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flops": "20X"}, "is no number of FLOPs"),
        ({"flops": "4G:3G"}, "starts above its end"),
        ({"flops": ":"}, "is no number of FLOPs"),
        ({"epochs": 3, "train_flops": "1T"}, "one or the other"),
        ({"train_flops": "0"}, "is no number of FLOPs"),
        ({"max_latency": "5"}, "is no latency; write one like 5ms"),
        ({"trials": 0}, "trials is 0; it must be at least 1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**31}, "below 2"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": 10**9}, "workers is 1,000,000,000; 1,024 at most"),
        ({"input": "32x"}, "is no image size"),
        ({"val_fraction": 0.0}, "between 0 and 1"),
        ({"val_fraction": float("nan")}, "between 0 and 1"),
        ({"val_fraction": 0.5, "test_fraction": 0.5}, "nothing to train on"),
        ({"baselines": "resnet50,all"}, "mixes 'all'"),
        ({"baselines": " , "}, "baselines is empty"),
        ({"name": "a/b"}, "study name"),
        ({"space": ""}, "no name"),
        ({"data": ""}, "data is empty"),
        ({"trails": 3}, "unknown setting 'trails'; did you mean 'trials'?"),
        ({"trials": "3"}, "trials is '3'; it must be a whole number"),
        ({"trials": True}, "trials is True; it must be a whole number"),
        ({"prune": 1}, "prune is 1; it must be true or false"),
    ],
)
def test_refuses_in_one_line(changes, message):
    with pytest.raises(UserError) as error:
        make(**changes)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flops": 2}, "flops is 2; it must be a text"),
        ({"trials": "3"}, "trials is '3'; it must be a whole number"),
        ({"trials": 2.5}, "trials is 2.5; it must be a whole number"),
        ({"seed": True}, "seed is True; it must be a whole number"),
        ({"export": "no"}, "export is 'no'; it must be true or false"),
        ({"data": None}, "data is None; it must be a text"),
        ({"data": b"x"}, "data is b'x'; it must be a text"),
        ({"relax": ["a", 1]}, "relax is ['a', 1]; it must be a text"),
        ({"ema": 2}, "ema is 2.0; it must lie between 0 and 1"),
        ({"ema": "0.9"}, "ema is '0.9'; it must be a number"),
        ({"ema": 10**400}, "it must be a number"),
    ],
)
def test_python_callers_are_told_the_same(changes, message):
    for make_it in (RunSettings, lambda **values: RunSettings.from_dict(values)):
        if None in changes.values() and make_it is not RunSettings:
            continue  # None there: not given
        with pytest.raises(UserError) as error:
            make_it(**({"space": "resnext", "flops": "20M"} | changes))
        assert message in str(error.value)


def test_python_callers_may_give_paths_lists_and_numpys_numbers(tmp_path: Path):
    found = RunSettings(
        space="vgg", flops="20M", home=tmp_path / "runs", data=tmp_path, trials=np.int64(3),
        ema=np.float32(0.5), val_fraction=np.float64(0.25), relax=["a", "b"], baselines=("vgg16",),
    )  # fmt: skip
    assert (found.home, found.data, found.relax) == (str(tmp_path / "runs"), str(tmp_path), "a,b")
    assert {type(value) for value in found.to_dict().values()} <= {str, int, float, bool}
    assert RunSettings.from_dict(tomllib.loads(tomli_w.dumps(found.to_dict()))) == found


def test_a_bounded_search_tries_what_fits_in_every_way_in():
    given = {"space": "vgg", "flops": "20M"}
    for bound in ({"max_time": "1h"}, {"search_flops": "1P"}):
        bounded = given | bound
        for found in (RunSettings(**bounded), RunSettings.from_dict(bounded), gather(bounded)):
            assert found.trials == settings.BOUNDED_TRIALS
        assert RunSettings(**bounded, trials=7).trials == 7
    assert RunSettings(**given).trials == RunSettings.from_dict(given).trials == 6


def test_missing_space_is_named():
    with pytest.raises(UserError, match="space is missing"):
        RunSettings.from_dict({"flops": "20M"})


def test_a_full_training_has_defaults_of_its_own_and_keeps_no_setting_of_a_search(tmp_path: Path):
    found = RunSettings(network=tmp_path / "net.json")
    assert (found.seeds, found.usual_epochs, found.train_on) == (1, 60, "train")
    assert make().seeds == 2
    assert replace(found, seed=3).seed == 3
    kept = found.to_dict()
    assert kept["network"] == str(tmp_path / "net.json")
    assert not kept.keys() & {"space", "flops", "trials", "finalists", "sampler", "prune"}
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps(kept), encoding="utf-8")
    assert gather({}, config=file) == found
    assert "network" not in make().to_dict()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": ""}, "network is empty; give a study, a baseline's name or a file"),
        ({"network": "resnet20", "space": "vgg"}, "space vgg is for archsearch run, not for train"),
        ({"network": "resnet20", "trials": 3}, "trials 3 is for archsearch run, not for train"),
        ({"network": "resnet20", "train_on": "test"}, "it must be train or train+val: the test"),
        ({"network": "s", "place": 1, "trial": 2}, "both given; a network has one place"),
        ({"network": "s", "devices": 0}, "devices is 0; it must be at least 1"),
        (
            {"space": "vgg", "flops": "1M", "place": 2},
            "place 2 is for archsearch train, not for run",
        ),
        ({"space": "vgg"}, "flops is missing; give --flops"),
    ],
)
def test_a_search_and_a_full_training_are_not_mixed(changes, message):
    with pytest.raises(UserError) as error:
        RunSettings(**changes)
    assert message in str(error.value)


def test_variables_of_another_command_do_not_count():
    environ = {"ARCHSEARCH_TRIALS": "9", "ARCHSEARCH_EPOCHS": "5", "ARCHSEARCH_SPACE": "vgg"}
    found = gather({"network": "resnet20"}, environ=environ)
    assert (found.trials, found.epochs, found.space) == (1, 5, None)
    study = {"epochs": 7, "data": "cifar10", "recipe": "resnet2015"}
    found = gather({"network": "s", "data": "digits"}, environ=environ, study=study)
    assert (found.epochs, found.data, found.recipe) == (7, "digits", "resnet2015")


def test_toml_round_trip(tmp_path: Path):
    first = make(epochs=3, input="32x32x1", val_fraction=0.2, name="a name", prune=False)
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps(first.to_dict()), encoding="utf-8")
    assert gather({}, config=file) == first


@given(st.text(), st.text(min_size=1, alphabet=string.printable))
def test_default_names_are_valid_whatever_the_data(data, space):
    check_study_name(default_study_name(make(data=data or "x", space=space)))


def test_default_name_reads_well():
    assert default_study_name(make()) == "resnext-20M-digits"
    assert default_study_name(make(data="/tmp/cats and dogs/", flops="3.8G:4.2G")) == (
        "resnext-3.8G_4.2G-cats_and_dogs"
    )
    assert default_study_name(make(data="a/b.npz")) == "resnext-20M-b"


def test_length_of_a_trial():
    assert make(epochs=3).images(flops=20_000_000, train_images=1000) == 3000
    assert make(train_flops="600G").images(flops=20_000_000, train_images=1000) == 10_000


def test_rules_to_relax_are_names_or_a_list(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text('space = "vgg"\nflops = "20M"\nrelax = ["a", "b"]\n', encoding="utf-8")
    assert gather({}, config=file).relaxed() == {"a", "b"}
    assert gather({"relax": "c, d"}, config=file).relaxed() == {"c", "d"}
    assert make().relaxed() == frozenset()
    file.write_text('space = "vgg"\nflops = "20M"\nrelax = [1]\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"relax is \[1\]; it must be a text"):
        gather({}, config=file)


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if s.kind in (int, float)])
def test_every_number_has_a_range_that_holds(name):
    declared = SETTINGS[name].declared
    goes_with = {"slices": {"flops": "20M:40M"}}.get(name, {})
    if SETTINGS[name].kind is float:
        assert declared.within is not None
        outside = [declared.within[0], declared.within[1], float("nan")]
    else:
        assert declared.least is not None
        assert getattr(make(**{name: declared.least}, **goes_with), name) == declared.least
        outside = [declared.least - 1, 2**31]
        if declared.most is not None:
            outside.append(declared.most + 1)
            assert getattr(make(**{name: declared.most}, **goes_with), name) == declared.most
    for value in outside:
        with pytest.raises(UserError, match=rf"^{name} is "):
            make(**{name: value}, **goes_with)


@pytest.mark.parametrize("name", [n for n, s in SETTINGS.items() if s.declared.check is not None])
def test_every_text_that_is_read_is_read_at_once(name):
    with pytest.raises(UserError) as error:
        make(**{name: ""})
    assert "\n" not in str(error.value)


def test_settings_keep_the_order_in_which_they_were_always_written():
    before = [
        "space", "flops", "data", "input", "relax", "mirror", "strict", "class_weights",
        "trials", "epochs", "train_flops", "max_time", "search_flops", "max_latency", "recipe",
        "batch_size", "val_every", "seed", "seeds", "finalists", "baselines", "workers",
        "workers_per_gpu", "backend", "precision", "compile", "ema", "name", "storage",
        "tracking_uri", "home", "export", "val_fraction", "test_fraction", "prune",
    ]  # fmt: skip
    assert [name for name in SETTINGS if name in before] == before
    written = list(make(mirror=True, relax="a", ema=0.5, recipe_parts={"warmup": 0.1}).to_dict())
    assert written.index("recipe.warmup") == written.index("recipe") + 1


def test_parts_of_the_recipe_that_have_settings_of_their_own():
    assert make().parts() == {}
    assert make(batch_size=64, ema=0.9, class_weights=True, recipe_parts={"warmup": 0}).parts() == {
        "batch": 64, "ema": 0.9, "class_weights": True, "warmup": 0,
    }  # fmt: skip


def test_a_changed_mapping_changes_no_settings():
    parts = {"base_lr": 0.4}
    found = make(recipe_parts=parts)
    parts["base_lr"] = 0.1
    assert found.recipe_parts == {"base_lr": 0.4}


def test_a_square_leaves_the_channels_to_the_data():
    sizes = [make(input=size).image_size for size in ("64", "64x48", None)]
    assert sizes == [(64, 64, None), (64, 48, 3), None]


def test_a_fold_follows_from_the_seed_and_how_many_images_validate():
    asked = RunSettings(space="vgg", flops="1M")
    assert [asked.fold(seed, val_images=300) for seed in (None, 1, 2)] == [0, 1, 2]
    assert asked.fold(1, val_images=2000) == 0
    assert asked.fold(1, val_images=0) == 0
    three = replace(asked, folds="3")
    assert [three.fold(seed, val_images=10**6) for seed in range(1, 6)] == [1, 2, 3, 1, 2]
    assert replace(asked, folds="none").fold(2, val_images=300) == 0
    with pytest.raises(UserError, match="folds is 'some'; it must be auto, none or a number"):
        RunSettings(space="vgg", flops="1M", folds="some")
    with pytest.raises(UserError, match="folds"):
        RunSettings(space="vgg", flops="1M", folds="0")
