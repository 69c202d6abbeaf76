import string
import tomllib
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from archsearch import settings
from archsearch.errors import UserError
from archsearch.settings import RunSettings, check_study_name, default_study_name, gather


def make(**changes: object) -> RunSettings:
    return RunSettings.from_dict({"space": "resnext", "flops": "20M", **changes})


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
        ({"resize": "stretch"}, "resize is 'stretch'; it must be crop or squash"),
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


def test_every_field_has_a_kind():
    assert set(settings._KINDS) == {f.name for f in fields(RunSettings)}


def test_toml_round_trip(tmp_path: Path):
    first = make(epochs=3, input="32x32x1", val_fraction=0.2, name="a name", prune=False)
    file = tmp_path / "run.toml"
    file.write_text(tomli_w.dumps(first.to_dict()), encoding="utf-8")
    assert gather({}, config=file) == first


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


@pytest.mark.parametrize(
    "name",
    [
        "",
        " a",
        "a/b",
        "..",
        "a..b",
        "it's",
        'a"b',
        "a\nb",
        "a\0",
        "-n",
        ".x",
        "x" * 81,
        "`a`",
        "\ud800",
    ],
)
def test_bad_study_names(name):
    with pytest.raises(UserError, match="study name"):
        check_study_name(name)


def test_good_study_names():
    for name in ("resnext-20M-digits", "my study 2", "größer_1.5", "日本"):
        check_study_name(name)


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


def test_differences_are_listed():
    assert settings.differences({"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}) == [
        "b: 2 there, 3 here",
        "c: not set there, 4 here",
    ]


def test_rules_to_relax_are_names_or_a_list(tmp_path: Path):
    file = tmp_path / "run.toml"
    file.write_text('space = "vgg"\nflops = "20M"\nrelax = ["a", "b"]\n', encoding="utf-8")
    assert gather({}, config=file).relaxed() == {"a", "b"}
    assert gather({"relax": "c, d"}, config=file).relaxed() == {"c", "d"}
    assert make().relaxed() == frozenset()
    file.write_text('space = "vgg"\nflops = "20M"\nrelax = [1]\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"relax is \[1\]; it must be a text"):
        gather({}, config=file)


def test_a_square_leaves_the_channels_to_the_data():
    sizes = [
        RunSettings(space="vgg", flops="4G", input=i).image_size for i in ("64", "64x48", None)
    ]
    assert sizes == [(64, 64, None), (64, 48, 3), None]
