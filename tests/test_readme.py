"""The README is true: its tables are what is installed, its commands exist and run."""

import json
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from socket import socket
from typing import Any

import numpy as np
import pytest
from PIL import Image

from archsearch.cli import main
from archsearch.data.prepare import prepare
from archsearch.data.sources.npz import array_items
from archsearch.data.sources.published import KerasSet
from archsearch.errors import UserError
from archsearch.space.registry import load_spaces
from archsearch.study import driver

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.partition("#")[0].strip()
    for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("archsearch ")
]
NEEDS_A_STUDY = {
    "ablate",
    "run",
    "train",
    "resume",
    "ui",
    "export",
    "ensemble",
    "leaderboard",
    "delete",
    "compare",
    "report",
    "track",
    # It waits for jobs.
    "worker",
    # An exported model, that is.
    "predict",
    "evaluate",
    "visualize",
}


def needs_a_study(command: str) -> bool:
    return command.split()[1] in NEEDS_A_STUDY or "resnext-20M-digits" in command


def test_the_tables_are_what_is_installed():
    filled = runpy.run_path(str(ROOT / "docs" / "readme.py"))["filled"]
    text = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    assert "<!-- spaces -->" in text
    assert "<!-- rules -->" in text
    assert filled(text) == text, "run: python docs/readme.py"


def test_it_names_every_space():
    [named] = re.findall(r"The spaces are ([^.]+)\.", TEXT)
    assert re.findall(r"`(\w+)`", named) == sorted(load_spaces())


def test_it_shows_both_commands_and_every_subcommand():
    from archsearch.cli.app import _COMMANDS

    assert "make demo" in TEXT
    assert "make test" in TEXT
    assert {shlex.split(command)[1] for command in COMMANDS} == set(_COMMANDS)


@pytest.mark.parametrize("command", [c for c in COMMANDS if not needs_a_study(c)])
def test_commands_run(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status = main(shlex.split(command)[1:])
    assert status in ({0, 1} if command.split()[1] == "check" else {0})
    assert capsys.readouterr().out


@pytest.mark.parametrize("command", [c for c in COMMANDS if needs_a_study(c)])
def test_options_of_the_others_exist(command, capsys):
    words = shlex.split(command)[1:]
    assert main([words[0], "--help"]) == 0
    shown = capsys.readouterr().out
    for word in words[1:]:
        if word.startswith("-"):
            assert word in shown


def test_the_command_that_repeats_a_study_gives_it_another_name(tmp_path, monkeypatch):
    [command] = re.findall(r"`archsearch (run --config [^`]+)`", TEXT)
    monkeypatch.chdir(tmp_path)
    Path("run.toml").write_text('space = "vgg"\nflops = "20M"\nseed = 5\nname = "first"\n')
    asked = []

    def run(settings, **_):
        asked.append(settings)
        raise UserError("seen")

    monkeypatch.setattr(driver, "run", run)
    assert main(shlex.split(command)) == 2
    assert asked[0].seed == 5
    # A study of its own name is there already.
    assert asked[0].name != "first"


def test_relative_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


class Shell:
    """Runs the README's commands one after another in a folder, as a user's shell would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            # What a command leaves open is small here, so that all of them take minutes.
            "ARCHSEARCH_TRIALS": "3",
            "ARCHSEARCH_EPOCHS": "2",
            "ARCHSEARCH_SEEDS": "1",
            # The one that is always installed.
            "ARCHSEARCH_BACKEND": "tensorflow",
        }
        self.ran: list[str] = []

    @contextmanager
    def started(self, command: str) -> Iterator["subprocess.Popen[str]"]:
        self.ran.append(command)
        code = "import sys; from archsearch.cli import main; sys.exit(main())"
        words = [sys.executable, "-c", code, *shlex.split(command)[1:]]
        with subprocess.Popen(
            words, cwd=self.folder, env=self.environment, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    def __call__(self, command: str, *, status: int = 0) -> str:
        """Run a command to its end and return its stdout."""
        with self.started(command) as process:
            out, told = process.communicate(timeout=1500)
        assert process.returncode == status, f"{command}\n{out}\n{told}"
        assert "Traceback" not in out + told
        return out

    def json(self, command: str) -> Any:
        self.ran.append(command)
        return json.loads(self(f"{command} --json"))


def shown(*words: str) -> str:
    """Return the README's command that has these words in it, and the fewest others."""
    found = sorted(
        {c for c in COMMANDS if set(words) <= set(shlex.split(c))}, key=lambda c: len(c.split())
    )
    assert len(found) == 1 or len(found[0].split()) < len(found[1].split()), found
    return found[0]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """A folder with photos in it, and CIFAR-10 (a few images of that name) prepared before."""
    rng = np.random.default_rng(0)
    for label, kind in enumerate(("ant", "bee", "cat")):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(16):
            pixels = rng.integers(0, 100, (70, 60, 3), np.uint8)
            pixels[:, 20 * label : 20 * label + 20] += 100
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{number}.jpg")
    x = rng.integers(0, 256, (600, 32, 32, 3), np.uint8)
    y = np.arange(600) % 10
    arrays = {"x_train": x[:500], "y_train": y[:500], "x_test": x[500:], "y_test": y[500:]}
    few = array_items(arrays, name="cifar10", where="cifar10")
    monkeypatch.setattr(KerasSet, "items", lambda self: few)
    prepare("cifar10", home=tmp_path / "mlruns")
    return Shell(tmp_path)


@pytest.mark.slow
@pytest.mark.keras
def test_commands_that_need_a_study_run_in_the_order_of_a_user(shell: Shell):
    with shell.started(shown("run", "--space", "resnext", "20M")) as run:
        assert run.stderr is not None
        lines = iter(run.stderr.readline, "")
        assert any("trial-0000: epoch 1/2" in line for line in lines)
        os.killpg(run.pid, signal.SIGINT)  # Ctrl-C reaches the workers, too
        assert "archsearch resume resnext-20M-digits" in run.stderr.read()
        assert run.wait() == 130
    shell(shown("resume", "resnext-20M-digits"))
    board = shell.json(shown("leaderboard", "resnext-20M-digits"))
    assert board["status"] == "complete"
    # The environment's values hold where the command leaves them open.
    assert len(board["rows"]) == board["trials"] == 3
    assert {row["epochs"] for row in board["rows"] if row["status"] == "complete"} == {2}

    shell(shown("run", "--search-flops"))
    found = shell.json(shown("compare", "resnext-20M-digits", "vgg-20M-digits"))
    assert {s["study"] for s in found["standings"]} == {"resnext-20M-digits", "vgg-20M-digits"}
    compared = shell.json(shown("compare", "vgg", "resnet"))
    assert [one["n"] for one in compared["distributions"]["members"]] == [3, 3]
    shell.environment["ARCHSEARCH_SEARCH_FLOPS"] = "700G"
    (rule,) = shell.json(shown("ablate"))["ablations"]
    assert rule["effect"]["n"] == 2
    del shell.environment["ARCHSEARCH_SEARCH_FLOPS"]
    shell(shown("report", "resnext-20M-digits"))
    assert list((shell.folder / "mlruns/studies/resnext-20M-digits/report").glob("*.html"))
    shell(shown("check", "resnext-20M-digits"))
    shell(shown("track", "resnext-20M-digits"))
    shell(shown("export", "resnext-20M-digits"))
    assert "chosen from" in shell(shown("ensemble"))  # one network, where that is as good
    for use in ("rerun", "predict", "evaluate", "visualize"):
        shell(shown(use))
    worker = shown("worker")
    shell(f"{worker} --idle 1s")
    shell.ran.append(worker)
    shell(shown("train", "resnext-20M-digits"))
    shell(shown("train", "--on", "train+val"))
    assert "baseline resnet20_cifar" in shell(shown("train", "--recipe", "resnet2015"))
    with shell.started("archsearch check model/ --json") as audit:
        findings = json.loads(audit.communicate()[0])
        assert audit.returncode == bool(findings)
    serve(shell)

    days = shell(shown("run", "--dry-run"))
    assert "this takes" in days
    assert "within 3 hours would be" in days
    # This one says how many trials and epochs it wants: a bound ends it.
    shell.environment["ARCHSEARCH_SEARCH_FLOPS"] = "450G"
    shell(shown("run", "--data", "photos/"))
    del shell.environment["ARCHSEARCH_SEARCH_FLOPS"]
    shell(shown("run", "--data", "cifar10"))

    # How to train.
    shell.environment |= {"ARCHSEARCH_TRIALS": "2", "ARCHSEARCH_EPOCHS": "1"}
    torch = find_spec("torch") is not None
    shell(shown("run", "--backend", "torch"), status=0 if torch else 2)
    shell(shown("run", "--precision", "float32"))
    shell(shown("run", "--relax"))

    names = {study["name"] for study in shell.json(shown("studies"))}
    wanted = {"resnext-20M-digits", "vgg-20M-digits", "wrn-50M-photos", "wrn-50M-cifar10"}
    wanted |= {"resnext-20M-digits-free_resnext_width"}
    wanted |= {"resnext-20M-digits-full", "resnext-20M-digits-full-2"}
    wanted |= {"compare-vgg-20M-digits", "compare-resnet-20M-digits"}
    wanted |= {"ablate-resnet-20M-digits-free_bn_after_conv"}
    wanted |= {"wrn-50M-digits"} | ({"resnext-20M-digits-2"} if torch else set())
    assert names == wanted
    shell(shown("delete", "resnext-20M-digits", "--yes"))
    assert {study["name"] for study in shell.json(shown("studies"))} == wanted - {
        "resnext-20M-digits"
    }
    left = [c for c in COMMANDS if needs_a_study(c) and c not in shell.ran]
    assert left == []


def serve(shell: Shell) -> None:
    """Open MLflow's page as the README says, at the study worked on last."""
    command = shown("ui")
    with socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", 5000)) == 0
    with shell.started(f"{command} --port 0" if taken else command) as server:
        shell.ran.append(command)
        assert server.stdout is not None
        told = server.stdout.readline()
        url = re.search(r"http://\S+", told)
        assert url, told
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with direct.open(url[0].partition("#")[0], timeout=60) as page:
            assert b"<html" in page.read()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
