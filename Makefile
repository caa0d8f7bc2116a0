# `make demo` and `make test` set up everything they need in .venv; nothing else is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help env test demo lint types check prices rivals clean

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

demo: env  ## a real app against a local provider: spans, costs, SQL
	$(BIN)/spectra demo

lint: env  ## ruff
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: env  ## mypy --strict and pyright
	$(BIN)/mypy --strict -p spectra_otel
	$(BIN)/pyright --pythonpath $(BIN)/python spectra_otel tests

# The sources of the price catalog, pinned: a newer version is a change of this line, of DATE in pricing/compile/__main__.py and of
# pricing/sources/README.md. Without their dependencies: nothing of them is run but genai-prices' own data classes.
PRICES := .venvs/prices
PRICE_SOURCES := genai-prices==0.2.3 litellm==1.109.1

prices: env  ## the price catalog, from its sources
	$(BIN)/uv pip install --quiet --python $(BIN)/python --target $(PRICES) --no-deps $(PRICE_SOURCES)
	PYTHONPATH=$(PRICES) $(BIN)/python -m spectra_otel.pricing.compile --litellm $(PRICES)/litellm/model_prices_and_context_window_backup.json

# What bench/bench_rivals.py measures beside us: the other instrumentations of the openai SDK, in an environment of their own.
RIVALS := .venvs/rivals
RIVAL_PACKAGES := openai==3.52.0 opentelemetry-instrumentation-genai-openai==1.3b0 opentelemetry-instrumentation-openai==0.62.4 \
	openinference-instrumentation-openai==0.1.66

rivals: env  ## the environment of bench/bench_rivals.py
	$(BIN)/uv venv --quiet --allow-existing --python $(BIN)/python $(RIVALS)
	$(BIN)/uv pip install --quiet --python $(RIVALS)/bin/python -e . $(RIVAL_PACKAGES)

check: lint types test  ## all of it
