#!/usr/bin/env bash
# Step `push`: the image to the registry, and by which digest from now on. A tag can move; a digest is these bytes.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh

engine rm --force candidate >/dev/null 2>&1 || true
[ -n "${REGISTRY:-}" ] || stop "REGISTRY is not set: there is nowhere to push to. Set it to HOST/PROJECT."
engine push "$(image)" || stop "$(image) cannot be pushed: see above. The fleet runs on unchanged."
address=$(image)
address=${address%:*}
# The image may carry digests of other registries, too.
digest=$(engine inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$(image)" | grep -F "$address@sha256:" | head -n 1) ||
  stop "the registry gave no digest for $(image): push again. The fleet runs on unchanged."
mkdir -p $left
echo "$digest" >$left/digest
echo "push: $digest"
