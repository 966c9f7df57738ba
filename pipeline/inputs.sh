#!/usr/bin/env bash
# Step `inputs`: is everything said that the later steps need, and can the state be reached? A triggered build replaces a
# substitution that nobody set by nothing and goes on (Cloud Build: ALLOW_LOOSE), so that this asks before the long steps.
set -euo pipefail
cd "$(dirname "$0")/.."

mistakes=()
expect() { # VARIABLE SUBSTITUTION PATTERN EXAMPLE
  local value=${!1:-}
  if [ -z "$value" ]; then
    mistakes+=("the substitution $2 is not set: give it, for example $2=$4.")
  elif ! [[ $value =~ ^$3$ ]]; then
    mistakes+=("the substitution $2 is '$value': write it like $4.")
  fi
}

expect ACTION _ACTION '(check|preview|deploy)' deploy
expect COMMIT COMMIT_SHA '[0-9a-f]{40}' "$(printf '0123456789%.0s' 1 2 3 4)"
expect MODEL _MODEL '(official|local)' official
if [ "${ACTION:-}" != check ]; then
  expect PROJECT PROJECT_ID '([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]' my-project-123
  expect REGION _REGION '[a-z]+-[a-z]+[0-9]+' europe-west1
  expect STACK _STACK '[a-z]([a-z0-9-]{0,17}[a-z0-9])?' dev
  expect REPOSITORY _REPOSITORY '[a-z]([a-z0-9-]{0,61}[a-z0-9])?' "classifier-${STACK:-dev}"
fi
# A stack that cannot be is not looked for.
if [ "${ACTION:-}" != check ] && ! ((${#mistakes[@]})); then
  file=Pulumi.$STACK.yaml
  if [ ! -f "$file" ]; then
    mistakes+=("$file is missing from the commit: make the stack with \`make bootstrap\`, then commit the file.")
  elif ! grep -q '^secretsprovider: *gcpkms://' "$file"; then
    mistakes+=("$file names no key of Cloud KMS: make the stack with \`make bootstrap\`, then commit the file.")
  fi
fi
if ((${#mistakes[@]})); then
  printf 'pipeline: %s\n' "${mistakes[@]}" >&2
  exit 1
fi

[ "$ACTION" = check ] && exit 0
bucket=gs://$PROJECT-pulumi-state
if ! answer=$("${GCLOUD:-gcloud}" storage ls "$bucket/" --project="$PROJECT" 2>&1 >/dev/null); then
  # An empty bucket is a good answer that gcloud counts as a failure.
  case $answer in
    *"matched no objects"*) ;;
    *) echo "pipeline: the state bucket $bucket cannot be read: run \`make bootstrap\`, or let the build's account" \
         "read it (docs/pipeline.md). gcloud says: $(tail -n 1 <<<"$answer")" >&2
       exit 1 ;;
  esac
fi
echo "inputs: $ACTION of $COMMIT to the stack $STACK in $PROJECT, $REGION"
