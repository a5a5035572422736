# The house. `make demo` and `make test` are the two commands; both set themselves up.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?=
ONLY ?=
# Tests wait as much as they compute: for processes, for git, for the database.
WORKERS ?= 4
BIN := .venv/bin
export PYTHON
# Where it is set, every one of the processes that the tests start would compile the whole program again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-dev demo test test-all lint types bench client lock pictures clean

help: ## what can be made
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: ## .venv with what `factory` needs, from the hash lock
	@scripts/setup runtime

setup-dev: ## the same with the tools of development
	@scripts/setup dev

demo: setup ## one requirement through all 17 teams, without any model or account
	@scripts/demo

test: setup-dev lint types ## linters, types, the order of the packages, and all tests but the slow ones
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -m "not slow" --cov --cov-report=term:skip-covered

test-all: setup-dev lint types ## the same with the slow tests
	@FACTORY_TEST_COUNT_ALL=1 $(BIN)/python -m pytest -n $(WORKERS) --dist worksteal --cov --cov-report=term:skip-covered

lint: setup-dev ## ruff and the order of the packages
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports

types: setup-dev ## pyright, strict
	@$(BIN)/pyright --pythonpath $(BIN)/python

bench: setup-dev ## all benchmarks, or one: make bench ONLY=name
	@$(BIN)/python -m benchmarks $(ONLY)

client: setup-dev ## write the Python client anew (api/client/), from the OpenAPI document
	@$(BIN)/python -m api.generating

lock: setup-dev ## write the locks anew (never a registry's address in them)
	@scripts/lock

pictures: setup-dev ## the pictures in docs/, from the program itself
	@$(BIN)/python docs/pictures.py
	@$(BIN)/python docs/chat_pictures.py

clean: ## remove .venv, caches and .factory (all projects and runs in it)
	rm -rf .venv .factory .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage .coverage.*
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
