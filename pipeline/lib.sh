# shellcheck shell=bash
# What the steps in Bash share; sourced, never run. Steps run in the repository's root, see cloudbuild.yaml.

# What one step leaves for the next lies here. Bind mounts are no way: the engine may be another machine's.
# shellcheck disable=SC2034  # read by those that source this
left=.pipeline

engine() { "${DOCKER:-docker}" "$@"; }

# Ends a step with its one sentence.
stop() {
  echo "pipeline: $*" >&2
  exit 1
}

# The registry of this deployment, empty where nothing is pushed.
repository() { [ -z "${REGISTRY:-}" ] || echo "$REGISTRY/$1"; }

# The image under test: everything that is pushed carries its commit.
image() {
  local address
  address=$(repository "${REPOSITORY:-}")
  echo "${address:+$address/}classifier:${COMMIT:?}"
}
