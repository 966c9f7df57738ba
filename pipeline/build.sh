#!/usr/bin/env bash
# Step `build`: the production image, with the layers of earlier builds from the registry.
#
# The cache is the image of the last build, with BuildKit's notes in it (inline cache). It holds the layers that end up
# in the image; PyTorch does not, so that the stage with it is an image of its own, under a name that changes with what
# is installed. A pull request reads the main branch's cache and writes its own: what strangers build never gets into
# an image that is deployed. The registry forgets what lies below cache/ after a while: a cache that is gone, or that
# cannot be written, costs time and nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh

options=(--build-arg BUILDKIT_INLINE_CACHE=1) # container/build.sh itself reads WEIGHTS, ARCH and PRECISION
# What this machine's network needs, and no other.
# shellcheck disable=SC2206  # several options in one variable
options+=(${DOCKER_FLAGS:-})
if [ -n "${MIRROR:-}" ]; then
  base=$(sed -n 's/^ARG BASE=//p' Dockerfile)
  case $base in */*) ;; *) base=library/$base ;; esac # Docker Hub's own images, by their full name
  options+=(--build-arg BASE="$MIRROR$base")
fi
own=$(repository "${REPOSITORY:-}")
main=$(repository "classifier-${STACK:-}")
# Noticed only later, the fleet would restart for ever; emulated, the load test would measure the emulator.
if [ -n "$own" ]; then
  architecture=$(engine version --format '{{.Server.Arch}}')
  [[ ${architecture:-amd64} = amd64 ]] || stop "this machine's Docker builds for $architecture, and the fleet's machines" \
    "are amd64: let Cloud Build build this checkout with \`make submit\`."
fi
if [ -n "$own" ]; then
  for place in "$main" "$own"; do options+=(--cache-from "$place/cache/image:latest"); done
fi

build() { # TAG [OPTION...]
  container/build.sh "$@" "${options[@]}" || stop "the image cannot be built: see above. Nothing was pushed or changed."
}

keep() { # TAG
  engine push --quiet "$1" || echo "build: $1 cannot be written, so that the next build takes longer: see above" >&2
}

if [ -n "$own" ] && [ "$WEIGHTS" != local ]; then
  key=$(cat Dockerfile requirements/*.txt | { sha256sum 2>/dev/null || shasum -a 256; } | cut -c1-16)
  modeling=
  for place in "$main" "$own"; do
    # A registry without certificate is one on this machine.
    if engine manifest inspect --insecure "$place/cache/modeling:$key" >/dev/null 2>&1; then
      modeling=$place/cache/modeling:$key
      break
    fi
  done
  if [ -z "$modeling" ]; then
    modeling=$own/cache/modeling:$key
    echo "build: PyTorch is installed anew, for $modeling"
    build "$modeling" --target modeling
    keep "$modeling"
  fi
  options+=(--cache-from "$modeling")
fi

build "$(image)"
if [ -n "$own" ]; then
  engine tag "$(image)" "$own/cache/image:latest"
  keep "$own/cache/image:latest"
fi
