#!/usr/bin/env bash
# Looks up the server's packages in a database of known vulnerabilities.
# Exit codes: 0 none known; 1 some, listed; 3 the database could not be asked, so nothing is known.
# OSV_URL names another database that speaks OSV's interface; pip-audit's own default is the package registry's.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 3
source=(--vulnerability-service pypi)
[ -z "${OSV_URL:-}" ] || source=(--vulnerability-service osv --osv-url "$OSV_URL")
report=$("${PYTHON:-python3}" -m pip_audit "${source[@]}" --progress-spinner off --disable-pip --no-deps \
  --requirement "${REQUIREMENTS:-requirements/serve.txt}" --format json)
if [ -z "$report" ]; then
  echo "the vulnerability database cannot be asked: see above. Try again where it can be reached" >&2
  exit 3
fi
"${PYTHON:-python3}" - "$report" <<'P'
import json, sys
packages = json.loads(sys.argv[1])["dependencies"]
unknown = [p["name"] for p in packages if "skip_reason" in p]
found = [(p["name"], p["version"], v["id"], ", ".join(v["fix_versions"]) or "no fix yet") for p in packages for v in p.get("vulns", [])]
for row in found:
    print("{} {}: {} (fixed in {})".format(*row))
if found:
    sys.exit(1)
if unknown:
    print(f"nothing is known of {', '.join(unknown)}: the database could not be asked", file=sys.stderr)
    sys.exit(3)
print(f"no vulnerability is known in {len(packages)} packages")
P
