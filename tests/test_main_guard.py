"""Scripts that call archsearch at their top, as the first script of many a user does."""

import subprocess
import sys

import pytest

SEARCH = """
import archsearch
archsearch.search(archsearch.RunSettings(space="vgg", flops="5M", trials=1, epochs=1, home="home"))
"""
PROFILE = """
import archsearch
archsearch.profile("alexnet", latency=True, input=(64, 64, 3), classes=3)
"""
MULTIPROCESSING = """
import multiprocessing
import archsearch
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
    raise SystemExit(process.exitcode)
archsearch.search(archsearch.RunSettings(space="vgg", flops="5M", home="home"))
"""
FAILS = """
import archsearch
if __name__ != "__main__":
    raise ValueError("not here")
if __name__ == "__main__":
    archsearch.profile("alexnet", latency=True, input=(64, 64, 3), classes=3)
"""


def said_by(script, folder):
    (folder / "script.py").write_text(script)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    return done.stderr


@pytest.mark.keras
@pytest.mark.parametrize("script", [SEARCH, PROFILE], ids=["search", "profile"])
def test_one_line_says_what_to_write(script, tmp_path):
    said = said_by(script, tmp_path)
    last = said.splitlines()[-1]
    assert last.startswith("archsearch.errors.UserError: archsearch starts processes")
    assert 'put the call under `if __name__ == "__main__":`' in last
    assert said.count("Traceback") == 1
    assert not list(tmp_path.glob("home/studies/*"))


def test_a_process_of_the_users_own_is_told_as_well(tmp_path):
    assert 'put the call under `if __name__ == "__main__":`' in said_by(MULTIPROCESSING, tmp_path)


def test_a_script_that_fails_in_the_process_is_named(tmp_path):
    said = said_by(FAILS, tmp_path)
    assert "ValueError: not here" in said
    assert "died: exit status 1, while it imported the script that calls archsearch" in said
