"""gcloud: what its refusals mean, and that it knows every command that bootstrap, APIs and preflight give it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from pipeline import apis, bootstrap, gcloud, preflight
from pipeline.bootstrap_request import read
from pipeline.commands import Result
from pipeline.provision import Provisioner
from tests.conftest import REPOSITORY, missing
from tests.docs.documents import PAGES
from tests.pipeline.google import DENIED, NO_BILLING, NOT_YET, Google

EVERYTHING = Settings(
    "dev",
    "my-project",
    "europe-west1",
    allowlist=("203.0.113.7/32",),
    https=True,
    domains=("classify.example.com",),
    billing_account="012345-6789AB-CDEF01",
)


@pytest.mark.parametrize("said", [NOT_YET, "reason: SERVICE_DISABLED", "Error 403: ..., accessNotConfigured"])
def test_an_api_that_is_off_says_so(said: str) -> None:
    assert gcloud.is_off(Result(1, "", said))
    assert not gcloud.is_off(Result(0, said, ""))


@pytest.mark.parametrize("said", [DENIED, NO_BILLING, "ERROR: not found"])
def test_another_refusal_is_no_api_that_is_off(said: str) -> None:
    assert not gcloud.is_off(Result(1, "", said))


# They ask a person, and read nothing that could be wrong.
_SIGNING_IN = {
    ("auth", "login"),
    ("auth", "application-default", "login"),
    ("auth", "configure-docker", "us-central1-docker.pkg.dev"),
}


def commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[tuple[str, ...]]:
    """Return every command: those of a first bootstrap with a pipeline, all questions, and those of the documents."""
    google = Google()
    google.say("describe", err="ERROR: NOT_FOUND\n")
    google.say("--format=value(projectNumber)", out="123")
    google.say("connections", "describe", out={"installationState": {"stage": "COMPLETE"}})
    google.say("connections", "describe", err="ERROR: NOT_FOUND\n", times=1)
    request = read(["--pipeline"], {"PROJECT": EVERYTHING.project, "REGION": EVERYTHING.region}, tmp_path)
    bootstrap.make(request, Provisioner(EVERYTHING.project, look=google, change=google))
    google.say("account", out="me@example.com")
    for settings in (EVERYTHING, replace(EVERYTHING, topology="single")):
        preflight.look(settings, {}, google, lambda *_: [])
    capsys.readouterr()
    documented = [command.words for page in PAGES for command in page.commands]
    found = [*google.calls, *apis.harmless_commands(EVERYTHING).values(), *documented]
    return sorted({tuple(command[1:]) for command in found if command[0] == "gcloud"} - _SIGNING_IN)


# One process for all commands: starting gcloud takes longer than reading a command.
READER = """
import json, os, sys
from googlecloudsdk import gcloud_main
answer = os.dup(1)  # some commands close standard output when they are done
cli = gcloud_main.CreateCLI([])
codes = []
for command in json.load(sys.stdin):
    try:
        cli.Execute(command)
        codes.append(0)
    except SystemExit as end:
        codes.append(end.code)
os.write(answer, ("codes " + json.dumps(codes)).encode())
os._exit(0)
"""


def test_gcloud_knows_every_command_that_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Arguments are read (2 where they are wrong) before credentials are looked for (1), of which a test has none."""
    program = shutil.which("gcloud")
    if program is None:
        missing("gcloud is not installed: it comes from Google's own source of packages")
    root = Path(program).resolve().parents[1]
    bundled = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    given = commands(tmp_path, capsys)
    assert len(given) > 35
    result = subprocess.run(
        [bundled if bundled.exists() else "python3", "-c", READER],
        input=json.dumps([*given, ["projects", "describe"]]),
        cwd=REPOSITORY,
        env={
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": f"{root / 'lib'}:{root / 'lib' / 'third_party'}",
            "CLOUDSDK_CONFIG": str(tmp_path),
            "HOME": str(tmp_path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    codes = json.loads(result.stdout.rpartition("codes ")[2])
    # Which account is signed in is asked of gcloud's own settings.
    unknown = [command for command, code in zip(given, codes, strict=False) if code not in (1, 0)]
    assert unknown == [], result.stderr
    nobody = r"do not currently have an active account|impersonation support is not available"
    assert len(re.findall(nobody, result.stderr)) == codes.count(1)
    assert codes[-1] == 2, "the test can fail"
