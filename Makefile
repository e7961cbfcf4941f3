# Two commands are all a newcomer needs: `make up` and `make test`.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help setup up down test fuzz lint format types imports docs bench lock clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## create .venv with everything; .venv/bin/kt

# --no-build-isolation: the build backend is in the lock too, so nothing unpinned is fetched.
$(VENV)/.installed: requirements-dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; make PYTHON=/path/to/python3.11 names one." >&2; exit 1; }
	@echo "Installing everything into $(VENV): a few minutes, the first time."
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

up: setup ## start gateway, control plane and console on the embedded store with the simulator
	$(BIN)/kt up

down: setup ## stop what `make up` started
	$(BIN)/kt down

# Bytecode is written in any case: the suite starts this program hundreds of times.
test: setup ## run the whole test suite, a process for each core
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --dist loadfile $(PYTEST_ARGS)

fuzz: setup ## parsers, dialects and normalisation under two thousand documents each (minutes)
	HYPOTHESIS_PROFILE=deep $(BIN)/python -m pytest -m fuzz $(PYTEST_ARGS)

lint: setup ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: setup ## rewrite into style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: setup ## strict types over source, tests and benchmarks
	$(BIN)/mypy

imports: setup ## imports point one way
	$(BIN)/lint-imports

docs: setup ## build the manual, strictly
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: setup ## every benchmark, side by side with its baseline (minutes)
	$(BIN)/python -m benchmarks

lock: setup ## refresh the locked dependencies
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade --output-file requirements.txt pyproject.toml
	$(BIN)/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --upgrade --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml

clean: ## remove what builds and tests leave behind
	rm -rf $(VENV) site build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
