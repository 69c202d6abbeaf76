"""What the Tab key offers, as a shell asks for it."""

import os
import subprocess
import sys

import pytest

from archsearch.cli import main


@pytest.fixture
def offered(monkeypatch, capsys):
    """Ask as bash does, of the last word."""

    def offered(line):
        words = line.split(" ")
        monkeypatch.setenv("_ARCHSEARCH_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        with pytest.raises(SystemExit) as ended:
            main([])
        assert ended.value.code == 0
        return capsys.readouterr().out.split()

    return offered


@pytest.fixture
def home(tmp_path):
    for name in ("vgg-20M-digits", "vgg-50M-digits", "resnet-20M-digits"):
        folder = tmp_path / "studies" / name
        folder.mkdir(parents=True)
        (folder / "run.toml").write_text("", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("archsearch run --space mobile", ["plain,mobilenet", "plain,mobilenet_v2"]),
        ("archsearch run --space vgg,wr", ["plain,vgg,wrn"]),
        ("archsearch sample --space squ", ["plain,squeezenet"]),
        ("archsearch spaces dense", ["plain,densenet"]),
        ("archsearch run --relax fire", ["plain,fire-module"]),
        ("archsearch run --sampler ev", ["plain,evolution"]),
        ("archsearch run --space vgg --relax ", ["plain,3x3-stacks", "plain,channel-doubling"]),
        (
            "archsearch ablate --space squeezenet --rule ",
            [
                f"plain,{one}"
                for one in ("all", "channel-doubling", "fire-module", "global-average-pooling-head")
            ],
        ),
        ("archsearch ablate --rule widen", []),  # no space can free it
        ("archsearch check vgg16 --rule compound", ["plain,compound-scaling"]),
        ("archsearch profile wide_resnet5", ["plain,wide_resnet50_2"]),
        ("archsearch profile mine.ker", ["file,mine.ker"]),
        ("archsearch run --data dig", ["plain,digits"]),
        ("archsearch leader", ["plain,leaderboard"]),
    ],
)
def test_names_are_offered(offered, line, wanted):
    assert offered(line) == wanted


@pytest.mark.parametrize("command", ["leaderboard", "rerun", "report", "resume", "export", "ui"])
def test_studies_of_the_home_are_offered(offered, home, command):
    wanted = ["plain,vgg-20M-digits", "plain,vgg-50M-digits"]
    assert offered(f"archsearch {command} --home {home} vgg") == wanted


def test_the_home_of_the_environment_counts(offered, home, monkeypatch):
    monkeypatch.setenv("ARCHSEARCH_HOME", str(home))
    assert offered("archsearch train res")[0] == "plain,resnet"
    assert "plain,resnet-20M-digits" in offered("archsearch train res")
    assert offered("archsearch compare vgg") == [
        "plain,vgg",
        "plain,vgg-20M-digits",
        "plain,vgg-50M-digits",
    ]
    assert offered("archsearch delete res") == ["plain,resnet-20M-digits"]


def test_formats_are_offered(offered):
    assert offered("archsearch export x --format on") == ["plain,onnx", "plain,onnx-int8"]


def test_a_home_that_is_not_there_offers_nothing(offered, tmp_path):
    assert offered(f"archsearch leaderboard --home {tmp_path / 'none'} v") == []


@pytest.mark.slow  # a process of its own, which shows that the shell's script works as it is installed
def test_bash_takes_the_script():
    folder = os.path.dirname(sys.executable)
    environment = {**os.environ, "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    script = (
        'eval "$(_ARCHSEARCH_COMPLETE=bash_source archsearch)"; '
        "COMP_WORDS=(archsearch run --space squ); COMP_CWORD=3; "
        '_archsearch_completion archsearch; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "squeezenet"
