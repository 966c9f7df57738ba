#!/usr/bin/env bash
# Makes the image that the Dockerfile starts from, where no registry can be reached: a Debian bookworm with Python 3.11 by
# debootstrap, under the name that is given. usage: base.sh NAME
set -euo pipefail
name=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder/root" >"$folder/log" 2>&1 ||
  { tail -n 20 "$folder/log"; exit 1; }
rm -rf "$folder"/root/var/cache/apt/archives/*.deb "$folder"/root/var/lib/apt/lists/*
tar -C "$folder/root" -c . | docker import --change 'CMD ["python3"]' - "$name" >/dev/null
echo "no registry can be reached: $name was made with debootstrap"
