import importlib
import subprocess
import sys

import pytest

from archsearch import lean_imports
from archsearch.lean_imports import import_lean

LOOKS = """
try:
    import looked_for
except ImportError:
    looked_for = None
"""


@pytest.fixture
def packages(tmp_path, monkeypatch):
    """A package that looks for another one as it is imported, and one that needs it."""
    (tmp_path / "heavy").mkdir()
    (tmp_path / "heavy" / "__init__.py").write_text("from heavy.inside import looked_for\n")
    (tmp_path / "heavy" / "inside.py").write_text(LOOKS)
    (tmp_path / "other.py").write_text("import looked_for\n")
    (tmp_path / "looked_for.py").write_text("")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lean_imports, "IMPORTING", ("heavy",))
    monkeypatch.setattr(lean_imports, "PASSED_OVER", ("looked_for",))


def imported(name):
    return importlib.import_module(name)


@pytest.mark.usefixtures("packages")
def test_a_package_does_without_what_others_still_find():
    import_lean()
    assert imported("heavy").looked_for is None
    assert imported("other").looked_for.__name__ == "looked_for"


@pytest.mark.usefixtures("packages")
def test_what_is_there_already_stays():
    import_lean()
    found = imported("looked_for")
    assert imported("heavy").looked_for is found


@pytest.mark.usefixtures("packages")
def test_a_process_that_does_not_ask_imports_all():
    sys.meta_path[:] = [one for one in sys.meta_path if not isinstance(one, lean_imports._Finder)]
    assert imported("heavy").looked_for is not None


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("backend", ["tensorflow", "jax", "numpy", None])
def test_what_keras_computes_with_is_found(backend, monkeypatch):
    monkeypatch.setattr(lean_imports, "_COMPUTES", "looked_for")
    if backend is None:
        monkeypatch.delenv("KERAS_BACKEND")
    else:
        monkeypatch.setenv("KERAS_BACKEND", backend)
    import_lean()
    assert (imported("heavy").looked_for is None) == (backend == "tensorflow")


@pytest.mark.usefixtures("packages")
def test_asking_twice_is_asking_once():
    import_lean()
    before = [*sys.meta_path]
    import_lean()
    assert sys.meta_path == before


IN_A_PROCESS = """
import atexit, gc
usual = gc.get_threshold()
atexit.register(lambda: print(gc.get_freeze_count() > 1000))  # the last that is heard
from archsearch.lean_imports import import_lean, keep_imported
import_lean()
print(gc.get_threshold()[0] > 10 * usual[0], gc.get_freeze_count() > 1000)
if {keep}:
    keep_imported()
    print(gc.get_threshold() == usual, gc.get_freeze_count() > 1000)
"""


@pytest.mark.parametrize(
    ("keep", "said"), [(False, ["True False", "True"]), (True, ["True False", "True True", "True"])]
)
def test_a_process_seldom_looks_for_garbage_while_it_imports_and_not_as_it_ends(keep, said):
    code = IN_A_PROCESS.format(keep=keep)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == said
