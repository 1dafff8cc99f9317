# Everything a person does with a checkout. `make read` and `make test` work on a fresh machine with Python 3.11.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: read install core wheel check test test-slow nano measure bench clean

read: install  ## set up .venv and read a sample page with nano
	$(BIN)/dsocr read docs/sample.png --model nano

install: .venv/installed  ## .venv with the package and what its tests need

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	# torch first, so that no other package pulls a build of its own choosing
	$(BIN)/pip install --quiet --constraint constraints.txt torch
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

core: .venv/core  ## compile the fast core for this kind of CPU; without a C++ compiler all runs on plain PyTorch

.venv/core: .venv/installed dsocr/kernels/build.py $(wildcard dsocr/kernels/src/*)
	$(BIN)/python -m dsocr.kernels.build && touch $@ || echo "no core: the tests that need one are skipped"

wheel: core  ## a wheel in dist/ that carries the core for every instruction set of this kind of CPU
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

check: install  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict dsocr

test: core  ## all that needs no network, no GPU and no minutes; a file of tests at a time on each core
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 4 --dist loadfile

test-slow: core  ## the full-size model from its weight recipe (16 GB of memory)
	$(BIN)/pytest -m slow

nano: install  ## train the shipped checkpoint from nothing (hours on a CPU) and measure it
	$(BIN)/dsocr train --config nano --folder runs/nano
	$(BIN)/python benchmarks/nano_reads.py runs/nano

measure: install  ## how well the shipped nano reads pages it never saw
	$(BIN)/python benchmarks/nano_reads.py nano

bench: core  ## decoding and encoding at the released size, beside what this machine can do at most
	$(BIN)/dsocr bench --model released --dtype int8

clean:
	rm -rf .venv runs build dist *.egg-info
