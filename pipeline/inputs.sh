#!/usr/bin/env bash
# Step `inputs`, until cloudbuild.yaml calls it by its name.
cd "$(dirname "$0")/.." && exec python3 -m pipeline.inputs
