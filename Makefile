# `make` lists the targets. Logic is in local/bootstrap.sh and in Python.
.DEFAULT_GOAL := help
.PHONY: help setup demo stop-demo clean-demo status doctor check fmt test test-unit test-integration test-e2e test-chaos
BIN := .venv/bin
BOOT := local/bootstrap.sh

# OpenVINO and the threads of numpy's BLAS in one process can hang each other.
export OPENBLAS_NUM_THREADS := 1

# Containers and CI often forbid Python to keep compiled code beside the sources. Each of the
# processes would then compile all that it imports at every start; the state folder may have it.
ifneq ($(PYTHONDONTWRITEBYTECODE),)
unexport PYTHONDONTWRITEBYTECODE
export PYTHONPYCACHEPREFIX ?= $(abspath $(or $(SIGHTLINE_VAR),var))/cache/bytecode
endif

# The demo's source; by the environment, so that a password is in no command line.
export SIGHTLINE_DEMO_VIDEO := $(VIDEO)
export SIGHTLINE_DEMO_CAMERA := $(CAMERA)

help: ## List the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9%-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## Install what the demo runs from, and download broker, registry and models
	@$(BOOT) demo
	@$(BIN)/sightline-local fetch

demo: ## Watch named people in a live page: [VIDEO=clip.mp4 | CAMERA=rtsp://…] [DETACH=1]
	@$(BOOT) demo
	@exec $(BIN)/sightline-local demo $(if $(DETACH),--detach)

stop-demo: ## Stop a demo that runs in the background
	@test ! -x $(BIN)/sightline-local || $(BIN)/sightline-local stop

clean-demo: ## Stop the demo and forget its data; downloads stay
	@test ! -x $(BIN)/sightline-local || $(BIN)/sightline-local clean

status: ## Show what runs
	@test ! -x $(BIN)/sightline-local || $(BIN)/sightline-local status

doctor: ## Check this machine and say what to do
	@$(BOOT) demo
	@$(BIN)/sightline-local doctor

check: ## Format, lint, types, import contracts, spelling, schema compatibility
	@$(BOOT) test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy libs services local bench tests conftest.py
	$(BIN)/lint-imports
	$(BIN)/codespell --skip "./.git,./.venv,./var,./.*_cache,*.lock"
	$(BIN)/mesh schemas check

fmt: ## Format and fix what can be fixed
	@$(BOOT) test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: ## Everything: unit, contract, integration, end to end, browser (installs Chromium, GStreamer, ffmpeg, motion as root)
	@$(BOOT) test
	@$(BOOT) system
	@$(BIN)/sightline-local fetch
	$(BIN)/pytest --numprocesses 2 --dist loadgroup

test-unit: ## Fast tests, nothing but our code
	@$(BOOT) test
	$(BIN)/pytest -m "not integration and not e2e and not browser"

test-integration: ## Tests on the real broker, registry and database
	@$(BOOT) test
	@$(BIN)/sightline-local fetch
	$(BIN)/pytest -m integration

test-e2e: ## All services as processes, kills included
	@$(BOOT) test
	@$(BOOT) system
	@$(BIN)/sightline-local fetch
	$(BIN)/pytest -m "e2e or browser"

bench-%: ## Measure mesh, overload, fanout, api, cameras, motion, accuracy or inference: [ARGS="--seconds 10"], a report in var/bench
	@$(BOOT) test
	@$(BIN)/sightline-local fetch
	@$(BIN)/python -m bench $* $(ARGS)

test-chaos: ## Faults from a seed, round after round: [ROUNDS=100] [SEED=…] [FIRST=0] [FPS=2] [S3=1]
	@$(BOOT) test
	@$(BIN)/sightline-local fetch
	$(BIN)/python -m tests.chaos --rounds $(or $(ROUNDS),100) --first $(or $(FIRST),0) $(if $(SEED),--seed $(SEED)) $(if $(FPS),--fps $(FPS)) $(if $(S3),--s3)
