#!/usr/bin/env bash
# Step `rollout`: the environment for rollout.py, then rollout.py. usage: pipeline/rollout.sh ACTION
set -euo pipefail
cd "$(dirname "$0")/.."
if ! .venv/bin/python -c 'import dns, locust, pulumi_gcp' 2>/dev/null; then
  # The environment of the earlier steps belongs to their image's Python; this image has its own.
  PYENV_VERSION=3.11 python3 -m venv --clear .venv
  .venv/bin/pip --disable-pip-version-check --no-input install --quiet --no-deps --require-hashes \
    -r requirements/infra.txt -r requirements/loadtest.txt -r requirements/pipeline.txt
fi
exec .venv/bin/python -m pipeline.rollout "$@"
