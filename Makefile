# `make` explains the targets. Each does its own set-up, in .venv. Written for GNU make 3.81 too, which macOS has.

PYTHON ?= python3
PORT ?= 8080
# What `make run` serves: auto (the first of official, lite0 and digits that can be had), any of docs/build.md's table, or a
# checkpoint of your own.
MODEL_WEIGHTS ?= auto
# What `make loadtest` does: smoke, steady, steps, spike, soak or overload; to HOST, or to a service that it starts itself.
# In an environment HOST may also be where the service listens, or conda's platform: from there only a URL is a target.
SCENARIO ?= steady
HOST ?=
TARGET := $(if $(filter command,$(firstword $(origin HOST)))$(findstring ://,$(HOST)),$(HOST))

IMAGE ?= classifier:latest

# Most tests wait for a server, a browser or a load test rather than for a processor.
TEST_PROCESSES ?= 3

VENV := .venv
PY := $(VENV)/bin/python
# Python compiles what is imported, once; pip would compile everything, which takes as long as installing it.
INSTALL := $(PY) -m pip --disable-pip-version-check --no-input install --no-compile
export PYTHONDONTWRITEBYTECODE :=
# What belongs to other Pythons, or sends packages elsewhere than into .venv, or has them compiled (pip.conf's own
# `user` and `no-binary` included). Indexes, proxies and certificates stay as the machine has them.
unexport PYTHONHOME PYTHONPATH PIP_TARGET PIP_PREFIX PIP_ROOT PIP_PYTHON PIP_DRY_RUN PIP_IGNORE_INSTALLED
export PIP_USER := 0
export PIP_NO_BINARY := :none:

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
# With MAKEFLAGS=-j two pips would install into one environment; only `check`, which is set up by then, runs two targets.
ifndef SET_UP
.NOTPARALLEL:
endif
.PHONY: help run infra test check test-fast image image-test image-compare lint format bench loadtest requirements clean
.PHONY: bootstrap up release-check deploy submit promote rollback renew drift destroy pin

help:  ## Explain the targets
	@echo "make TARGET"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/run.stamp  ## Set up everything, then serve at http://localhost:8080 (PORT=, MODEL_WEIGHTS=)
	@$(PY) -m service build --weights '$(MODEL_WEIGHTS)' --reuse
	@echo "Serving at http://localhost:$(PORT)  (Ctrl-C ends it)"
	@COMMIT=$$(git rev-parse HEAD 2>/dev/null) DRAIN_SEC=$${DRAIN_SEC-0} PORT=$(PORT) exec $(PY) -m service serve

infra: $(VENV)/infra.stamp  ## Set up what `pulumi up` needs

# Tests without a group of their own stay together by file (tests/conftest.py).
PYTEST = $(PY) -m pytest -n $(TEST_PROCESSES) --dist loadgroup $(PYTEST_FLAGS)

test: $(VENV)/dev.stamp  ## Run all tests but those of the container (MUTATIONS=1, COVERAGE=1, PYTEST_FLAGS=)
	$(PYTEST) -m "not image$(if $(MUTATIONS),, and not mutation)" $(if $(COVERAGE),--cov)

check: $(VENV)/dev.stamp  ## Check style, types, imports, and run the fast tests: for while you work
	@$(MAKE) --no-print-directory SET_UP=1 -j2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target) lint test-fast

# These compute more than they wait, and each process loads every test file first.
test-fast: TEST_PROCESSES = 2
test-fast: $(VENV)/dev.stamp
	$(PYTEST) -m "not slow and not image and not mutation" -q

# Of which weights images are built (container/build.sh), here and in the pipeline.
CHOSEN = WEIGHTS='$(WEIGHTS)' ARCH='$(ARCH)' PRECISION='$(PRECISION)'
ifeq ($(origin MODEL),command line)
$(error MODEL=$(MODEL) is called WEIGHTS=$(MODEL))
endif
image:  ## Build the production image (IMAGE=, WEIGHTS=lite0 or local for models/resnet18, PRECISION=fp32, DOCKER_FLAGS=)
	$(CHOSEN) container/build.sh $(IMAGE) $(DOCKER_FLAGS)

image-test: $(VENV)/dev.stamp  ## Build the image, run it as production does, check it from outside
	$(PY) -m pytest -m image tests/container tests/pipeline

image-compare: $(VENV)/run.stamp  ## Sizes, start and memory beside a plain PyTorch image, with the model of untrained weights
	$(PY) -m service build --weights untrained --torchscript --reuse
	WEIGHTS=local container/build.sh classifier:compared $(DOCKER_FLAGS)
	container/build.sh classifier:plain --target plain $(DOCKER_FLAGS)
	$(PY) -m loadtest.bench.image_sizes classifier:compared classifier:plain

lint: $(VENV)/dev.stamp  ## Check style, types and who imports whom
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run */*.sh tests/*/*.sh; \
	else echo "shellcheck is not installed: the shell scripts are not checked"; fi

format: $(VENV)/dev.stamp  ## Rewrite the sources in the project's style
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

bench: $(VENV)/loadtest.stamp  ## Measure speed and memory on this machine
	$(PY) -m loadtest.bench

loadtest: $(VENV)/loadtest.stamp  ## Load test with targets (SCENARIO=, HOST=URL, CONFIRM=1, LOADTEST_FLAGS=)
ifeq ($(TARGET),)
	@[ -n "$$MODEL_DIR" ] || $(PY) -m service build --weights '$(MODEL_WEIGHTS)' --reuse
	@COMMIT=$$(git rev-parse HEAD 2>/dev/null) $(PY) -m loadtest run --serve --scenario $(SCENARIO) $(LOADTEST_FLAGS)
else
	@$(PY) -m loadtest run --host "$(TARGET)" --scenario $(SCENARIO) $(LOADTEST_FLAGS)
endif

# What cloudbuild.yaml does, and what comes before and after it (docs/pipeline.md).
STACK ?= dev
FROM ?= dev
ROLLOUT = STACK='$(STACK)' $(PY) -m pipeline.rollout
bootstrap: $(VENV)/pipeline.stamp  ## Make what Pulumi needs first (PROJECT=, REGION=; STACK=, ALLOWLIST=, PIPELINE=1, DRY_RUN=1)
	@PROJECT='$(PROJECT)' REGION='$(REGION)' STACK='$(STACK)' ALLOWLIST='$(ALLOWLIST)' PIPELINE='$(PIPELINE)' DRY_RUN='$(DRY_RUN)' $(PY) -m pipeline.bootstrap

up: $(VENV)/pipeline.stamp  ## Make the stack, or change its settings, with the image that runs (STACK=, LOOK=1, GIVE_UP=1)
	@LOOK='$(LOOK)' GIVE_UP='$(GIVE_UP)' $(ROLLOUT) up

release-check: $(VENV)/pipeline.stamp  ## Every gate of the pipeline, on this machine (WEIGHTS= as for `make image`)
	@$(CHOSEN) $(PY) -m pipeline.steps check

deploy: $(VENV)/pipeline.stamp  ## The whole pipeline from this machine, without Cloud Build (STACK=)
	@$(CHOSEN) STACK='$(STACK)' $(PY) -m pipeline.steps deploy

submit: $(VENV)/pipeline.stamp  ## The whole pipeline on Cloud Build, from this checkout (STACK=)
	@$(CHOSEN) STACK='$(STACK)' $(PY) -m pipeline.steps submit

promote: $(VENV)/pipeline.stamp  ## The image of another stack, as it is (FROM=dev STACK=prod)
	@FROM='$(FROM)' $(ROLLOUT) promote

rollback: $(VENV)/pipeline.stamp  ## The image that ran before, or IMAGE=...@sha256:... (STACK=)
	@IMAGE='$(filter-out classifier:latest,$(IMAGE))' $(ROLLOUT) rollback

renew: $(VENV)/pipeline.stamp  ## New machines for the same image, with the system's newest release (STACK=)
	@$(ROLLOUT) renew

drift: $(VENV)/pipeline.stamp  ## Fail where somebody has changed by hand what the pipeline manages (STACK=)
	@$(ROLLOUT) drift

destroy: $(VENV)/pipeline.stamp  ## Take the stack away, after saying what goes and asking (STACK=)
	@YES='$(YES)' $(ROLLOUT) destroy

pin: $(VENV)/pipeline.stamp  ## Pin the images that builds use, by the digests that their registries name
	@$(PY) -m pipeline.pin

requirements:  ## Write the pinned requirement files again (needs pip-tools)
	requirements/compile.sh

clean:  ## Remove the virtual environment and the models
	rm -rf $(VENV) models

# The machine that serves needs only serve.txt; building a model needs the rest. PyTorch comes last: it finds what it
# needs installed, so that only its own two packages are looked for on its own index (once, without retries).
$(VENV)/run.stamp: $(VENV)/pyvenv.cfg requirements/serve.txt requirements/modeling.txt requirements/torch.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/serve.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/modeling.txt
	$(INSTALL) --retries 0 --timeout 15 -r requirements/torch.txt
	@touch $@

$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Choose another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)

# Deploying needs Pulumi only, no PyTorch.
$(VENV)/infra.stamp: $(VENV)/pyvenv.cfg requirements/infra.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/infra.txt
	@touch $@

# The pipeline deploys and tests what it deployed.
$(VENV)/pipeline.stamp: $(VENV)/infra.stamp requirements/pipeline.txt requirements/loadtest.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/pipeline.txt -r requirements/loadtest.txt
	@touch $@

$(VENV)/loadtest.stamp: $(VENV)/run.stamp requirements/loadtest.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/loadtest.txt
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp $(VENV)/loadtest.stamp $(VENV)/pipeline.stamp requirements/dev.txt requirements/timm.txt
	$(INSTALL) --no-deps --require-hashes -r requirements/dev.txt -r requirements/timm.txt
	@touch $@
