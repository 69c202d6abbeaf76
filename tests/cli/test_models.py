"""Commands about exported models: what reaches the terminal."""

import os

from archsearch.cli.models import _quiet


def test_libraries_are_not_heard_and_progress_is(capfd):
    with _quiet() as terminal:
        os.write(2, b"E0000 00:00 util.cc: falling back\n")
        print("images 1/2", file=terminal)
    os.write(2, b"afterwards\n")
    assert capfd.readouterr().err == "images 1/2\nafterwards\n"
