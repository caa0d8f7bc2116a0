# `make demo` and `make test` set up everything they need in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help env test demo lint types check prices clean

help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -e '.[dev]'
	@touch $@

env: $(VENV)/.ready  ## the development environment

test: env  ## everything set up, and the tests passed
	$(BIN)/python -m pytest

lint: env  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: env  ## mypy --strict and pyright
	$(BIN)/mypy --strict -p spectra_otel
	$(BIN)/pyright spectra_otel tests

check: lint types test  ## all of it
