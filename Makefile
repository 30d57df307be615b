# Minoots: two commands matter, `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SOURCES := sdk/pyproject.toml pyproject.toml
ARGS   ?=

.DEFAULT_GOAL := help
.PHONY: help run setup test lint check lock wheels bench chaos clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.runtime ## Set up what running needs, then start the embedded stack (ARGS="--port 0 …")
	@$(BIN)/minoots dev $(ARGS)

setup: $(VENV)/.dev ## Set up what developing needs (quick when nothing changed)

# Four on two cores: a third of the time is waiting for servers and their clocks. Neighbours stay together, so that
# not each of the four starts every server; whoever is done takes work from the others. Bytecode is kept, whatever the
# surroundings say: each would compile every test anew, which is half of finding them.
test: setup $(VENV)/.frameworks ## Set up, then run every test, four at a time (ARGS="-k snooze" to choose)
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -n 4 --dist worksteal $(ARGS)

lint: setup ## Style, types, layers
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

check: lint ## The same, and unit tests: before each commit
	@PYTHONDONTWRITEBYTECODE= $(BIN)/pytest -q -n 2 --dist worksteal tests/unit $(ARGS)

lock: setup ## Write the hash-pinned lock files anew
	@$(BIN)/python requirements/compile.py

wheels: setup ## Build the wheels and test them in a fresh environment outside the checkout
	@$(BIN)/python tests/wheels/check.py

bench: setup ## Measure everything and write docs/benchmarks.md (minutes; not a test)
	@$(BIN)/python -m benchmarks $(ARGS)

chaos: setup ## Long failure tests: kill -9 at many points, plans of a thousand nodes (minutes)
	@$(BIN)/pytest tests/chaos tests/workflow/test_plans.py -m chaos $(ARGS)

clean: ## Remove the environment and every cache (not your data in .minoots)
	@rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Minoots needs Python 3.11 or newer; this is %s. Try: make PYTHON=python3.12" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)

# --no-build-isolation: the build backend comes from the lock too, so that nothing unpinned is ever installed.
$(VENV)/.runtime: requirements/runtime.txt $(SOURCES) | $(VENV)/bin/python
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e sdk -e .
	@$(BIN)/python -m compileall -q sdk/minoots workflows platform activities workers api
	@touch $@

# An environment of its own inside: the frameworks do not fit into one with the server.
$(VENV)/.frameworks: requirements/frameworks.txt sdk/pyproject.toml | $(VENV)/bin/python
	@$(PYTHON) -m venv $(VENV)/frameworks
	@$(VENV)/frameworks/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/frameworks.txt
	@$(VENV)/frameworks/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e sdk
	@touch $@

$(VENV)/.dev: requirements/dev.txt $(VENV)/.runtime
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@
