# Each target first sets up what it needs: Debian packages (.ci/setup), then .venv. Made once, redone when
# pyproject.toml or constraints.txt changes.

PYTHON ?= python3
VENV := .venv
READY := $(VENV)/.ready
UV_COMPILE = $(VENV)/bin/uv pip compile --universal --python-version 3.11 --fork-strategy fewest --all-extras \
	--quiet --no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(if $(UPGRADE),--upgrade)

export PYTHON
# iptables and ipset live where an ordinary user's PATH does not look.
export PATH := $(PATH):/usr/sbin:/sbin
# uv, which tox uses, then trusts the certificates that the system does, as pip does.
export UV_SYSTEM_CERTS ?= 1
# Root can run the kernel tests, so for root a skipped one is a failure. `make test NODEWALL_REQUIRE_KERNEL=` lifts that.
export NODEWALL_REQUIRE_KERNEL ?= $(if $(filter 0,$(shell id -u)),1)

.DEFAULT_GOAL := help
.PHONY: help demo test bench bench-matches soak lint fmt lock clean setup

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(READY) ## show nodewall at work on this machine
	@$(VENV)/bin/nodewall demo

# The cluster's tests wait more than they compute, so the checks that take one processor run beside them.
test: $(READY) ## run every check: lint, contracts, unit, kernel, cluster, docs, types
	@status=0; \
	$(VENV)/bin/tox run -e lint,contracts,unit,kernel || status=$$?; \
	$(VENV)/bin/tox run-parallel --parallel 2 --parallel-no-spinner -e cluster,docs,types || status=$$?; \
	exit $$status

bench: $(READY) ## measure, and draw the figure
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install \
		--quiet --disable-pip-version-check --editable '.[figures]'
	@$(VENV)/bin/python -m benchmarks

bench-matches: $(READY) ## measure what each kind of rule costs a packet
	@$(VENV)/bin/python -m benchmarks matches

soak: $(READY) ## run all tests with random seeds and many more examples (TEST_SEED=N repeats a run)
	@seed=$${TEST_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
		echo "soak: 'make soak TEST_SEED=$$seed' repeats this run"; \
		TEST_SEED=$$seed $(VENV)/bin/tox run -e soak

lint: $(READY) ## check style, types and direction of imports
	@$(VENV)/bin/tox run -e lint,types,contracts

fmt: $(READY) ## format, and repair what the linter can
	@$(VENV)/bin/ruff check --fix-only --quiet .
	@$(VENV)/bin/ruff format .

lock: $(VENV)/bin/uv ## write constraints.txt again after pyproject.toml changed (UPGRADE=1: newest versions)
	@printf 'hatchling\neditables\n' | $(UV_COMPILE) --output-file constraints.txt pyproject.toml -

clean: ## remove everything that was made here
	rm -rf $(VENV) .tox build dist .coverage* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

setup:
	@sh .ci/setup

# Alone, because what stands in pyproject.toml may not fit constraints.txt until `make lock` is done.
$(VENV)/bin/uv: | setup
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

# pip reads both variables: the first for what is installed, the second for what builds it.
$(READY): pyproject.toml constraints.txt | setup
	@echo 'setup: making $(VENV)'
	@$(PYTHON) -m venv $(VENV)
	@PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt $(VENV)/bin/python -m pip install \
		--quiet --disable-pip-version-check --editable '.[dev,test,fleet,signing,kubernetes,serve]'
	@touch $@
