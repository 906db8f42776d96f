# make demo   sets up and fits the embedded demo set into 30 ms on a Pixel 7
# make test   sets up and runs every test
# make check  lint, types and the import contract
# make test-full  the same with the arm64 phone under qemu (fetches about 500 MB of Debian packages)
VENV    ?= .venv
PYTHON  ?= $(shell command -v python3.11 || command -v python3)
BIN     := $(VENV)/bin
PIP     := $(BIN)/python -m pip --disable-pip-version-check
OUT     ?= edgefit-runs/demo
# idle torch threads sleep: they must not take the cores from the busy ones
export OMP_WAIT_POLICY ?= PASSIVE
INPUTS  := pyproject.toml constraints.txt

.PHONY: demo test test-full check lint types imports clean
.DELETE_ON_ERROR:

demo: $(VENV)/.runtime
	$(BIN)/edgefit --budget-ms 30 --device pixel7 --out $(OUT)

test: $(VENV)/.dev
	$(BIN)/python tests/phone/setup.py
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-full: $(VENV)/.dev
	$(BIN)/python tests/phone/setup.py --full
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: lint types imports

lint: $(VENV)/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.dev
	$(BIN)/mypy

imports: $(VENV)/.dev
	$(BIN)/lint-imports

# The stamps are written last, so an interrupted set-up starts again.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	  || { echo "edgefit needs Python 3.11 or 3.12; found: $$($(PYTHON) --version). Set PYTHON=/path/to/python3.11"; exit 2; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python $(INPUTS)
	$(PIP) install --quiet -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
