# `make demo` and `make test` create .venv if there is none, install what they need, and run.
PYTHON ?= python3
BIN := .venv/bin
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help install demo test lint docs clean

help:  ## Show the targets.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# A torch that is already installed is kept; the lock file pins everything else.
.venv/.installed: pyproject.toml requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[dev]'
	touch $@

install: .venv/.installed  ## Create .venv and install stagetree with its tools.

demo: .venv/.installed  ## Search fine-tuning, distillation and int8 on real text (10 minutes).
	$(BIN)/stagetree assets get minilm_l6 pii
	$(BIN)/python run.py -m +sweep=demo

test: .venv/.installed  ## Run every test and check.
	$(BIN)/stagetree assets get minilm_l6 pii sentiment
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 3 --dist loadfile --max-worker-restart 0

lint: .venv/.installed  ## Check style, types and layers only.
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

docs: .venv/.installed  ## Build the documentation into site/.
	$(BIN)/python -m pip install --quiet -c requirements.lock -e '.[docs]'
	$(BIN)/mkdocs build --strict

clean:  ## Remove caches and built files; results in runs/ stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache site dist
