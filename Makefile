# Two commands: `make up` runs everything and drives one order; `make test` runs every check and test.
SHELL := /bin/bash
PYTHON ?= python3
HOME_DIR := $(or $(PAOTUI_HOME),.paotui)
VENV := $(HOME_DIR)/venv
BIN := $(VENV)/bin
RUN_STAMP := $(VENV)/.installed-base
DEV_STAMP := $(VENV)/.installed-dev

NODE_STAMP := tests/clients/node/node_modules/.package-lock.json

.DEFAULT_GOAL := up
.PHONY: up down test temporal unit stack clients faults lint types lock clean

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

temporal: $(DEV_STAMP)  ## the Temporal server, fetched or built if it is not there
	@$(BIN)/python -m tests.temporal

unit: temporal  ## tests that need no running stack
	$(BIN)/python -m pytest -m "not stack" $(ARGS)

stack: temporal  ## tests on a running stack
	$(BIN)/python -m pytest -m stack $(ARGS)

$(NODE_STAMP): tests/clients/node/package-lock.json
	@if command -v npm >/dev/null; then echo "make: installing Node clients for tests"; \
	  cd tests/clients/node && npm ci --silent --no-audit --no-fund; \
	else echo "make: no npm: tests with Node clients are skipped"; fi

clients: $(DEV_STAMP) $(NODE_STAMP)  ## SDKs that nobody here wrote, against the sandbox
	$(BIN)/python -m pytest tests/clients tests/sandbox/test_sdk.py tests/sandbox/test_alipay_sdk.py \
	  tests/sandbox/test_alipay_node.py tests/sandbox/test_card_sdk.py $(ARGS)

test: lint types temporal $(NODE_STAMP)  ## all checks and all tests on the real parts
	$(BIN)/python -m pytest $(ARGS)

faults: $(DEV_STAMP)  ## every known way to lose money, 20 seeds each; SEEDS="1-3" or "7" for others
	PAOTUI_FAULT_SEEDS="$(or $(SEEDS),1-20)" $(BIN)/python -m pytest tests/faults/test_f*.py $(ARGS)

lock:  ## resolve requirements anew
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -o requirements/base.txt requirements/base.in
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header -c requirements/base.txt -o requirements/dev.txt requirements/dev.in
