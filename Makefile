# Everything a newcomer needs: `make run` starts PSDB, `make test` runs the tests.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The tests start hundreds of processes; without these files each compiles all its modules anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install run test lint bench bench-scale soak compat docs lock clean

help:
	@echo "make run      start PSDB on mongodb://127.0.0.1:27017 (installs into .venv first)"
	@echo "make test     run the tests"
	@echo "make lint     check the code (ruff, mypy)"
	@echo "make bench    measure against a null server, write bench/results.json"
	@echo "make bench-scale  measure sharded clusters, write docs/scale.md"
	@echo "make soak     run the long tests"
	@echo "make compat   run the drivers' own test suites"
	@echo "make docs     write the generated pages"
	@echo "make lock     pin the dependencies anew"
	@echo "make clean    remove what make has made; the data in psdb-data stay"

install: $(STAMP)

# The fallback to python3 serves machines where 3.11 or newer has no versioned name.
$(STAMP): pyproject.toml requirements.lock
	@PY=$$(command -v $(PYTHON) || command -v python3); \
	$$PY -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "PSDB needs Python 3.11 or newer"; exit 1; }; \
	test -x $(BIN)/python || $$PY -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

run: install
	$(BIN)/psdb up

test: install
	@bash tests/tools.sh
	$(BIN)/python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: install
	$(BIN)/ruff check .
	$(BIN)/mypy

bench: install
	$(BIN)/python bench/run.py

bench-scale: install
	$(BIN)/python bench/scale.py

soak: install
	$(BIN)/python tests/soak.py

compat: install
	PYTHONPATH=tests $(BIN)/python -m compat.run

docs: install
	$(BIN)/python docs/generate.py

lock:
	$(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --extra dev --strip-extras \
	  --output-file requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis node_modules
	find . -name __pycache__ -prune -exec rm -rf {} +
