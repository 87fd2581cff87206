# make train: the main job on simulated micrographs. make test: the tests. Both set up .venv first; nothing else is needed but Python 3.11+.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup train test test-slow lint clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "exolight needs Python 3.11 or newer, this is %d.%d: make PYTHON=python3.12" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

train: $(READY)
	$(BIN)/python train.py experiment=quickstart
	rm -rf outputs/simulated
	$(BIN)/python -m exolight.simulation out=outputs/simulated count=12 seed=1000 simulation=clean pixel_size_nm=2.0 image_hw=[384,384]
	$(BIN)/python predict.py outputs/simulated/images truth=outputs/simulated/annotations.json

test: $(READY)
	$(BIN)/python -m pytest

test-slow: $(READY)
	$(BIN)/python -m pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
