# Two commands: `make train`, then `make ui`. Everything is installed into .venv; nothing needs root.

PORT ?= 5000
CONFIG ?= configs/quick_test.json
# The standard configs are named after their experiments.
EXPERIMENT ?= experiments/$(basename $(notdir $(CONFIG)))

export PATH := $(CURDIR)/.venv/bin:$(PATH)
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# Where runs go: `mlflow run` would put them where MLflow puts everybody's.
NAMED = --experiment-name $(or $(MLFLOW_EXPERIMENT_NAME),iqa)

# A stamp per content, not per date: a fresh clone with an old .venv installs exactly when the pins changed.
HASH := $(shell cat requirements.txt pyproject.toml | cksum | cut -d' ' -f1)
DEV_HASH := $(shell cat requirements-dev.txt | cksum | cut -d' ' -f1)
STAMP := .venv/.installed-$(HASH)
DEV_STAMP := .venv/.installed-dev-$(HASH)-$(DEV_HASH)

.PHONY: help venv dev train test lint types docs advisories ui screenshots wheel clean

help:
	@echo "make train   install into .venv, train and evaluate the quick test, log both to MLflow"
	@echo "make ui      MLflow on http://127.0.0.1:$(PORT)"
	@echo "make screenshots   docs/screenshots/*.png and docs/figures/*.png, of runs made for them"
	@echo "make test    every test          make lint    ruff          make types   mypy"
	@echo "make docs    the documentation as a site, docs/_build/html/index.html; warnings are errors"
	@echo "make advisories  known weaknesses of the pinned packages, by pip-audit; needs its service"
	@echo "make wheel   dist/iqa-*.whl, to install elsewhere"
	@echo "make venv    only install        make clean   remove .venv and caches; experiments and runs stay"

venv: $(STAMP)

dev: $(DEV_STAMP)

.venv/bin/python:
	@found=; for python in $(if $(PYTHON),"$(PYTHON)",python3.14 python3.13 python3.12 python3.11 python3); do \
	  "$$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
	    && { found="$$python"; break; }; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "error: no usable Python" >&2; \
	  echo "  got: $$($(or $(PYTHON),python3) --version 2>&1)" >&2; \
	  echo "  expected: Python 3.11, 3.12, 3.13 or 3.14" >&2; \
	  echo "  fix: apt install python3.11 python3.11-venv, or make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	  exit 2; \
	fi; \
	echo "making .venv with $$("$$found" --version)"; \
	"$$found" -m venv .venv || { rm -rf .venv; \
	  echo "error: $$found cannot make a virtual environment" >&2; \
	  echo "  fix: apt install python3-venv" >&2; exit 2; }

$(STAMP): .venv/bin/python
	.venv/bin/python -m pip install --quiet -r requirements.txt
	.venv/bin/python -m pip install --quiet --no-deps --editable .
	@rm -f .venv/.installed-*
	@touch $@

$(DEV_STAMP): $(STAMP)
	.venv/bin/python -m pip install --quiet -r requirements-dev.txt
	@rm -f .venv/.installed-dev-*
	@touch $@

train: $(STAMP)
	iqa configs
	mlflow run . -e train --env-manager local $(NAMED) -P config=$(CONFIG)
	mlflow run . -e evaluate --env-manager local $(NAMED) -P experiment=$(EXPERIMENT)

test: $(DEV_STAMP)
	python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: $(DEV_STAMP)
	ruff check .
	ruff format --check .

types: $(DEV_STAMP)
	mypy

docs: $(DEV_STAMP)
	python -m sphinx -E -W --keep-going -n -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

ui: $(STAMP)
	@python -c "from iqa.tracking.view import show_view; show_view('$(PORT)')"
	mlflow ui --host 127.0.0.1 --port $(PORT)

screenshots: $(DEV_STAMP)
	python docs/screenshots.py

# In an environment of its own, that it is no package of ours. Without --strict, what no service knows would pass.
advisories: $(DEV_STAMP)
	uvx pip-audit==2.10.1 --strict --no-deps --disable-pip --progress-spinner off -r requirements.txt

wheel: $(STAMP)
	python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist docs/_build *.egg-info
	find iqa tests benchmarks -name __pycache__ -type d -exec rm -rf {} +
