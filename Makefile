# Everything a person runs. Only Python 3.11, 3.12 or 3.13 and make are needed; `make contracts` also needs Debian's Rust and Node (see docs).
SHELL := /bin/bash
VENV := .venv
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do \
  command -v $$p >/dev/null 2>&1 && $$p -c 'import sys,venv,ensurepip; sys.exit(not ((3,11) <= sys.version_info[:2] <= (3,13)))' >/dev/null 2>&1 \
  && echo $$p && break; done)
MONEY_RULES := tests/matcher/rules/histories $(addprefix tests/core/test_,$(addsuffix .py,\
  debts deleveraging fund funding netting position quantities waterfall))
.PHONY: setup run test long examples lint bench crashes contracts clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements/dev.txt pyproject.toml sdk/pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "No Python 3.11, 3.12 or 3.13 with venv was found: install one (Debian 12 and 13, Ubuntu 24.04: apt-get install python3 python3-venv; macOS: brew install python@3.13) and run make again; 3.14 is too new for one dependency (coincurve)." >&2; exit 1; fi
	@echo "setting up $(VENV) with $(PYTHON): about a minute"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --no-compile --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e . -e sdk
	@# On all processors, which pip would not.
	@$(VENV)/bin/python -m compileall -q -j 0 $(VENV)/lib
	@$(VENV)/bin/python -m compileall -q -j 0 -x '/\.' .
	@touch $@
	@echo "ready"

run: setup
	$(VENV)/bin/perpdex up

bench: setup
	$(VENV)/bin/python -m bench

lint: setup
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	@# Its processes must be there within three seconds, which a busy machine does not always manage: it ends with 2 then.
	$(VENV)/bin/mypy || { test $$? -eq 2 && $(VENV)/bin/mypy --num-workers 0; }
	$(VENV)/bin/lint-imports

# Four processes of tests and hundreds of programs would read all their sources anew.
unexport PYTHONDONTWRITEBYTECODE

test: lint
	$(VENV)/bin/pytest -n 4 --dist loadfile --no-loadscope-reorder -m 'not long'

# Four whole networks for what the others have by rules and steps, or more quickly.
long: setup
	$(VENV)/bin/pytest -n 2 --dist loadfile -m long

# The rules of money with examples that no run has had, under a minute. SEED=N has those of that run again.
examples: setup
	@seed=$${SEED:-$$RANDOM$$RANDOM}; again="make examples SEED=$$seed"; echo "$$again"; \
	$(VENV)/bin/pytest -n 2 --hypothesis-profile=new --hypothesis-seed=$$seed $(MONEY_RULES) \
	|| { echo "the same examples again: $$again" >&2; exit 1; }

# The recorded crashes with everybody, twice each, against the states they are known to end in; about two minutes of two processors, more where others work.
crashes: setup
	@test -n "$(DATA)" || { echo "make crashes DATA=DIRECTORY: where market/ and ohlcv/ with the recordings are" >&2; exit 1; }
	$(VENV)/bin/python -m stress.crashes $(DATA)

contracts:
	contracts/solana/build.sh
	contracts/evm/build.sh

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
