#!/usr/bin/env bash
# Takes out of an image what later steps ask it: its list of contents, and its model's manifest and samples.
# usage: pipeline/extract.sh CONTAINER   (made from the image; it need not run)
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh
container=${1:?usage: pipeline/extract.sh CONTAINER}

mkdir -p $left
rm -rf $left/samples # what is copied onto a folder lands inside it
model=model
# Where images of commits before 2026-11-27 have it, to which a rollback may go.
if engine cp "$container:/app/models/resnet18/manifest.json" - >/dev/null 2>&1; then model=models/resnet18; fi
for path in sbom.cdx.json $model/manifest.json $model/samples; do
  engine cp "$container:/app/$path" $left/ >/dev/null || stop "the image holds no /app/$path: is it one of this project's?"
done
