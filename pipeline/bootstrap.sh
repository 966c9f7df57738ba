#!/usr/bin/env bash
# What must be there before Pulumi can remember anything: a bucket for its state, a key for its secrets, a stack.
#
#   PROJECT=my-project REGION=europe-west1 pipeline/bootstrap.sh [--dry-run]
#
# STACK (dev) and ALLOWLIST (address ranges, separated by commas) are optional; DRY_RUN=1 is --dry-run. Run it again at
# any time: what exists is left alone. Everything else is made by the stack itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh

[ "${1:-}" != --dry-run ] || DRY_RUN=1
dry=${DRY_RUN:-}
stack=${STACK:-dev}
[[ ${PROJECT:-} =~ ^([a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$ ]] ||
  stop "PROJECT is '${PROJECT:-}': give the project's id, as in make bootstrap PROJECT=my-project-123 REGION=europe-west1."
[[ ${REGION:-} =~ ^[a-z]+-[a-z]+[0-9]+$ ]] ||
  stop "REGION is '${REGION:-}': give a region, not a zone, as in make bootstrap PROJECT=$PROJECT REGION=europe-west1."
[[ $stack =~ ^[a-z]([a-z0-9-]{0,17}[a-z0-9])?$ ]] ||
  stop "STACK is '$stack': use at most 19 lower-case letters, digits and hyphens, as in dev or prod."
IFS=, read -ra ranges <<<"${ALLOWLIST:-}"
for range in "${ranges[@]}"; do
  [[ $range =~ ^[0-9a-fA-F.:]+/[0-9]+$ ]] ||
    stop "ALLOWLIST holds '$range': give address ranges, as in ALLOWLIST=203.0.113.7/32,198.51.100.0/24."
done
if [ -z "$dry" ]; then
  for program in gcloud pulumi; do
    command -v $program >/dev/null || stop "$program is not installed: docs/pipeline.md says what a laptop needs."
  done
fi

bucket=gs://$PROJECT-pulumi-state
key=projects/$PROJECT/locations/$REGION/keyRings/pulumi/cryptoKeys/state
export PULUMI_BACKEND_URL=$bucket CLOUDSDK_CORE_DISABLE_PROMPTS=1

run() {
  printf '+'
  printf ' %q' "$@"
  echo
  [ -n "$dry" ] || "$@" || stop "this command failed, see above: mend what it says, then run \`make bootstrap\` again."
}
# Makes something unless it is there: WHAT IT IS, how to look, --, how to make.
ensure() {
  local what=$1 look=()
  shift
  while [ "$1" != -- ]; do look+=("$1"); shift; done
  shift
  if [ -z "$dry" ] && "${look[@]}" >/dev/null 2>&1; then
    echo "$what: is there"
  else
    echo "$what:"
    run "$@"
  fi
}

echo "Google's APIs:"
run gcloud services enable cloudkms.googleapis.com cloudresourcemanager.googleapis.com iam.googleapis.com \
  serviceusage.googleapis.com storage.googleapis.com "--project=$PROJECT"

# Nobody outside the project, and the access of the pipeline's accounts by roles on the bucket alone.
ensure "the bucket for the state, $bucket" gcloud storage buckets describe "$bucket" "--project=$PROJECT" -- \
  gcloud storage buckets create "$bucket" "--project=$PROJECT" "--location=$REGION" \
  --uniform-bucket-level-access --public-access-prevention
# A bucket's name is the whole world's: somebody else may have made this one, and let us in.
if [ -z "$dry" ]; then
  owner=$(gcloud storage buckets describe "$bucket" --raw "--format=value(projectNumber)")
  ours=$(gcloud projects describe "$PROJECT" "--format=value(projectNumber)")
  [ "$owner" = "$ours" ] || stop "the bucket $bucket belongs to another project ($owner, not $ours): nothing was written to it. Use another project."
fi
# Set again each time: a state that was overwritten can be had back.
run gcloud storage buckets update "$bucket" --versioning --lifecycle-file=pipeline/state-lifecycle.json "--project=$PROJECT"

ensure "the key ring" gcloud kms keyrings describe pulumi "--location=$REGION" "--project=$PROJECT" -- \
  gcloud kms keyrings create pulumi "--location=$REGION" "--project=$PROJECT"
ensure "the key for the secrets" gcloud kms keys describe state --keyring=pulumi "--location=$REGION" "--project=$PROJECT" -- \
  gcloud kms keys create state --keyring=pulumi "--location=$REGION" "--project=$PROJECT" \
  --purpose=encryption --rotation-period=90d --next-rotation-time=+p90d

ensure "the stack $stack" pulumi stack select "$stack" --non-interactive -- \
  pulumi stack init "$stack" --secrets-provider="gcpkms://$key" --non-interactive
run pulumi config set gcp:project "$PROJECT" "--stack=$stack"
run pulumi config set gcp:region "$REGION" "--stack=$stack"
for number in "${!ranges[@]}"; do
  run pulumi config set --path "allowlist[$number]" "${ranges[$number]}" "--stack=$stack"
done

echo
echo "Next:"
((${#ranges[@]})) || echo "  PULUMI_BACKEND_URL=$bucket pulumi config set --path 'allowlist[0]' YOUR-ADDRESS/32 --stack $stack"
echo "  make up STACK=$stack       # the foundations"
echo "  make deploy STACK=$stack   # build, test, push, deploy"
echo "Commit Pulumi.$stack.yaml before Cloud Build takes over: it names the key."
