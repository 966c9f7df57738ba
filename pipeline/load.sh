#!/usr/bin/env bash
# Step `load`: does a running service meet its targets? usage: pipeline/load.sh [URL TARGETS]
# Without them it is the candidate, on this machine, against the project's own targets. TARGETS is another file of them.
# CONNECT_TO is an address to connect to in place of the URL's host, which is then only the service's name.
#
# Ends with 0 where all targets are met, 1 where one is missed, 2 where nothing could be tested, 3 where only latency is
# missed. How fast answers come depends on the machine that asks, and on who shares it, too: so the candidate passes with
# a warning, and for the fleet's 3 it is the rollout's to say what follows.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh
url=${1:-$(cat $left/url)}
options=(--host "$url" --scenario "${SCENARIO:-steady}" --output reports/loadtest --yes)
[ $# -lt 2 ] || options+=(--targets "$2")
[ -z "${CONNECT_TO:-}" ] || options+=(--connect-to "$CONNECT_TO")

code=0
"${PYTHON:-.venv/bin/python}" -m loadtest run "${options[@]}" || code=$?
case $code in 0 | 1 | 3) ;; *) code=2 ;; esac # ended by a signal, or something else that says nothing of the service
if [ $# = 0 ]; then
  case $code in
    1) echo "pipeline: the candidate misses its targets under load, see above. Nothing was pushed or changed." >&2 ;;
    2) echo "pipeline: the candidate could not be tested under load, see above. Nothing was pushed or changed." >&2 ;;
    3) echo "load: a warning: only latency is missed, see above, and this machine may be slow or shared. To know more," \
            "run \`make loadtest\` on a quiet machine with two processors."
       code=0 ;;
  esac
fi
exit $code
