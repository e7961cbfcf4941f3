PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin

.PHONY: setup up down test test-all lint format types imports docs bench lock clean

setup: $(VENV)/.installed

# --no-build-isolation: the build backend is in the lock too, so nothing unpinned is fetched.
$(VENV)/.installed: requirements-dev.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@
