#!/usr/bin/env bash
# Runs an image as production does, with the flags in run.flags. usage: container/run.sh IMAGE [docker run options]
set -euo pipefail
image=${1:?usage: container/run.sh IMAGE [docker run options]}
shift
command=("${DOCKER:-docker}" run)
while IFS= read -r flag; do command+=("$flag"); done < <(grep -v '^#' "$(dirname "$0")/run.flags")
exec "${command[@]}" "$@" "$image"
