# What a developer runs. `make` alone lists it. Needed beforehand: Python (3.11 to 3.13), make, git.
#
#   make test TESTS="tests/unit/poller -k deadline"   a part of the tests
#   make setup PYTHON=python3.13                      another Python; it is kept from then on
#   make clients CLIENTS_PYTHON=python3.12            another Python for Flywheel's own clients
#   make lock LOCK_OPTIONS=--upgrade                  newer versions, not just what changed

# Unless one is asked for, the Python that .venv was made with, as long as it is there.
PYTHON ?= $(or $(wildcard $(shell sed -n 's/^executable = //p' .venv/pyvenv.cfg 2>/dev/null)),python3)
TESTS ?=
COVERAGE ?=
LOCK_OPTIONS ?=
CASES ?=

BIN := .venv/bin
MADE_FROM := .venv/made-from-requirements-dev.txt

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup test clients check format demo soak bench lock clean

help: ## list what make can do
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 17

# Two Pythons are told apart by version and place. The lock is compared by content, not by time: a checkout,
# or a lock made again without a change, costs nothing.
IDENTITY := -c 'import sys; print("Python", sys.version.split()[0], "in", sys.base_prefix)' 2>/dev/null

# uv, in the lock's version, installs the others in seconds; pip, which takes a minute, knows what is set up for
# pip alone.
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-input --require-hashes

setup: ## make .venv with the locked dependencies (again when the lock has changed, or for another PYTHON)
	@asked=$$($(PYTHON) $(IDENTITY)); has=$$($(BIN)/python $(IDENTITY) || echo "no Python that runs"); \
	[ "$$asked" = "$$has" ] && cmp -s requirements-dev.txt $(MADE_FROM) || { \
		$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null || { \
			echo "make: Python 3.11, 3.12 or 3.13 is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
			echo "make: name another one: make setup PYTHON=python3.13"; exit 1; } >&2; \
		[ ! -d .venv ] || [ "$$asked" = "$$has" ] || echo ".venv has $$has; it is made anew."; \
		echo "Making .venv with $$asked from requirements-dev.txt (half a minute, or two) ..."; \
		$(PYTHON) -m venv --clear .venv && \
		awk '/^[a-z0-9]/ { of_uv = /^uv==/ } of_uv' requirements-dev.txt >.venv/uv.txt && \
		{ { $(PIP) --no-deps -r .venv/uv.txt && $(BIN)/uv pip install --quiet --compile-bytecode \
			--python $(BIN)/python --require-hashes -r requirements-dev.txt 2>/dev/null; } || \
		$(PIP) -r requirements-dev.txt; } && \
		cp requirements-dev.txt $(MADE_FROM); }

# Five processes, as on two cores some of them mostly wait. What is measured stays apart from what another run
# measures at the same time. What has failed is what is read last: there is no table of what was covered then.
ALL_TESTS := --numprocesses 5 --dist loadfile --no-loadscope-reorder

test: setup ## run the tests; with COVERAGE=yes, as in CI, say also what they cover
ifneq ($(strip $(TESTS)),)
	@$(BIN)/python -m pytest $(TESTS)
else ifeq ($(COVERAGE),)
	@$(BIN)/python -m pytest $(ALL_TESTS)
else
	@status=0; measured=$$(mktemp -d); export COVERAGE_FILE=$$measured/.coverage; \
	$(BIN)/coverage run -m pytest $(ALL_TESTS) || status=$$?; $(BIN)/coverage combine --quiet; \
	[ $$status -ne 0 ] || $(BIN)/coverage report || status=$$?; \
	mv -f $$measured/.coverage . ; rm -rf $$measured; exit $$status
endif

# Flywheel's clients have other needs than the gear: a newer Python, an older SDK. So they have an environment
# of their own, and the gear that they look at runs in .venv. `pyenv` may have Pythons that are not on the PATH.
CLIENTS := .venv-clients
CLIENTS_LOCK := --require-hashes -r requirements-clients.txt
CLIENTS_MADE_FROM := $(CLIENTS)/made-from-requirements-clients.txt
CLIENTS_PYTHON ?= $(BIN)/python python3.13 python3.12 \
	$(wildcard $(addsuffix /versions/3.1[23].*/bin/python,$(shell pyenv root 2>/dev/null)))

clients: setup ## try Flywheel's own clients on the simulator (needs Python 3.12 or 3.13)
	@$(CLIENTS)/bin/python -c '' 2>/dev/null && cmp -s requirements-clients.txt $(CLIENTS_MADE_FROM) || { \
		rm -rf $(CLIENTS); \
		for python in $(CLIENTS_PYTHON); do \
			$$python -c 'import sys; sys.exit(not (3, 12) <= sys.version_info < (3, 14))' 2>/dev/null || continue; \
			echo "Making $(CLIENTS) with $$($$python $(IDENTITY)) from requirements-clients.txt ..."; \
			$$python -m venv $(CLIENTS) && \
			{ $(BIN)/uv pip install --quiet --python $(CLIENTS)/bin/python $(CLIENTS_LOCK) 2>/dev/null || \
			$(CLIENTS)/bin/python -m pip install -qq --no-compile --disable-pip-version-check --no-input \
				$(CLIENTS_LOCK); } && \
			cp requirements-clients.txt $(CLIENTS_MADE_FROM) && break || exit 1; \
		done; }
	@if [ -f $(CLIENTS_MADE_FROM) ]; then \
		GEAR_PYTHON=$(abspath $(BIN)/python) $(CLIENTS)/bin/python -m pytest --confcutdir tests/clients \
			-W ignore tests/clients; \
	else \
		echo "make: NOT RUN: tests/clients, as there is no Python 3.12 or 3.13 for Flywheel's clients."; \
		echo "make: name one: make clients CLIENTS_PYTHON=python3.13"; \
	fi

check: setup ## lint, formatting, types, and the borders between modules
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet --diff
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## put the code into its form, and mend what the linter can
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

demo: setup ## a whole run of the gear against a simulated site
	@$(BIN)/python demo.py

SOAK := $(addprefix tests/gear/test_,$(addsuffix .py,schedules schedules_killed killed restarted copies))
# Without logging, as a log record that is kept holds what it tells of: a site, 0.2 MB a schedule.
soak: setup ## a hundred thousand random faults and kills (the tests have two thousand)
	@EXECUTED=1 SCHEDULES=100000 MOMENTS=100 COPIES=300 $(BIN)/python -m pytest $(SOAK) -o faulthandler_timeout=0 -p no:logging

bench: setup ## how long large batches take; CASES="five five-hundred" for some of them
	@$(BIN)/python -m benchmarks $(CASES)

# The development lock first, the image's then from its pins: so the two can't disagree. Nothing of this
# machine's configuration gets in: no private index, no folder of wheels.
COMPILE := env -u UV_INDEX -u UV_INDEX_URL -u UV_DEFAULT_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS \
	-u UV_CONSTRAINT -u UV_OVERRIDE -u PIP_FIND_LINKS -u PIP_CONSTRAINT \
	$(BIN)/uv pip compile --quiet --no-config --universal --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(LOCK_OPTIONS)

# The gear toolkit asks for these to check manifests, which the gear doesn't do; and rfc3987 is under the GPL.
LEFT_OUT := --no-emit-package flywheel-gears --no-emit-package rfc3987

lock: setup ## bring the lock files up to date with pyproject.toml
	@$(COMPILE) pyproject.toml --group dev --output-file requirements-dev.txt
	@$(COMPILE) pyproject.toml --constraint requirements-dev.txt --output-file requirements.txt $(LEFT_OUT)

clean: ## remove all that the other targets made
	@rm -rf .venv .venv-clients .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis htmlcov build dist \
		.coverage .coverage.* *.egg-info demo-output
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
