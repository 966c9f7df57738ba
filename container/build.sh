#!/usr/bin/env bash
# Builds the production image. usage: [WEIGHTS=...] [ARCH=...] [PRECISION=...] container/build.sh TAG [docker build options]
#
#   WEIGHTS    official, or another row of the table of networks, built and checked inside the build (ARCH says which of
#              several); local: the bundle in models/resnet18, or in --build-arg BUNDLE=FOLDER
#   PRECISION  auto: what the bundle's accuracy gate allowed; fp32; int8: that, or no image
#
# Options worth knowing: --build-arg BASE=IMAGE, --secret id=ca,src=FILE.
set -euo pipefail
cd "$(dirname "$0")/.."
tag=${1:?usage: container/build.sh TAG [docker build options]}
shift
commit=${COMMIT:-$(git rev-parse HEAD 2>/dev/null || echo unknown)}
options=(--build-arg PRECISION="${PRECISION:-auto}")
if [ "${WEIGHTS:=official}" = local ]; then
  options+=(--build-arg MODEL=local)
else
  options+=(--build-arg WEIGHTS="$WEIGHTS" --build-arg ARCH="${ARCH:-}")
fi
DOCKER_BUILDKIT=1 exec "${DOCKER:-docker}" build --build-arg COMMIT="$commit" --tag "$tag" "${options[@]}" "$@" .
