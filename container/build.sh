#!/usr/bin/env bash
# Builds the production image. usage: container/build.sh TAG [docker build options]
# Options worth knowing: --build-arg MODEL=local (serve models/resnet18), --build-arg BASE=IMAGE, --secret id=ca,src=FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?usage: container/build.sh TAG [docker build options]}
shift
commit=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
DOCKER_BUILDKIT=1 exec "${DOCKER:-docker}" build --build-arg COMMIT="$commit" --tag "$tag" "$@" .
