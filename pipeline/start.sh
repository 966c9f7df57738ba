#!/usr/bin/env bash
# Step `start`: the image as production runs it, and is it as closed as it should be? It goes on running for the next
# steps, which find its address, its samples and its list of contents in .pipeline.
set -euo pipefail
cd "$(dirname "$0")/.."
. pipeline/lib.sh

name=candidate
case ${NETWORK:-} in
  "") where=(--publish 127.0.0.1::8080) ;;
  host) port=$((20000 + RANDOM % 10000))
        where=(--network host --env HOST=127.0.0.1 --env "PORT=$port") ;;
  *) where=(--network "$NETWORK") ;;
esac

# As many processors as the machines have that the targets were written for.
processors=$(getconf _NPROCESSORS_ONLN)
where+=(--cpus $((processors < 2 ? processors : 2)))

engine rm --force $name >/dev/null 2>&1 || true
rm -rf $left
mkdir $left
container/run.sh "$(image)" --detach --name $name "${where[@]}" >/dev/null ||
  stop "the image does not start: see above. Nothing was pushed or changed."

code=0
engine exec --interactive $name python3 - <pipeline/container_probe.py || code=$?
if [ $code = 9 ]; then exit 1; fi # it has said why
if [ $code != 0 ]; then
  engine logs --tail 20 $name >&2 || true
  stop "the image ended by itself, see its log above: mend it and build again. Nothing was pushed or changed."
fi

# What cannot be seen from inside.
limits=$(engine inspect --format '{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}' $name)
case " $limits " in *" 0 "* | *"<nil>"* | *" -1 "*)
  stop "the image runs without limits of memory or processes ($limits): see container/run.flags. Nothing was pushed or changed." ;;
esac

pipeline/extract.sh $name
case ${NETWORK:-} in
  "") echo "http://$(engine port $name 8080/tcp | head -n 1)" ;;
  host) echo "http://127.0.0.1:$port" ;;
  *) echo "http://$name:8080" ;;
esac >$left/url
echo "start: $(image) runs as in production, at $(cat $left/url)"
