"""The command line as a person and a program meet it: one clear line, the right status, clean JSON."""

import json
import os
import subprocess
import sys

import pytest

from archsearch.cli import main
from tests.real_runs import BACKEND, UNMEASURED


def run(*arguments):
    return main(list(arguments))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profil"], "no command 'profil'; did you mean profile?"),
        (["profile", "resnet5O"], "no baseline is named 'resnet5O'; did you mean resnet50?"),
        (["profile"], "Missing argument"),
        (["profile", "resnet50", "--input", "big"], "is no image size; write height x width"),
        (["profile", "resnet50", "--input", "100000"], "a side has at most 99,999 pixels"),
        (["profile", "resnet50", "--classes", "1"], "1 is not in the range"),
        (["rerun", "x", "--trial", "abc"], "'abc' is no whole number; write one, like 1"),
        (["profile", "vgg16", "--colour"], "No such option"),
        (["profile", "nothing.json"], "nothing.json"),
        (["profile", "nothing.keras"], "nothing.keras"),
        (["profile", "nothing.H5"], "nothing.H5 cannot be read: No such file"),
        (["profile", "alexnet", "--input", "16x16x3"], "give a larger image"),
        (["sample", "--space", "resnxt", "--flops", "4G"], "did you mean resnext?"),
        (["sample", "--space", "resnext", "--flops", "4Q"], "write one like 20M, 4G or 3.8G"),
        (["sample", "--space", "resnext", "--flops", "4G:3G"], "write the smaller number first"),
        (["sample", "--space", "resnext", "--flops", "3k"], "resnext reaches"),
        (["sample", "--space", "resnext", "--flops", "4G", "-n", "0"], "not in the range"),
        (["sample", "--flops", "4G"], "Missing option '--space'"),
        (
            ["sample", "--space", "resnext", "--flops", "4G", "--relax", "doubling"],
            "holds no rule 'doubling'",
        ),
        (
            ["run", "--space", "vgg", "--flops", "20M", "--relax", "doubling"],
            "holds no rule 'doubling'",
        ),
        (["check", "alexnet", "--rule", "3x3-stack"], "3x3-stacks"),
        (["run", "--space", "resnext"], "flops is missing"),
        (["run", "--space", "resnext", "--flops", "20M", "--data", "nowhere/"], "nowhere"),
        (["run", "--space", "resnext", "--flops", "20M", "--name", "a/b"], "study name 'a/b' has"),
        (["run", "--space", "resnext", "--flops", "20M", "--recipe", "resnet15"], "resnet2015"),
        (["run", "--space", "resnext", "--flops", "20M", "--baselines", "resnet5"], "resnet50"),
        (["run", "--config", "no.toml"], "no.toml"),
        (["resume", "nothing"], "no study 'nothing'"),
        (["leaderboard", "nothing"], "no study 'nothing'"),
        (["export", "nothing"], "no study 'nothing'"),
        (["delete", "nothing", "--yes"], "no study 'nothing'"),
        (["data", "inspect", "nowhere"], "nowhere"),
    ],
)
def test_wrong_input_is_one_line_and_status_2(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert len(err.splitlines()) == 1
    assert "Traceback" not in err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()], "something was half-written"


@pytest.mark.parametrize(
    "arguments",
    [
        ["profile", "resnet20_cifar", "--json"],
        ["profile", "resnet20_cifar", "lenet5", "--json"],
        ["spaces", "--json"],
        ["baselines", "--json"],
        ["rules", "--json"],
        ["check", "resnet50", "--json"],
        ["studies", "--json"],
        ["data", "inspect", "digits", "--json"],
    ],
)
def test_json_is_all_there_is_on_stdout(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 0
    json.loads(capsys.readouterr().out)


def test_sample_prints_one_object_a_line(capsys):
    arguments = [
        "sample",
        "--space",
        "resnext",
        "--flops",
        "20M",
        "--input",
        "32x32x3",
        "-n",
        "7",
        "--json",
    ]
    assert run(*arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 7
    for line in lines:
        found = json.loads(line)
        assert {"space", "knobs", "flops", "params", "fill", "graph"} <= found.keys()
        assert 0.95 <= found["fill"] <= 1
    assert run(*arguments) == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_a_sampled_graph_is_profiled_from_its_file(tmp_path, capsys):
    run("sample", "--space", "wrn", "--flops", "20M", "--input", "32x32x3", "-n", "1", "--json")
    found = json.loads(capsys.readouterr().out)
    path = tmp_path / "graph.json"
    path.write_text(json.dumps(found["graph"]))
    assert run("profile", str(path), "--json") == 0
    assert json.loads(capsys.readouterr().out)["flops"] == found["flops"]


def test_profile_for_other_images_and_classes(capsys):
    assert run("profile", "resnet18", "--input", "64x64x3", "--classes", "10", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["input"] == [64, 64, 3]
    assert found["layers"][-1]["output"] == [10]


def test_check_finds_and_says_so_with_its_status(capsys):
    assert run("check", "alexnet") == 1
    assert (
        "conv2: one 5×5 (64→192 channels): two 3×3 see the same 5×5 with 52 % fewer"
        in capsys.readouterr().out
    )


def test_light_commands_import_nothing_heavy():
    code = (
        "import sys; from archsearch.cli import main\n"
        "for words in sys.argv[1:]:\n"
        "    main(words.split())\n"
        "    heavy = {'tensorflow', 'keras', 'mlflow', 'optuna', 'numpy', 'matplotlib', 'sklearn'}\n"
        "    if found := heavy & set(sys.modules): sys.exit(f'{words} imported {found}')\n"
    )
    light = ["--help", "profile resnet50", "sample --space vgg --flops 4G -n 1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *light], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_help_shows_every_command_with_examples(capsys):
    from archsearch.cli.app import _COMMANDS

    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in _COMMANDS:
        assert name in shown
        assert run(name, "--help") == 0
        assert "Usage: archsearch" in capsys.readouterr().out


def test_a_reader_that_stops_reading_is_no_error():
    command = (
        f"{sys.executable} -m archsearch sample --space vgg --flops 4G -n 300 --json | head -n 1"
    )
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize(
    "arguments",
    [
        ["profile", "resnet50"],
        ["-h"],
        # As the first, and as the second.
        pytest.param(["profile", "resnet50", "--json"], marks=pytest.mark.slow),
        pytest.param(["run", "--help"], marks=pytest.mark.slow),
    ],
)
def test_nobody_to_read_at_all_is_no_error(arguments):
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as stdout:
        done = subprocess.run(
            [sys.executable, "-m", "archsearch", *arguments],
            stdout=stdout, stderr=subprocess.PIPE, check=False,
        )  # fmt: skip
    assert (done.stderr, done.returncode) == (b"", 0)


def test_a_run_that_nobody_watches_any_more_goes_on(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    options = (
        f"--space vgg --flops 2M --input 8x8x1 --dry-run --workers 1 --backend {BACKEND} --home"
    )
    with open(writer, "wb") as gone:
        done = subprocess.run(
            [*UNMEASURED, "run", *options.split(), str(tmp_path)],
            stdout=subprocess.PIPE, stderr=gone, text=True, check=False,
        )  # fmt: skip
    assert done.returncode == 0
    assert "trials of 4 epochs" in done.stdout


def test_a_broken_pipe_to_somebody_else_is_a_fault(monkeypatch, capfd):
    from archsearch import api

    def broken(*arguments, **settings):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr(api, "network", broken)
    assert run("profile", "resnet50") == 1
    assert "BrokenPipeError: [Errno 32] Broken pipe (a fault" in capfd.readouterr().err


def test_a_fault_of_ours_is_one_line_too(monkeypatch, capsys):
    from archsearch import api

    monkeypatch.setattr(api, "network", lambda *a, **k: 1 / 0)
    assert run("profile", "resnet50") == 1
    assert "ZeroDivisionError: division by zero (a fault of archsearch" in capsys.readouterr().err


def test_a_relaxed_rule_is_a_knob_of_every_candidate(capsys):
    arguments = ["sample", "--space", "resnext", "--flops", "20M", "--input", "32x32x3", "-n", "2"]
    assert run(*arguments, "--json") == 0
    held = json.loads(capsys.readouterr().out.splitlines()[0])["knobs"]
    assert run(*arguments, "--relax", "resnext-width", "--relax", "channel-doubling", "--json") == 0
    freed = json.loads(capsys.readouterr().out.splitlines()[0])["knobs"]
    assert freed.keys() > held.keys()


def test_closed_streams_are_no_fault():
    done = subprocess.run(
        ["bash", "-c", f"{sys.executable} -m archsearch rules --json >&-"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.stderr, done.returncode) == ("", 0)
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "archsearch", "leaderboard", "nope"],
            stdout=subprocess.PIPE, stderr=gone, check=False,
        )  # fmt: skip
    assert done.returncode == 2


def test_a_terminal_that_knows_ascii_only_gets_question_marks():
    done = subprocess.run(
        [sys.executable, "-m", "archsearch", "rules"],
        capture_output=True, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (done.stderr, done.returncode) == (b"", 0)
    assert b"Stack 3?3 convolutions" in b" ".join(done.stdout.split())
