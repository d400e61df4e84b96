# make demo   set everything up and run the whole suite once
# make test   set everything up and pass the tests

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The first Python on the path that is 3.11 or newer.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

.PHONY: help setup demo test test-slow lint format lock clean

help: ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/.installed ## Create .venv with the locked versions (about 2 minutes, 7 GB).

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python 3.11 or newer on the path; install one or give PYTHON=/path/to/python"; exit 2; }
	@echo "Setting up $(VENV) with the locked versions: about two minutes and 7 GB, once."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $@

demo: setup ## Five methods, a 12-trial study and the leaderboard; about three minutes, no download.
	@$(BIN)/codyra-suite demo

test: setup ## The tests, at most ten minutes on two cores.
	@$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: setup ## The slow tests: faults, whole commands, packaging.
	@$(BIN)/python -m pytest -m "slow and not gpu"

lint: setup ## Ruff and mypy.
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup ## Sort imports and format.
	@$(BIN)/ruff check --select I --fix .
	@$(BIN)/ruff format .

lock: ## Resolve requirements.lock again (needs uv).
	@{ echo "# Exact versions of everything, for Python 3.11 and newer; made by 'make lock'."; \
	  uv pip compile --universal --python-version 3.11 --extra dev --no-header --no-annotate -q pyproject.toml; } > requirements.lock.new
	@mv requirements.lock.new requirements.lock

clean: ## Remove the environment and caches, never results.
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist *.egg-info
