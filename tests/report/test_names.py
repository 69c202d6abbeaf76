"""Names with rich's markup, escape sequences, Markdown and formulas in them, wherever they are shown."""

import io
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from archsearch.cli.app import main
from archsearch.drawing import own_style
from archsearch.ir.codec import to_json
from archsearch.ir.graph import Graph
from archsearch.readings.plot import plot_profile
from archsearch.report.live import PlainView, SilentView
from archsearch.report.log import StudyLog
from archsearch.report.tables import PlainConsole, new_table, pairs
from archsearch.study.events import Notice
from archsearch.tracking.curves import learning_curves_png
from archsearch.tracking.run_names import run_name, study_note
from archsearch.units import as_markdown, printable, printable_lines
from tests.networks import vgg_like

NASTY = ("[/b]", "[b]x", ":smile:", "\x1b[31mred\x1b]0;title", "$x_{$", "a\u202eb", "\ud800")
SEEN = ("[/b]", "[b]x", ":smile:", r"\x1b[31mred\x1b]0;title", "$x_{$", r"a\u202eb")


def named(graph: Graph) -> Graph:
    """The network, its layers and itself of nasty names."""
    nodes = tuple(
        node._replace(name=f"{NASTY[index % 6]}.{node.name}") if index else node
        for index, node in enumerate(graph.nodes)
    )
    return Graph("[/b]\x1b[5mnet", nodes)


@pytest.mark.parametrize(("name", "seen"), list(zip(NASTY, SEEN, strict=False)))
def test_consoles_show_names_as_they_are(name, seen):
    stream = io.StringIO()
    console = PlainConsole(file=stream, width=150, force_terminal=True, color_system="truecolor")
    table = new_table("network")
    table.add_row(name)
    for shown in (name, table, pairs([("what", name)])):
        stream.seek(0)
        stream.truncate()
        console.print(shown)
        text = stream.getvalue()
        assert seen in text
        assert "\x1b]" not in text
        assert "\x1b[31m" not in text


def test_lines_and_logs_show_names_as_they_are(tmp_path, capsys):
    stream = io.StringIO()
    PlainView(stream)(Notice(text="\x1b[31mred [/b]"))
    assert stream.getvalue() == "\\x1b[31mred [/b]\n"
    with StudyLog(SilentView(), verbose=True):
        logging.getLogger("library").warning("a\x1b[31m\nb postgresql://me:se@cret@host/db")
    said = capsys.readouterr().err
    assert r"a\x1b[31m" in said
    assert "b postgresql://me:***@host/db" in said


def test_data_and_networks_of_such_names_are_shown(tmp_path, capsys):
    for name in NASTY[:4]:
        folder = tmp_path / "data" / name.replace("/", "∕")
        folder.mkdir(parents=True)
        for number in range(4):
            pixels = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"[b]\x1b{number}.png")
    (tmp_path / "net.json").write_text(to_json(named(vgg_like())))
    commands = (
        ("data", "inspect", str(tmp_path / "data"), "--home", str(tmp_path / "home")),
        ("profile", str(tmp_path / "net.json"), "--all"),
        ("profile", str(tmp_path / "net.json"), "alexnet"),
        ("check", str(tmp_path / "net.json")),
        ("profile", str(tmp_path / "net.json"), "--json"),
    )
    for command in commands:
        assert main(command) in (0, 1), command
        said = capsys.readouterr()
        assert "fault of archsearch" not in said.err
        assert "\x1b" not in said.out + said.err, command
        if "--json" in command:
            assert json.loads(said.out)["name"] == "[/b]\x1b[5mnet"


def test_messages_write_out_what_a_terminal_would_obey(capsys):
    assert main(["profile", "\x1b[31mno\u202enet"]) == 2
    said = capsys.readouterr().err
    assert r"\x1b[31mno\u202enet" in said
    assert said.count("\n") == 1


def test_half_a_character_is_written_out():
    assert printable("a\ud800") == r"a\xed\xa0\x80"
    assert printable("a\udcff") == r"a\xff"
    assert printable_lines("a\tb\nc\r") == "a\tb\nc\\r"


def test_notes_in_markdown_show_names_as_they_are():
    note = study_note(facts={"data": "<img src=x> a|b"}, header=("network",), rows=[["[x](y) `z`"]])
    assert "\\<img src=x> a\\|b" in note
    assert "\\[x](y) \\`z\\`" in note
    assert as_markdown("a\x1b_b\nc") == "a\\\\x1b\\_b c"
    assert "\x1b" not in run_name("a\x1b", flops=10)


def test_pictures_take_names_as_they_are(tmp_path):
    assert learning_curves_png({"loss": {1: 2.0, 2: 1.0}}, title="$x_{$ \x1b").startswith(
        b"\x89PNG"
    )
    plot_profile([named(vgg_like())], tmp_path / "p.svg")
    assert "\x1b" not in (tmp_path / "p.svg").read_text()


DRAW = """
import sys, os
from pathlib import Path
from archsearch.tracking.curves import learning_curves_png
picture = learning_curves_png({"loss": {1: 2.0, 2: 1.0}}, title="a $name")
import matplotlib
print(len(picture), os.environ["MPLBACKEND"], matplotlib.rcParams["figure.facecolor"])
"""


def test_pictures_do_not_go_by_a_users_matplotlibrc(tmp_path, monkeypatch):
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: True\nfigure.facecolor: red\nfont.size: 30\n"
    )
    monkeypatch.setenv("MPLBACKEND", "no_backend")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", DRAW], cwd=tmp_path, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    size, backend, colour = done.stdout.split()
    usual = learning_curves_png({"loss": {1: 2.0, 2: 1.0}}, title="a $name")
    assert (int(size), backend, colour) == (len(usual), "no_backend", "red")
    import matplotlib

    with own_style():
        assert matplotlib.rcParams["text.parse_math"] is False
