"""`archsearch export`: what is asked for of the study, and what is said of each model."""

import json
from pathlib import Path

import pytest

from archsearch.cli import main
from archsearch.exchange.checking.agreement import Exported
from archsearch.study import winner


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What was asked, of a study whose export as `onnx-int8` loses much."""
    calls = []

    def export_study(study, *, forms, out, on_exported, **more):
        calls.append({"study": study, "forms": list(forms), "out": out, **more})
        same = {"images": 100, "difference": 0.25, "same_top1": 90}
        made = []
        for form in forms:
            rounded = {"trained_accuracy": 0.9, "accuracy": 0.8} if "int8" in form else {}
            made.append(
                Exported(
                    path=Path("m") / form, format=form, size_bytes=1_234_567, **same, **rounded
                )
            )
            on_exported(made[-1])
        return tuple(made)

    monkeypatch.setattr(winner, "export_study", export_study)
    return calls


def test_several_formats_and_what_each_loses(asked, capsys):
    command = ["export", "s", "--format", "onnx", "--format", "onnx-int8", "--out", "m", "--force"]
    assert main([*command, "--license", "mit"]) == 0
    assert asked == [
        {
            "study": "s",
            "forms": ["onnx", "onnx-int8"],
            "out": Path("m"),
            "home": Path("mlruns"),
            "overwrite": True,
            "flops": None,
            "license_name": "mit",
        }
    ]
    said = capsys.readouterr()
    first, held, second, _ = said.out.splitlines()
    assert held == "It holds a training that it does not name; its card is m/onnx.md"
    assert first == (
        "Exported s as onnx to m/onnx, 1.23 MB; on 100 validation images its probabilities differ by at "
        "most 2.5e-01 from the trained network's, the top class is the same on 90"
    )
    assert second.endswith("; accuracy 80.00 %, trained 90.00 %")
    assert "warning: onnx-int8 loses 10.0 points" in said.err
    assert said.err.count("\n") == 1


def test_json_has_all_of_it_and_nobody_names_a_format_that_was_not_asked_for(asked, capsys):
    assert main(["export", "s"]) == 0
    assert asked[-1]["forms"] == []  # the place says it, or it is the default
    capsys.readouterr()
    assert main(["export", "s", "--format", "saved_model", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["study"] == "s"
    [made] = found["exports"]
    assert (made["format"], made["path"], made["accuracy"]) == (
        "saved_model",
        "m/saved_model",
        None,
    )
