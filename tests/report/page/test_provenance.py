import shlex
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner

from archsearch.archive.codec import kept_settings
from archsearch.cli.app import app
from archsearch.report.page.provenance import provenance, repeating
from archsearch.settings import RunSettings
from archsearch.study import driver
from tests.report.page.made import result


@pytest.mark.parametrize(
    "asked",
    [
        {"space": "vgg", "flops": "20M"},
        {"space": "vgg,resnext", "flops": "18M:20M", "trials": 30, "seed": 7, "mirror": False},
        {"space": "vgg", "flops": "20M", "max_time": "2h", "relax": "channel-doubling,vgg.same"},
        {"space": "vgg", "flops": "20M", "data": "my photos/", "recipe_parts": {"batch": 64, "mixup": 0.2}},
        {"space": "vgg", "flops": "20M", "prune": False, "class_weights": True, "baselines": "none"},
    ],
)  # fmt: skip
def test_the_command_asks_for_the_same(asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
    settings = RunSettings(**asked)
    heard: list[RunSettings] = []

    class StoppedError(Exception):
        pass

    def hear(settings: RunSettings, **_: Any) -> None:
        heard.append(settings)
        raise StoppedError

    monkeypatch.setattr(driver, "run", hear)
    program, *words = shlex.split(repeating(settings))
    out = CliRunner().invoke(app, words)
    assert program == "archsearch"
    assert heard, out.output
    assert kept_settings(heard[0]) == kept_settings(settings)


def test_what_is_usual_is_not_said():
    assert (
        repeating(RunSettings(space="vgg", flops="20M")) == "archsearch run --space vgg --flops 20M"
    )
    full = RunSettings(network="resnet20_cifar", data="cifar10", epochs=200)
    assert repeating(full) == "archsearch train resnet20_cifar --data cifar10 --epochs 200"


def test_settings_data_recipe_and_versions_are_told():
    tables = [block for block in provenance(result()).blocks if block.kind == "numbers"]
    told = {row[0].text: row[1].text for table in tables for row in table.rows}
    assert told["seed"] == "0"
    assert told["train images"] == "100"
    assert told["digest"] == "abc"
    assert {"optuna", "Python", "archsearch"} <= set(told)


def test_a_study_that_learnt_from_others_is_repeated_where_it_lies():
    led = replace(result(), learnt_from={"vgg-10M-digits": 18})
    blocks = provenance(led).blocks
    (passage,) = (block for block in blocks if block.kind == "passage")
    assert passage.lines == ("The command that repeats it, in the home that has it:",)
    tables = [block for block in blocks if block.kind == "numbers"]
    told = {row[0].text: row[1].text for table in tables for row in table.rows}
    assert told["vgg-10M-digits"] == "18 networks"
