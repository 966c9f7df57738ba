#!/usr/bin/env bash
# Step `tests`: style, types and every test that needs no container. The later steps use the environment made here.
set -euo pipefail
cd "$(dirname "$0")/.."
# `make deploy PRECISION=fp32` is about the image; as a setting of the service the tests would have it, too.
unset PRECISION MAKEFLAGS
# What is built on Cloud Build may be deployed, so there it stops here; elsewhere it is said. `make bootstrap` pins.
python=.venv/bin/python
[ -x $python ] || python=python3
$python -m pipeline.pin --check || [ "${NETWORK:-}" != cloudbuild ]
if [ "${NETWORK:-}" = cloudbuild ]; then
  # A fresh machine: install what the tests need. The folder of hostile pictures is no part of the repository, so that
  # tests may skip for want of it. Coverage and mutations judge the tests: they are for changes, not for releases.
  REQUIRE_TOOLS='' COVERAGE='' MUTATIONS='' exec bash .ci/run lint test
fi
exec make lint test
