"""720 malformed inputs: each ends in one line and status 2, in 0, or (`check`) in 1 with findings.

What would train or serve is replaced: a run goes as far as its checks, then stops.
"""

import contextlib
import io
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archsearch.cli import main
from archsearch.data.prepare import prepare
from archsearch.engines.local import LOCAL
from archsearch.errors import UserError
from archsearch.ir.codec import to_json
from archsearch.planning import problem as checks
from archsearch.space.registry import find_baseline
from archsearch.study import driver

CHECKED = "checked"

TEXT = st.text(max_size=30)
WORDS = st.one_of(
    TEXT,
    st.sampled_from(
        ["", " ", "-", "--", "0", "-1", "1", "nan", "inf", "1e9", "1e999", "4G", "4Q", "20M", ":",
         "4G:3G", "3.8G:4.2G", "32x32x3", "0x0x0", "99999x99999x9999", "1x1", "8x8x1", "resnext",
         "vgg", "resnet50", "lenet5", "digits", "matched", "all,none", "/dev/null", "/", ".", "..",
         "~", "\n", "'", '"', "$(id)", "a/b", "\0", "\ud800", "é" * 90, "2h", "1d", "90s", "-5min",
         "1000000000000000000000000", "true", "None", "[]", "{}", "*", "C:\\x", "http://x", "🦊",
         "recipe.base_lr=0.4", "recipe.batch=1e3", "recipe.=", "recipe.ema=none", "recipe.milestones=,"]
    ),
)  # fmt: skip
RUN_FLAGS = [
    "--space", "--flops", "--data", "--input", "--relax", "--trials", "--epochs", "--train-flops",
    "--max-time", "--search-flops", "--recipe", "--batch-size", "--finalists", "--seeds",
    "--baselines", "--seed", "--workers", "--name", "--config", "--set",
    "--val-fraction", "--test-fraction", "--sampler", "--fidelity", "--engine", "--address",
]  # fmt: skip
COMPARED_FLAGS = [
    "--data", "--input", "--trials", "--epochs", "--max-time", "--search-flops", "--recipe",
    "--workers", "--name", "--set", "--seed", "--pairs", "--margin",
]  # fmt: skip
SWITCHES = [
    "--prune",
    "--no-prior",
    "--no-export",
    "--strict",
    "--class-weights",
    "--quiet",
    "--json",
]


MORE = int(os.environ.get("FUZZ_TIMES", "1"))
"""For a longer hunt: FUZZ_TIMES=20 pytest tests/cli/test_fuzz.py"""


def fuzz(examples: int):
    return settings(
        max_examples=examples * MORE,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


@pytest.fixture(autouse=True)
def world(tmp_path_factory, monkeypatch):
    """An empty folder; nothing is trained, and all data is the digits as they are."""
    home = tmp_path_factory.getbasetemp() / "fuzz-home"
    digits = prepare("digits", home=home)

    def prepared(source, **given):
        return prepare(source, **given) if "/" in source or "." in source else digits

    def checks_only(settings, **_):
        checks.pose(settings, LOCAL.machine(Path()))
        raise UserError(CHECKED)

    folder = tmp_path_factory.mktemp("fuzz")
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO())  # what `check -` reads
    for name in [n for n in os.environ if n.startswith("ARCHSEARCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(checks, "prepare", prepared)
    monkeypatch.setattr(driver, "run", checks_only)
    return folder


def run(*arguments: str) -> tuple[int, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(arguments))
    said = err.getvalue()
    assert "Traceback" not in said
    assert "a fault of archsearch" not in said, (arguments, said)
    allowed = {0, 1, 2} if arguments and arguments[0] == "check" else {0, 2}
    assert status in allowed, (arguments, status, said)
    if status == 2:
        assert said.startswith("archsearch: "), (arguments, said)
        assert len(said.rstrip("\n").split("\n")) == 1, (arguments, said)
    return status, said


def test_a_nul_is_no_fault_of_ours():
    status, said = run("run", "--config", "\0")
    assert (status, "NUL" in said) == (2, True)


def test_half_a_character_is_no_fault_of_ours():
    status, said = run("run", "--config", "\ud800")
    assert (status, r"half a character in it: '\ud800'" in said) == (2, True)
    status, said = run("run", "--config", "\udce9")  # a byte that is no text, as a shell passes it
    assert (status, "half a character" in said) == (2, False)


@fuzz(150)
@given(
    st.lists(st.tuples(st.sampled_from(RUN_FLAGS), WORDS), max_size=4),
    st.sets(st.sampled_from(SWITCHES)),
    st.booleans(),
)
def test_flags_of_run(flags, switches, sound):
    given_flags = ["--space", "vgg", "--flops", "20M"] if sound else []
    for flag, value in flags:
        given_flags += [flag, value]
    status, _ = run("run", *given_flags, *sorted(switches))
    assert status == 2  # with CHECKED where all is well


@fuzz(60)
@given(st.sampled_from(["--space", "--flops", "--input", "--classes", "--seed", "--relax"]), WORDS)
def test_arguments_of_sample(flag, value):
    run("sample", "--space", "vgg", "--flops", "20M", "--input", "32x32x3", "-n", "1", flag, value)


@fuzz(60)
@given(st.lists(WORDS, max_size=2), st.sampled_from(["--input", "--classes", "--all"]), WORDS)
def test_arguments_of_profile(names, flag, value):
    run("profile", *names, flag, value)


@fuzz(50)
@given(WORDS, st.one_of(st.none(), WORDS))
def test_arguments_of_check(target, rule):
    run("check", target, *([] if rule is None else ["--rule", rule]))


@fuzz(120)
@given(
    st.sampled_from(["leaderboard", "export", "resume", "delete", "compare", "report"]),
    WORDS,
    st.booleans(),
)
def test_study_names(command, name, separated):
    more = ["--yes"] if command == "delete" else []
    status, said = run(command, *more, *(["--", name] if separated else [name]))
    assert status == 2 or "Usage" in said or name in {"-h", "--help"}


@fuzz(20)
@given(
    st.sampled_from(["compare", "ablate"]),
    WORDS,
    st.lists(st.tuples(st.sampled_from(COMPARED_FLAGS), WORDS), max_size=3),
    st.booleans(),
)
def test_flags_of_what_compares(command, word, flags, sound):
    more = [piece for pair in flags for piece in pair]
    given_flags = [*more, "--flops", "20M"] if sound else more
    named = ["--space", "vgg", "--rule", word] if command == "ablate" else ["vgg", "--", word]
    status, said = run(command, *given_flags, *named)
    assert status == 2 or "Usage" in said or word in {"-h", "--help"}


@fuzz(40)
@given(st.text(min_size=1, max_size=30).filter(lambda text: "/" not in text and text.strip(".~")))
def test_sources_of_data(source):
    run("data", "inspect", source)


VALUES = st.one_of(
    TEXT, st.integers(), st.floats(), st.booleans(), st.lists(TEXT, max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), max_size=1),
)  # fmt: skip
KEYS = st.one_of(
    TEXT, st.sampled_from([flag.removeprefix("--").replace("-", "_") for flag in RUN_FLAGS])
)


@fuzz(60)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.dictionaries(KEYS, VALUES, max_size=4).map(
            lambda found: {"space": "vgg", "flops": "20M", **found}
        ),
    )
)
def test_settings_files(content):
    if isinstance(content, dict):
        try:
            content = tomli_w.dumps(content).encode("utf-8")
        except (UnicodeEncodeError, ValueError):
            content = b"\xff"
    Path("run.toml").write_bytes(content)
    assert run("run", "--config", "run.toml")[0] == 2


GRAPH = json.loads(to_json(find_baseline("lenet5").build()))


@st.composite
def damaged_graphs(draw):
    """A network's JSON with a value replaced, removed or renamed somewhere."""
    found = json.loads(json.dumps(GRAPH))
    place = found
    for _ in range(draw(st.integers(1, 4))):
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(place[key], dict | list) and draw(st.booleans()):
            place = place[key]
            continue
        if draw(st.booleans()):
            del place[key]
        else:
            place[key] = draw(st.one_of(VALUES, st.none(), st.integers(-3, 3)))
        break
    return json.dumps(found).encode("utf-8", "surrogatepass")


@fuzz(80)
@given(st.one_of(st.binary(max_size=40), damaged_graphs()), st.sampled_from(["profile", "check"]))
def test_graph_files(content, command):
    Path("net.json").write_bytes(content)
    run(command, "net.json")


@pytest.mark.keras
@fuzz(40)
@given(
    st.one_of(st.binary(max_size=60), st.dictionaries(st.sampled_from(
        ["config.json", "metadata.json", "model.weights.h5", "x"]), st.one_of(
            st.binary(max_size=40),
            st.sampled_from([b"{}", b"[]", b'{"class_name": "Functional"}', b'{"module": "os"}',
                             b'{"class_name": "Lambda", "config": {"function": "os.system"}}']),
        ), max_size=3)),
    st.sampled_from(["profile", "check"]),
)  # fmt: skip
def test_keras_files(content, command):
    if isinstance(content, dict):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        content = file.getvalue()
    Path("model.keras").write_bytes(content)
    assert run(command, "model.keras")[0] == 2


@fuzz(60)
@given(
    st.one_of(
        st.binary(max_size=60),
        st.dictionaries(
            st.sampled_from(["x", "y", "x_train", "y_train", "x_test", "z"]),
            st.tuples(
                st.lists(st.integers(0, 6), max_size=4).map(tuple),
                st.sampled_from(["u1", "f4", "i8", "U3", "c8", "?"]),
            ),
            max_size=4,
        ),
    ),
    st.sampled_from(["run", "data"]),
)
def test_npz_files(content, command):
    path = Path("images.npz")
    if isinstance(content, dict):
        np.savez(path, **{name: np.zeros(shape, kind) for name, (shape, kind) in content.items()})
    else:
        path.write_bytes(content)
    if command == "run":
        run("run", "--space", "vgg", "--flops", "20M", "--data", "./images.npz")
    else:
        run("data", "inspect", "images.npz")
