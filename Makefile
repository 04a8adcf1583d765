# `make` prints its help: every target with a `##` comment.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# A distribution builds its interpreter by a profile, pyenv does not unless told to: a tenth fewer calls a second.
PYTHON ?= $(shell /usr/bin/python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo python3)
UV_VERSION := 0.13.9
BIN := .venv/bin
# Packages come from where the system says, trusted as the system trusts.
export UV_SYSTEM_CERTS := true
PROTOS := $(shell find protos -name '*.proto')
# Clients of these contracts are served by every later version.
CONTRACTS := 78851e5

.PHONY: help setup protos lock demo up down status test test-platform test-mesh test-whole test-unit check breaking format bench drill clean

help: ## Print this help
	@echo "Reverie: a memory platform. Start with 'make demo', then 'make test'."
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.uv:
	@echo "making .venv"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Reverie needs Python 3.11 or newer: PYTHON=python3.12 make $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv .venv && $(BIN)/pip install -q "uv==$(UV_VERSION)" && touch $@

# The lock decides what is installed; the project itself is put in place without looking at dependencies again.
.venv/.installed: .venv/.uv requirements.lock pyproject.toml
	@echo "installing the locked dependencies"
	@VIRTUAL_ENV=.venv $(BIN)/uv pip sync -q --require-hashes requirements.lock
	@VIRTUAL_ENV=.venv $(BIN)/uv pip install -q --no-deps --no-build-isolation -e .
	@touch $@

.venv/.protos: .venv/.installed $(PROTOS)
	@echo "generating the stubs"
	@$(BIN)/python -m grpc_tools.protoc -I protos --python_out=protos --pyi_out=protos --grpc_python_out=protos $(PROTOS)
	@touch $@

setup: .venv/.protos ## Make .venv, install the locked dependencies, generate the stubs

protos: setup ## Generate the stubs from protos/

lock: .venv/.uv ## Resolve the dependencies anew into requirements.lock
	$(BIN)/uv pip compile -q --upgrade --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-header --group dev pyproject.toml -o requirements.lock

demo: setup ## Start the platform, take in a year of memories, ask questions; leaves it running
	@$(BIN)/reverie demo

up: setup ## Start the platform in the background
	@$(BIN)/reverie up --detach

down: ## Stop everything
	@if [ -x $(BIN)/reverie ]; then $(BIN)/reverie down; else echo "nothing is installed, so nothing runs"; fi

status: setup ## Show every instance, its sidecar and its latency
	@$(BIN)/reverie status

# Four runs, two at a time, since tests with real processes mostly wait: each prints what it found when it is over, and
# a failure stops no other. What needs no process shares no interpreter with tests that start, kill and freeze
# processes. What tests/stack holds beside the folders named here is run by test-platform.
STACK_MESH := tests/stack/mesh
STACK_WHOLE := $(addprefix tests/stack/,whole cli analyse ingest query search)

test: setup ## Run the tests: unit, contract, and real processes
	@echo "four runs, two at a time; each prints what it found when it is over"
	@$(MAKE) --no-print-directory --keep-going --jobs=2 --output-sync=target test-platform test-mesh test-whole test-unit

test-platform: setup
	@$(BIN)/python -m pytest tests/stack $(addprefix --ignore=,$(STACK_MESH) $(STACK_WHOLE))

test-mesh: setup
	@$(BIN)/python -m pytest $(STACK_MESH)

test-whole: setup
	@$(BIN)/python -m pytest $(STACK_WHOLE)

test-unit: setup
	@$(BIN)/python -m pytest tests/unit tests/contract

check: setup ## Lint, types, contracts, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy services mesh ops client tests
	$(BIN)/buf lint
	@$(MAKE) --no-print-directory breaking
	$(BIN)/lint-imports

breaking: setup
	@if git cat-file -e $(CONTRACTS)^{commit} 2>/dev/null; then \
		rm -rf .venv/contracts && mkdir .venv/contracts && git archive $(CONTRACTS) buf.yaml protos | tar -x -C .venv/contracts && \
		echo "comparing the contracts with those of $(CONTRACTS)" && $(BIN)/buf breaking --against .venv/contracts; \
	else echo "contracts not compared: this clone has no commit $(CONTRACTS)"; fi

format: setup ## Format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup ## Run every bench and regenerate docs/benchmarks.md
	$(BIN)/reverie bench all --docs docs

N ?= 1
drill: setup ## Run every drill in three zones, N=1 times each, and regenerate docs/drills.md
	$(BIN)/reverie drill all --zones 3 --times $(N) --docs docs

clean: down ## Stop everything and remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find protos -name '*_pb2*' -delete
