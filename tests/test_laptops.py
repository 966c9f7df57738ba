"""Laptops: macOS with bash 3.2, make 3.81 and BSD tools, Windows' line ends, variables that other programs set.

There is no Mac here, so scripts are searched for what came later; each rule is shown a line that it must find. (Tried
by hand with bash 3.2.57 and GNU make 3.81, built from Apple's sources, 2026-11.)
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# .ci/run and tests/ are for Debian; what Cloud Build runs, `make deploy` runs on a laptop.
SCRIPTS = sorted(
    file for folder in ("container", "pipeline", "requirements") for file in (REPOSITORY / folder).glob("*.sh")
)

LATER_THAN_BASH_3_2 = {
    r"\b(mapfile|readarray|coproc)\b": "mapfile -t lines <file",
    r"\b(declare|local|typeset)\s+-[a-zA-Z]*[Agnlu]": "declare -A table",
    r"\$\{!?\w+(\[[^]]*\])?(\^|,|@[A-Za-z])": "echo ${name,,}",
    r"\$\{\w+\[-\d+\]": "echo ${list[-1]}",
    r"\$\{\w+:[^}]*:\s*-": "echo ${name:0:-1}",
    r"&>>|\|&|;&": "make &>>log",
    r"\[\[?\s+-[vR]\s": "[[ -v NAME ]]",
    r"\bwait\s+-n\b": "wait -n",
    r"%\([^)]*\)T": "printf '%(%F)T'",
    r"\bprintf\s+-v\s+\w+\[": "printf -v list[0] x",
    r"\bshopt\s+-s\s+.*\b(globstar|lastpipe|inherit_errexit)\b": "shopt -s globstar",
    r"\$\{?(BASHPID|EPOCHSECONDS|EPOCHREALTIME|SRANDOM)\b": "echo $BASHPID",
    r"\bexec\s+\{\w+\}[<>]": "exec {file}<x",
    r"\{0\d+\.\.\d+\}": "echo {01..10}",
    r"\bread\b.*\s-[a-zA-Z]*(t\s*\d*\.\d|N|i)": "read -t 0.5 line",
}
NOT_IN_BSD = {
    r"\bsed\b.*\s(-i(?!\.)|-r\b|-[a-zA-Z]*z|--\w)": "sed -i s/a/b/ file",
    r"\bsed\b.*\\[tn].*/": r"sed 's/ /\t/'",
    r"\bdate\s+.*(-d\b|--\w|%N)": "date -d yesterday",
    r"\bstat\s+(-c|--\w)": "stat -c %s file",
    r"\breadlink\s+-[a-z]*[fem]|\brealpath\b": "readlink -f file",
    r"\bgrep\s+.*(-[a-zA-Z]*P|--perl)": "grep -P x",
    r"(?<![\w-])(nproc|tac|timeout|setsid|numfmt|shuf|flock|getent|truncate)\b(?=\s|\)|$)": "processors=$(nproc)",
    r"\bsha\d+sum\b(?!.*shasum)": "sha256sum file",
    r"\b(head|tail)\s+.*-n\s*-\d|\bhead\s+-c\s*-": "head -n -1",
    r"\bxargs\s+.*(-r\b|-d\b|--\w)": "xargs -r rm",
    r"(?:^|[|;&(])\s*(cp|mv|ln|mkdir|rm|sort|mktemp|base64|find|cut|du)\s+(-\S+\s+)*--[a-z]": "cp --parents a b",
    r"\bbase64\s+-w": "base64 -w0",
    r"\bsort\s+.*-[a-zA-Z]*V": "sort -V",
    r"\bfind\b.*\s-printf\b": "find . -printf x",
    r"\bcp\s+.*-[a-zA-Z]*[tT]\b": "cp -t folder a",
}
LATER_THAN_MAKE_3_81 = {
    r"^\.(ONESHELL|RECIPEPREFIX|SHELLFLAGS|EXTRA_PREREQS)": ".ONESHELL:",
    r"^\s*(export\s+)?\w+\s*(!|::|:::|\+:)=": "NAME != date",
    r"^\s*(undefine|private|load)\s": "undefine NAME",
    r"^define\s+\w+\s*[:?+]?=": "define NAME =",
    r"\$\((file|guile|let|intcmp)\s": "$(file >x,y)",
    r"&:": "a b &: c",
    r"--(output-sync|trace|shuffle|eval)(?!=target\))": "make --output-sync=line",
}


def found(patterns: dict[str, str], text: str) -> list[str]:
    """Return the lines that a pattern finds, without comments."""
    lines = [re.sub(r"(^|\s)#.*", "", line) for line in text.splitlines()]
    return [line for line in lines for pattern in patterns if re.search(pattern, line)]


@pytest.mark.parametrize("patterns", [LATER_THAN_BASH_3_2, NOT_IN_BSD, LATER_THAN_MAKE_3_81])
def test_each_rule_finds_what_it_is_for(patterns: dict[str, str]) -> None:
    assert [line for pattern, line in patterns.items() if found({pattern: ""}, line) != [line]] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_a_script_runs_with_what_macos_has(script: Path) -> None:
    text = script.read_text("utf-8")
    assert found(LATER_THAN_BASH_3_2 | NOT_IN_BSD, text) == []
    # Up to bash 4.3 an empty array is an unbound variable; one that begins empty may stay so.
    for name in re.findall(r"\b(\w+)=\(\)", text):
        assert f'"${{{name}[@]}}"' not in re.sub(rf'\$\{{{name}\[@\]\+"[^"]*"\}}', "", text), f"{name} may be empty"


def test_the_makefile_runs_with_what_macos_has() -> None:
    text = (REPOSITORY / "Makefile").read_text("utf-8")
    assert found(LATER_THAN_MAKE_3_81 | NOT_IN_BSD, text) == []


def test_a_checkout_with_windows_line_ends_has_scripts_that_start(tmp_path: Path) -> None:
    """As Git for Windows checks out by default; pictures and archives are left as they are."""
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    names = [".gitattributes", "Makefile", "Dockerfile", ".ci/run", "container/run.flags", "docs/bench.png"]
    names += [str(script.relative_to(REPOSITORY)) for script in SCRIPTS]
    for name in names:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, origin / name)

    def git(*arguments: str | Path) -> None:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.autocrlf=true")
        subprocess.run(["git", *identity, *arguments], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q", origin)
    git("-C", origin, "add", "--all", "--force")
    git("-C", origin, "commit", "-q", "--no-verify", "-m", "all")
    git("clone", "-q", "-c", "core.autocrlf=true", origin, clone)
    for name in names:
        assert (clone / name).read_bytes() == (REPOSITORY / name).read_bytes(), name
    started = subprocess.run(
        [clone / "container/run.sh", "image:1", "--name", "a b"],
        env={**os.environ, "DOCKER": "echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    flags = (REPOSITORY / "container/run.flags").read_text("utf-8").splitlines()
    assert started.stdout.split() == ["run", *(flag for flag in flags if flag[0] != "#"), "--name", "a", "b", "image:1"]


def make(*arguments: str, text: str | None = None, **environment: str) -> str:
    """Return what `make` says."""
    # The tests may run under `make` themselves.
    others = ("HOST", "MODEL_DIR", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "SET_UP")
    kept = {name: value for name, value in os.environ.items() if name not in others}
    result = subprocess.run(
        ["make", *arguments],
        cwd=REPOSITORY,
        env=kept | environment,
        input=text,
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


@pytest.mark.parametrize(
    ("arguments", "host", "target"),
    [
        ((), "", "--serve"),
        ((), "x86_64-conda-linux-gnu", "--serve"),
        ((), "0.0.0.0", "--serve"),  # noqa: S104  # nothing is bound
        ((), "https://a.example", '--host "https://a.example"'),
        (("HOST=https://b.example",), "x86_64-conda-linux-gnu", '--host "https://b.example"'),
        (("HOST=b.example",), "", '--host "b.example"'),
    ],
)
def test_only_a_url_of_the_environment_is_a_target(arguments: tuple[str, ...], host: str, target: str) -> None:
    assert f"loadtest run {target} " in make("--dry-run", "loadtest", *arguments, HOST=host)


def test_packages_go_into_the_environment_of_the_checkout() -> None:
    """Whatever pip's variables and other Pythons of this machine say; where from, remains as they say."""
    harmful = {
        "PIP_USER": "1",
        "PIP_TARGET": "/x",
        "PIP_PREFIX": "/x",
        "PIP_ROOT": "/x",
        "PIP_PYTHON": "/x",
        "PIP_DRY_RUN": "1",
        "PIP_NO_BINARY": ":all:",
        "PYTHONHOME": "/x",
        "PYTHONPATH": "/x",
    }
    probe = "include Makefile\nprobe: ; @env\n"
    lines = make("-f", "-", "probe", text=probe, PIP_INDEX_URL="https://packages.example", **harmful).splitlines()
    seen = dict(line.split("=", 1) for line in lines if "=" in line)
    assert {name: seen[name] for name in harmful if name in seen} == {"PIP_USER": "0", "PIP_NO_BINARY": ":none:"}
    assert seen["PIP_INDEX_URL"] == "https://packages.example"


def test_two_pips_never_install_into_one_environment_at_once() -> None:
    """MAKEFLAGS=-j8 is in many profiles."""
    probe = "include Makefile\nprobe: one two\none: ; @sleep 0.2; echo one\ntwo: ; @echo two\n"
    assert make("-f", "-", "probe", text=probe, MAKEFLAGS="-j8").split() == ["one", "two"]
