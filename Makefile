# Counterfoil in two commands:
#
#   make demo    sets everything up and runs one payment, from the shop to the confirmation number
#   make test    sets up what it needs, then lint, types, import contracts and every test
#
# PYTHON=/path/to/python3 chooses the interpreter, ARGS="..." goes on to the command.

BIN := .venv/bin
PYTHON ?=
ARGS ?=
# So many tests at once: most of them wait for processes of their own.
AT_ONCE ?= 2
UNIT := "not (database or programs or properties or pages or proofs)"  # As conftest.py marks them.
PARTIES := client gateway rail shop proof
export PYTHON
# Hundreds of programs are started here: each module is compiled once, not at every start.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup browser demo test proofs bench lint unit inventory lock clean

help:
	@echo "make demo    set up and run the whole road of a payment; Ctrl-C ends it"
	@echo "make test    set up and run lint, types, import contracts and every test"
	@echo "make proofs  what takes longer: a real death at every point, two minutes of chaos,"
	@echo "             a hundred simulated days, a recovery of 10,000, every mutant caught"
	@echo "make bench   whole payments a second beside pgbench, and what each costs (ARGS=--quick)"
	@echo "make setup   only make .venv, with the counterfoil command in it"
	@echo "make unit    tests that need only Python   make lint    only lint and types"
	@echo "make inventory  after a change of a script or style: write its hash into the inventory"
	@echo "make lock    pin requirements/all.in anew make clean   remove .venv and caches"

setup:
	@tools/setup.sh
	@tools/pango.sh

# Chromium, for the tests of the pages; an ordinary user is told how to install it.
browser: setup
	@tools/browser.sh

demo: setup
	@$(BIN)/counterfoil demo $(ARGS)

test: setup browser lint
	@$(BIN)/pytest -n $(AT_ONCE) $(ARGS)

proofs: setup
	@$(BIN)/counterfoil crash-points $(ARGS)
	@rm -rf .chaos && $(BIN)/counterfoil chaos --seconds 120 --seed 1
	@$(BIN)/counterfoil simulate --seeds 1-100
	@$(BIN)/counterfoil recovery
	@$(BIN)/pytest -m proofs proof/tests/test_mutants.py

unit: setup
	@$(BIN)/pytest -n $(AT_ONCE) -m $(UNIT) $(addsuffix /tests,$(PARTIES)) $(ARGS)

bench: setup
	@$(BIN)/counterfoil bench $(ARGS)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

inventory: setup
	@$(BIN)/python tools/make_inventory.py

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv (pip install uv)"; exit 1; }
	uv pip compile --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	  requirements/all.in --output-file requirements/all.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(PARTIES) tests -name __pycache__ -type d -prune -exec rm -rf {} +
