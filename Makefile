# Two commands to know: `make demo` and `make test`. Both install what they need into .venv first.
PYTHON ?= python3
BIN := .venv/bin

# What is installed is compiled as it is first imported, and kept: most of it never is.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install install-dev demo test test-slow test-faults format check docs clean

install: .venv/.installed
install-dev: .venv/.installed-dev  # the tests' tools, and the other backends

# Into .venv, which it makes where there is none.
define pip_install
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "archsearch needs Python 3.11 or newer; try make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e
endef

.venv/.installed: pyproject.toml constraints.txt
	$(pip_install) .
	@touch $@

.venv/.installed-dev: pyproject.toml constraints.txt
	$(pip_install) '.[dev,jax,torch,onnx,openvino,ray]'
	@touch $@ .venv/.installed  # which is part of it

LARGE := from archsearch.lean_imports import import_lean; import_lean(); import jax, keras, mlflow, onnxruntime, openvino, optuna, ray, tensorflow, torch

.venv/.installed-docs: pyproject.toml constraints.txt
	$(pip_install) '.[docs]'
	@touch $@ .venv/.installed

demo: install
	$(BIN)/archsearch run --space resnext --flops 20M

check: install-dev
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install-dev
	@$(MAKE) --no-print-directory -j 2 check quick

.PHONY: quick
quick: .venv/.compiled
	$(BIN)/pytest -q -n 3 --dist worksteal -m "not slow"

# Once, where every process of the tests would compile the same anew; beside mypy, which leaves a core idle.
.venv/.compiled: .venv/.installed-dev
	@$(BIN)/python -W ignore -c '$(LARGE)' 2>/dev/null
	@touch $@

test-slow: install-dev
	$(BIN)/pytest -q -m slow

test-faults: install-dev  # the slow ones, too: some twenty minutes
	$(BIN)/pytest -q -n 2 --dist worksteal -m faults

format: install-dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

docs: .venv/.installed-docs  # into build/docs; some minutes, as a small search is shown
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
