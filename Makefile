# Everything a person does with a checkout. `make read` and `make test` work on a fresh machine with Python 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: read install check test test-slow nano measure clean

read: install  ## set up .venv and read a sample page with nano
	$(BIN)/dsocr read docs/sample.png --model nano

install: .venv/installed  ## .venv with the package and what its tests need

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	# torch first, so that no other package pulls a build of its own choosing
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

check: install  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict dsocr

test: install  ## all that needs no network, no GPU and no minutes
	$(BIN)/pytest

test-slow: install  ## the full-size model from its weight recipe (16 GB of memory)
	$(BIN)/pytest -m slow

nano: install  ## train the shipped checkpoint from nothing (hours on a CPU) and measure it
	$(BIN)/python -m dsocr.training.nano runs/nano
	$(BIN)/python benchmarks/nano_reads.py runs/nano

measure: install  ## how well the shipped nano reads pages it never saw
	$(BIN)/python benchmarks/nano_reads.py nano

clean:
	rm -rf .venv runs build dist *.egg-info
