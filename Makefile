# `make` explains the targets. Each does its own set-up, in .venv.

PYTHON ?= python3
PORT ?= 8080
# What `make run` serves: auto (the official weights or, where they cannot be reached, digits), official, digits,
# untrained, or a checkpoint of your own.
MODEL_WEIGHTS ?= auto
# What `make loadtest` does: smoke, steady, steps, spike or soak; to HOST, or to a service that it starts itself.
SCENARIO ?= steady
HOST ?=

IMAGE ?= classifier:latest

VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test image image-test image-compare lint format bench loadtest requirements clean

help:  ## Explain the targets
	@echo "make TARGET"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

run: $(VENV)/run.stamp  ## Set up everything, then serve at http://localhost:8080 (PORT=, MODEL_WEIGHTS=)
	@$(PY) -m service build --weights $(MODEL_WEIGHTS) --reuse
	@echo "Serving at http://localhost:$(PORT)  (Ctrl-C ends it)"
	@COMMIT=$$(git rev-parse HEAD 2>/dev/null) DRAIN_SEC=$${DRAIN_SEC-0} PORT=$(PORT) exec $(PY) -m service serve

test: $(VENV)/dev.stamp  ## Run all tests
	$(PY) -m pytest -m "not image"

image:  ## Build the production image (IMAGE=, MODEL=local for models/resnet18, DOCKER_FLAGS=)
	container/build.sh $(IMAGE) $(if $(MODEL),--build-arg MODEL=$(MODEL)) $(DOCKER_FLAGS)

image-test: $(VENV)/dev.stamp  ## Build the image, run it as production does, check it from outside
	$(PY) -m pytest -m image tests/container

image-compare: $(VENV)/run.stamp  ## Sizes, start and memory beside a plain PyTorch image, with the model of untrained weights
	$(PY) -m service build --weights untrained --torchscript --reuse
	container/build.sh classifier:compared --build-arg MODEL=local $(DOCKER_FLAGS)
	container/build.sh classifier:plain --target modeling $(DOCKER_FLAGS)
	$(PY) container/compare.py classifier:compared classifier:plain

lint: $(VENV)/dev.stamp  ## Check style and types
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run */*.sh tests/*/*.sh; \
	else echo "shellcheck is not installed: the shell scripts are not checked"; fi

format: $(VENV)/dev.stamp  ## Rewrite the sources in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/run.stamp  ## Measure speed and memory on this machine
	$(PY) -m service bench

loadtest: $(VENV)/loadtest.stamp  ## Load test with targets (SCENARIO=, HOST=URL, CONFIRM=1, LOADTEST_FLAGS=)
ifeq ($(HOST),)
	@[ -n "$$MODEL_DIR" ] || $(PY) -m service build --weights $(MODEL_WEIGHTS) --reuse
	@COMMIT=$$(git rev-parse HEAD 2>/dev/null) $(PY) -m loadtest run --serve --scenario $(SCENARIO) $(LOADTEST_FLAGS)
else
	@$(PY) -m loadtest run --host "$(HOST)" --scenario $(SCENARIO) $(LOADTEST_FLAGS)
endif

requirements:  ## Write the pinned requirement files again (needs pip-tools)
	requirements/compile.sh

clean:  ## Remove the virtual environment and the models
	rm -rf $(VENV) models

# The machine that serves needs only serve.txt; building a model needs the rest. PyTorch comes last: it finds what it
# needs installed, so that only its own two packages are looked for on its own index (once, without retries).
$(VENV)/run.stamp: requirements/serve.txt requirements/modeling.txt requirements/torch.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Choose another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --no-deps --require-hashes -r requirements/serve.txt
	$(PIP) install --no-deps -r requirements/modeling.txt
	$(PIP) install --retries 0 --timeout 15 -r requirements/torch.txt
	@touch $@

$(VENV)/loadtest.stamp: $(VENV)/run.stamp requirements/loadtest.txt
	$(PIP) install --no-deps -r requirements/loadtest.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/loadtest.stamp requirements/dev.txt
	$(PIP) install --no-deps -r requirements/dev.txt
	@touch $@
