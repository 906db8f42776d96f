# make demo   sets up and fits the embedded demo set into 30 ms on a Pixel 7
# make test   sets up and runs every test
# make check  lint, types and the import contract
# make test-full  the same as test with the arm64 phone under qemu (fetches about 500 MB of Debian packages)
# make dist   the wheel and the sdist
# The set-up uses uv where it is installed, else venv and pip. PYTHON=python3.12 names another Python, VENV=DIR another place.
VENV    ?= .venv
BIN     := $(VENV)/bin
OUT     ?= edgefit-runs/demo
# idle torch threads sleep: they must not take the cores from the busy ones
export OMP_WAIT_POLICY ?= PASSIVE
INPUTS  := pyproject.toml constraints.txt

# PyPI's torch for Linux brings CUDA along, several GB. Without an NVIDIA GPU PyTorch's own CPU build goes in before it;
# uv knows where that lies, pip is told.
TORCH_CPU_INDEX ?= https://download.pytorch.org/whl/cpu
ifneq ($(shell command -v uv),)
TOOL      := uv
NEW_VENV   = uv venv --quiet --seed $(if $(PYTHON),--python $(PYTHON)) $(VENV)
INSTALL    = uv pip install --quiet --python $(BIN)/python -c constraints.txt
TORCH_CPU  = $(INSTALL) --no-deps --torch-backend cpu torch 2>/dev/null
else
TOOL      := pip
USABLE    := import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
ifndef PYTHON
PYTHON    := $(firstword $(foreach p,python3 python3.14 python3.13 python3.12 python3.11,\
               $(shell $(p) -c '$(USABLE)' >/dev/null 2>&1 && echo $(p))))
endif
NEW_VENV   = $(PYTHON) -m venv $(VENV)
INSTALL    = $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt
TORCH_CPU  = $(INSTALL) --no-deps --retries 1 --timeout 10 --index-url $(TORCH_CPU_INDEX) torch 2>/dev/null
endif
ifneq ($(shell uname -s)$(shell command -v nvidia-smi),Linux)
TORCH_CPU  = true
endif

.PHONY: demo test test-full check lint types imports dist clean
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

dist: $(VENV)/.dev
	rm -rf dist
	$(BIN)/python -m hatchling build

# The stamps are written last, so an interrupted set-up starts again.
$(BIN)/python:
	@$(if $(PYTHON)$(filter uv,$(TOOL)),,echo "edgefit needs Python 3.11 to 3.14 with its venv module (Debian: python3-venv), or uv; found: $$(python3 --version 2>&1). Set PYTHON=/path/to/python" >&2; exit 2)
	@echo "set-up: a new $(VENV), with $(TOOL)"
	@$(NEW_VENV)

$(VENV)/.runtime: $(BIN)/python $(INPUTS)
	@echo "set-up: edgefit and what it runs on (about 3 GB on disk, minutes)"
	@$(TORCH_CPU) || echo "set-up: PyTorch's CPU index is out of reach: taking the package index's torch, with CUDA" >&2
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "set-up: what lint, types and tests need"
	@$(INSTALL) -e '.[dev]'
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache
