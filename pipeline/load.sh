#!/usr/bin/env bash
# Step `load`: does a running service meet its targets? usage: pipeline/load.sh [URL TARGETS]
# Without them it is the candidate, on this machine, against the project's own targets. TARGETS is another file of them.
# Ends with the load test's own code: 0 met, 1 missed, 2 could not be tested.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh
url=${1:-$(cat $left/url)}
targets=(${2:+--targets "$2"})
code=0
"${PYTHON:-.venv/bin/python}" -m loadtest run --host "$url" --scenario "${SCENARIO:-steady}" "${targets[@]}" --output reports/loadtest --yes ||
  code=$?
if [ $# = 0 ] && [ $code != 0 ]; then
  stop "the candidate misses its targets under load, or could not be tested, see above: nothing was pushed or changed."
fi
exit $code
