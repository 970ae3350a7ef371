# Two commands: `make demo` shows what unweave does, `make test` runs the whole suite.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ONE_THREAD := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.PHONY: demo test lint calibrate audits regimes discoveries faults proof wheel minimum install clean help

help:
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /  /'

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@ $(VENV)/.demo

install: $(VENV)/.demo ## set up only

demo: $(VENV)/.demo ## set up, then compare all methods on the two default cases
	$(BIN)/unweave compare --out runs/demo

lint: $(VENV)/.test ## style, formatting, types, arrows between rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

test: lint ## set up, then everything that is checked
	$(ONE_THREAD) $(BIN)/python -m pytest -q -n 2 --dist worksteal

calibrate: $(VENV)/.test ## 300 null trials: how often two equal laws are told apart (about 4 CPU-minutes)
	$(ONE_THREAD) $(BIN)/python tests/calibration/calibrate.py

audits: $(VENV)/.test ## 60 fresh retrains and 140 cheats through the audit (about 5 CPU-minutes)
	$(ONE_THREAD) $(BIN)/python tests/calibration/audits.py

regimes: $(VENV)/.test ## 40 requests: is the regime as diagnose predicts it (about 15 CPU-minutes)
	$(ONE_THREAD) $(BIN)/python tests/calibration/regimes.py

discoveries: $(VENV)/.test ## 210 worlds of digits: is the recall that discover promises kept (about 10 CPU-minutes)
	$(ONE_THREAD) $(BIN)/python tests/calibration/discoveries.py

faults: $(VENV)/.test ## every fault at full size: thousands of kills, failing calls and flipped bits (about an hour)
	$(ONE_THREAD) $(BIN)/python tests/faults/full.py --json runs/faults.json $(FAULTS)

proof: $(VENV)/.test ## rerun every figure that README and documents claim (hours; PROOF=--quick: minutes)
	$(BIN)/python -m tests.proof.prove $(PROOF)

wheel: $(VENV)/.test ## build the wheel, and try it in an empty environment without extras
	$(BIN)/python tests/packaging/wheel.py

minimum: ## the lowest versions that pyproject.toml allows, and many tests with them
	$(ONE_THREAD) $(PYTHON) tests/packaging/minimum.py $(MINIMUM)

clean: ## remove the environment, results and stored models
	rm -rf $(VENV) runs .unweave
