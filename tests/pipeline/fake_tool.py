"""Stands in for `gcloud` or `pulumi` on the PATH: writes down what it is asked and answers from a script.

The script is FAKE_TOOLS/script.json, a list of rules {"when": [words], "code", "out", "err", "times"}. The first rule
of which all words are among the command's (as whole words or their beginnings) and which is not used up answers.
Without one, it answers nothing and ends with 0.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

folder = Path(os.environ["FAKE_TOOLS"])
command = [Path(sys.argv[0]).name, *sys.argv[1:]]
with (folder / "calls.jsonl").open("a") as calls:
    calls.write(json.dumps(command) + "\n")
script = json.loads((folder / "script.json").read_text())
for rule in script:
    if all(any(word == given or given.startswith(word) for given in command) for word in rule["when"]):
        if rule.get("times") == 0:
            continue
        if "times" in rule:
            rule["times"] -= 1
            (folder / "script.json").write_text(json.dumps(script))
        sys.stdout.write(rule.get("out", ""))
        sys.stderr.write(rule.get("err", ""))
        sys.exit(rule.get("code", 0))
