#!/usr/bin/env bash
# `make bootstrap`, until the Makefile calls it by its name.
cd "$(dirname "$0")/.." && exec .venv/bin/python -m pipeline.bootstrap "$@"
