#!/usr/bin/env bash
# Takes out of an image what later steps ask it: its list of contents, and its model's manifest and samples.
# usage: pipeline/extract.sh CONTAINER   (made from the image; it need not run)
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh
container=${1:?usage: pipeline/extract.sh CONTAINER}

mkdir -p $left
rm -rf $left/samples # what is copied onto a folder lands inside it
for path in sbom.cdx.json models/resnet18/manifest.json models/resnet18/samples; do
  engine cp "$container:/app/$path" $left/ >/dev/null || stop "the image holds no /app/$path: is it one of this project's?"
done
