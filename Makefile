# Two commands: `make up` runs everything and drives one order; `make test` runs every check and test.
SHELL := /bin/bash
PYTHON ?= python3
HOME_DIR := $(or $(PAOTUI_HOME),.paotui)
VENV := $(HOME_DIR)/venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-base
DEV_STAMP := $(VENV)/.installed-dev

.DEFAULT_GOAL := up
.PHONY: up down test unit lint types lock clean

$(VENV)/bin/python:
	@echo "make: creating the virtual environment in $(VENV)"
	@$(PYTHON) -c 'import sys; sys.exit("Paotui needs Python >= 3.11, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@mkdir -p $(HOME_DIR)
	@$(PYTHON) -m venv $(VENV)

define install
	@echo "make: installing $(1) (hash-locked; a minute or two the first time)"
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r $(1)
	@$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $(2)
endef

$(RUN_STAMP): requirements/base.txt pyproject.toml | $(VENV)/bin/python
	$(call install,requirements/base.txt,$@)

$(DEV_STAMP): requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	$(call install,requirements/dev.txt,$@)

up: $(RUN_STAMP)  ## start everything, drive one order, stay up
	@exec $(BIN)/paotui up $(ARGS)

down: $(RUN_STAMP)  ## stop what `up --detach` started
	@exec $(BIN)/paotui down

lint: $(DEV_STAMP)  ## style and the corridor's doors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports

types: $(DEV_STAMP)  ## strict typing over all rooms
	$(BIN)/mypy

unit: $(DEV_STAMP)  ## tests that need no running stack
	$(BIN)/python -m pytest -m "not stack" $(ARGS)

test: lint types  ## all checks and all tests on the real parts
	$(BIN)/python -m pytest $(ARGS)

lock:  ## resolve requirements anew
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -o requirements/base.txt requirements/base.in
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/base.txt -o requirements/dev.txt requirements/dev.in
