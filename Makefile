# Every target sets itself up: a virtual environment in .venv, installed once with the tested versions.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test check lint format pictures pages bench results clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.installed  ## compare five strategies on the quickstart scenario
	$(BIN)/wirelessfl compare scenarios/quickstart.yaml \
		--strategies adaptive-async,adaptive,uniform,data_proportional,full --seeds 0-2 --out results/demo --overwrite

test check: export OMP_NUM_THREADS = 1  # a process a core is enough

test: $(VENV)/.dev  ## every test
	$(BIN)/python -m pytest -n auto

check: $(VENV)/.dev  ## the fast tests
	$(BIN)/python -m pytest -m "not slow" -n auto

lint: $(VENV)/.dev  ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.dev  ## let ruff rewrite the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

pictures: $(VENV)/.installed  ## draw the pictures of docs/physics.md and docs/theory.md anew
	$(BIN)/python docs/physics_pictures.py
	$(BIN)/python -m docs.theory_pictures

pages: $(VENV)/.installed  ## write the parts of docs/trace.md and docs/scenario.md that the code decides
	$(BIN)/python -m docs.reference

bench: $(VENV)/.installed  ## measure everything in docs/benchmarks.md anew (about 20 minutes)
	$(BIN)/python results/benchmarks/run_all.py

results: $(VENV)/.installed  ## run the studies of results/ anew (hours)
	$(BIN)/python results/learning/study.py
	$(BIN)/python results/prediction/study.py
	$(BIN)/python results/strategy-first-look/study.py

clean:  ## forget the environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/.installed: setup.cfg pyproject.toml constraints.txt
	@echo "Installing wirelessfl into $(VENV) (once; a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	@echo "Installing the test tools into $(VENV) (once)"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@
