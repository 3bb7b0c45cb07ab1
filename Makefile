# `make demo` and `make test` need Python 3.11 or newer, pip and make; nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
# Test processes side by side: most tests wait for servers and trainings more than they compute.
WORKERS ?= 3
FAULT_WORKERS ?= 2
DEMO_HOME ?= $(CURDIR)/build/demo

export TF_CPP_MIN_LOG_LEVEL ?= 3
export TF_ENABLE_ONEDNN_OPTS ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help demo test lint types imports assets pytest faults bench bench-ui bench-peers clean

help:  ## Show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

# pip comes last: a venv that failed half-way is made again.
$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; $$($(PYTHON) --version) was found." \
	       "Choose one: make PYTHON=python3.12 …" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Compiled, as an installed package is: where Python may not keep what it compiles, each command
# would take a tenth of a second more.
$(VENV)/examples.stamp: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[examples]'
	$(BIN)/python -m compileall -q tracker cli
	@touch $@

$(VENV)/test.stamp: pyproject.toml | $(BIN)/pip
	$(BIN)/pip install --quiet --editable '.[test]'
	$(BIN)/python -m compileall -q tracker cli
	@touch $@ $(VENV)/examples.stamp

demo: $(VENV)/examples.stamp  ## Train a real model twice, then show its runs, events and metrics
	@mkdir -p '$(DEMO_HOME)'
	TRACKER_HOME='$(DEMO_HOME)' $(BIN)/python examples/digits.py --learning-rate 0.01
	TRACKER_HOME='$(DEMO_HOME)' $(BIN)/python examples/digits.py --learning-rate 0.001
	TRACKER_HOME='$(DEMO_HOME)' $(BIN)/tracker runs list
	TRACKER_HOME='$(DEMO_HOME)' $(BIN)/tracker events list @last --limit 12
	TRACKER_HOME='$(DEMO_HOME)' $(BIN)/tracker metrics list @last~1 @last --wide

test: lint types imports pytest  ## Lint, check types and import directions, run all tests

lint: $(VENV)/test.stamp  ## Check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/test.stamp  ## Check types
	$(BIN)/mypy

imports: $(VENV)/test.stamp  ## Check that dependencies point one way
	@# import-linter reads packages where they lie, so it needs the layout of the wheel.
	@rm -rf build/lib build/imports
	$(BIN)/pip install --quiet --no-deps --target build/imports .
	cd build/imports && '$(CURDIR)/$(BIN)/lint-imports' --config '$(CURDIR)/pyproject.toml'

assets: $(VENV)/assets.stamp  ## Fetch what the page of `tracker ui` takes from others

$(VENV)/assets.stamp: package-lock.json tools/assets.py | $(VENV)/test.stamp
	$(BIN)/python tools/assets.py
	@touch $@

pytest: $(VENV)/test.stamp $(VENV)/assets.stamp  ## Run the tests
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m 'not faults'
	@# By themselves: they kill and stop what others would be using, and watch the clock.
	$(MAKE) faults

faults: $(VENV)/test.stamp  ## Run the fault tests and print their table; LONG=1: far more of them
	$(BIN)/python -m pytest -n $(FAULT_WORKERS) --dist loadfile -m faults $(if $(LONG),--long)

bench: $(VENV)/test.stamp  ## Measure, each figure beside its floor
	$(BIN)/python -m benchmarks

bench-ui: $(VENV)/test.stamp $(VENV)/assets.stamp  ## Measure the page of `tracker ui` in a browser
	$(BIN)/python -m benchmarks.ui

$(PEERS)/peers.stamp:
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet --editable .
	@for peer in trackio wandb mlflow tensorboardX aim dvclive; do \
	  $(PEERS)/bin/pip install --quiet $$peer || echo "$$peer cannot be installed here" >&2; done
	@touch $@

bench-peers: $(PEERS)/peers.stamp  ## Measure other trackers on the same stream, in their own venv
	$(PEERS)/bin/python -m benchmarks.peers

clean:  ## Remove what was built here
	rm -rf $(VENV) $(PEERS) build dist *.egg-info node_modules tracker/web/vendor
