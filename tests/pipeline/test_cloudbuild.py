"""The build configurations: valid to those who read them, and saying what they should. The steps are tested beside."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import images, import_ids, inputs, registries, settings, steps, temporary_access
from pipeline.checkout import StackLocation
from tests.conftest import REPOSITORY, missing
from tests.pipeline.test_gcloud import READER

FILES = FILE, FLEET_FILE, DOCS_FILE = tuple(
    REPOSITORY / name for name in ("cloudbuild.yaml", "cloudbuild-fleet.yaml", "cloudbuild-docs.yaml")
)
BUILDS = BUILD, FLEET_BUILD, DOCS_BUILD = tuple(yaml.safe_load(file.read_text("utf-8")) for file in FILES)
STEPS, FLEET_STEPS, DOCS_STEPS = ({step["id"]: step for step in build["steps"]} for build in BUILDS)
EACH = pytest.mark.parametrize("build", BUILDS, ids=[file.name for file in FILES])

WITH_IMAGE, WITHOUT_IMAGE = ("deploy", "preview"), ("renew", "drift", "promote", "rollback")

GCLOUD = "gcr.io/google.com/cloudsdktool/google-cloud-cli:slim"
DOCKER = "gcr.io/cloud-builders/docker:latest"
PYTHON = "${_MIRROR}library/python:3.11-bookworm"
PULUMI = "${_MIRROR}pulumi/pulumi"
# What Cloud Build itself fills in (https://cloud.google.com/build/docs/configuring-builds/substitute-variable-values).
BUILT_IN = {"BRANCH_NAME", "BUILD_ID", "COMMIT_SHA", "PROJECT_ID", "REPO_FULL_NAME"}


def command(step: dict[str, Any]) -> str:
    return " ".join([step["entrypoint"], *step["args"]])


def waits_for() -> dict[str, set[str]]:
    """Return all steps that have ended when a step begins; without `waitFor` those are all above it."""
    found: dict[str, set[str]] = {}
    for step in BUILD["steps"]:
        direct = step.get("waitFor", list(found))
        found[step["id"]] = {*direct, *(earlier for name in direct for earlier in found[name])}
    return found


def test_each_step_runs_the_script_or_module_of_its_name() -> None:
    for name, step in STEPS.items():
        script = f"bash pipeline/{name}.sh"
        assert command(step) in (
            script,
            f"{script} $_ACTION",
            f"python3 -m pipeline.{name}",
            f".venv/bin/python -m pipeline.{name}",
        )
        assert ("$_ACTION" in command(step)) == (name == "rollout")


def test_each_step_runs_in_an_image_with_the_programs_that_it_starts() -> None:
    """Docker's client; Python, for what needs an environment; gcloud, which brings a Python without one; Pulumi."""
    for name, step in STEPS.items():
        script = REPOSITORY / "pipeline" / f"{name}.sh"
        text = command(step) + (script.read_text("utf-8") if script.exists() else "")
        image = step["name"].partition("@")[0]
        if name == "rollout":
            assert image.startswith(f"{PULUMI}:3.")
        elif re.search(r"^\W*engine ", text, re.MULTILINE):
            assert image == DOCKER, name
        elif ".venv/bin/python" in text:
            assert image == PYTHON, name
        else:
            assert image == GCLOUD, name
    assert {step["name"].partition("@")[0] for step in BUILD["steps"]} >= {GCLOUD, DOCKER, PYTHON}


def test_tests_and_build_run_at_once_after_the_inputs_and_all_else_one_by_one_after_both() -> None:
    waits = waits_for()
    first, *_ = STEPS
    assert (first, waits["inputs"]) == ("inputs", set())
    assert waits["tests"] == waits["build"] == {"inputs"}
    later = [name for name in STEPS if name not in ("inputs", "tests", "build")]
    for index, name in enumerate(later):
        assert waits[name] == {"inputs", "tests", "build", *later[:index]}


def test_the_engine_that_deploys_is_the_one_that_the_program_was_tested_with() -> None:
    pinned = re.search(r"^pulumi==(\S+)", (REPOSITORY / "requirements" / "infra.txt").read_text(), re.MULTILINE)
    assert pinned
    assert STEPS["rollout"]["name"].partition("@")[0] == f"${{_MIRROR}}pulumi/pulumi:{pinned[1]}"


def test_what_is_done_without_a_new_image_is_done_by_the_same_steps() -> None:
    """But for what a pull request or an image gives them, and for the image's own steps."""
    for name, step in FLEET_STEPS.items():
        assert {**step, "env": None} == {**STEPS[name], "env": None}
    assert list(FLEET_STEPS) == ["inputs", "rollout"]
    for field in ("serviceAccount", "queueTtl", "tags"):
        assert FLEET_BUILD[field] == BUILD[field]
    assert set(FLEET_BUILD["options"]["env"]) < set(BUILD["options"]["env"])


def test_documents_are_tested_by_the_same_step_and_nothing_leaves_the_build() -> None:
    assert list(DOCS_STEPS) == ["tests"]
    assert {**DOCS_STEPS["tests"], "waitFor": ["inputs"]} == STEPS["tests"]
    for field in ("serviceAccount", "queueTtl", "tags"):
        assert DOCS_BUILD[field] == BUILD[field]
    assert set(DOCS_BUILD["options"]["env"]) < set(BUILD["options"]["env"])


def test_a_build_that_makes_no_image_promises_none() -> None:
    """Cloud Build ends with "failed to find one or more images after execution of build steps" otherwise."""
    assert "images" not in {**FLEET_BUILD, **DOCS_BUILD}
    assert "build" in STEPS
    assert BUILD["images"]


@pytest.mark.parametrize("build", [BUILD, FLEET_BUILD], ids=[FILE.name, FLEET_FILE.name])
def test_an_update_has_time_to_wait_and_to_go_there_and_back(build: dict[str, Any]) -> None:
    """A rollout waits for another to end, and the program refuses settings whose update takes more than an hour."""
    (rollout,) = (step for step in build["steps"] if step["id"] == "rollout")
    waits_sec = settings.Settings().lock_wait_sec
    assert int(rollout["timeout"].removesuffix("s")) >= waits_sec + (2 * 60 + 15) * 60


@EACH
def test_images_of_docker_hub_come_through_the_mirror_by_their_full_names(build: dict[str, Any]) -> None:
    for step in build["steps"]:
        host, path = registries.address(step["name"].removeprefix("${_MIRROR}").partition(":")[0])
        assert (host == "registry-1.docker.io") == step["name"].startswith("${_MIRROR}")
        assert path in step["name"]


@EACH
def test_every_script_that_a_step_runs_is_in_the_repository(build: dict[str, Any]) -> None:
    for step in build["steps"]:
        script = next(
            Path(word) if word.endswith(".sh") else Path(*word.split(".")).with_suffix(".py")
            for word in step["args"]
            if word.startswith("pipeline")
        )
        assert (REPOSITORY / script).is_file(), script


def used(value: Any) -> set[str]:
    """Return every substitution that occurs anywhere below `value`."""
    return set(re.findall(r"\$\{?([A-Z_][A-Z0-9_]*)", json.dumps(value)))


@EACH
def test_substitutions_that_are_used_are_declared_and_the_reverse(build: dict[str, Any]) -> None:
    body = {key: value for key, value in build.items() if key != "substitutions"}
    assert used(body) - BUILT_IN == set(build["substitutions"])


@pytest.mark.parametrize(
    ("build", "action"),
    [
        (BUILD, "deploy"),
        (BUILD, "preview"),
        *((FLEET_BUILD, name) for name in ("renew", "drift", "promote", "rollback")),
    ],
    ids=[*WITH_IMAGE, *WITHOUT_IMAGE],
)
def test_a_build_says_all_that_its_step_inputs_expects(build: dict[str, Any], action: str, tmp_path: Path) -> None:
    """But for the stack's own file, which is not in this folder."""
    given = {"_ACTION": action, "_REGION": "europe-west1", "PROJECT_ID": "my-project", "COMMIT_SHA": "0" * 40}
    values = {**build["substitutions"], **given}
    environment = dict(steps.substitute(text, values).split("=", 1) for text in build["options"]["env"])
    (mistake,) = inputs.mistakes(environment, tmp_path)
    assert mistake.startswith("Pulumi.dev.yaml is missing")


@EACH
def test_no_step_has_more_time_than_the_build(build: dict[str, Any]) -> None:
    def seconds(text: str) -> int:
        return int(text.removesuffix("s"))

    ends: dict[str, int] = {}
    before: list[str] = []
    for step in build["steps"]:
        began = max((ends[name] for name in step.get("waitFor", before)), default=0)
        ends[step["id"]] = began + seconds(step["timeout"])
        before = list(ends)
    assert max(ends.values()) <= seconds(build["timeout"]) <= 24 * 3600


def test_the_image_is_tested_before_it_leaves_the_machine() -> None:
    order = list(STEPS)
    assert order.index(steps.FIRST_PUBLISHING_STEP) > max(
        order.index(gate) for gate in ("tests", "start", "answers", "load", "contents")
    )
    assert order[-1] == "rollout"


@EACH
def test_logs_go_where_an_account_of_ones_own_may_write_them(build: dict[str, Any]) -> None:
    """With an account of one's own Cloud Build refuses builds without this option."""
    assert build["serviceAccount"]
    assert build["options"]["logging"] == "CLOUD_LOGGING_ONLY"


class Schema:
    """Google's own description of an interface, from its discovery document."""

    def __init__(self, name: str) -> None:
        document = files("googleapiclient") / "discovery_cache" / "documents" / name
        self.schemas: dict[str, Any] = json.loads(document.read_text("utf-8"))["schemas"]

    def mistakes(self, value: Any, kind: str) -> list[str]:
        return self._check(value, {"$ref": kind}, kind)

    def _check(self, value: Any, rule: dict[str, Any], path: str) -> list[str]:
        if "$ref" in rule:
            return self._check(value, self.schemas[rule["$ref"]], path)
        match rule["type"]:
            case "object":
                return self._object(value, rule, path)
            case "array":
                if not isinstance(value, list):
                    return [f"{path} is no list"]
                return [m for i, item in enumerate(value) for m in self._check(item, rule["items"], f"{path}[{i}]")]
            case "string":
                if not isinstance(value, str):
                    return [f"{path} is no text: {value!r}"]
                if "enum" in rule and value not in rule["enum"]:
                    return [f"{path} is {value!r}, none of {rule['enum']}"]
                if rule.get("format") == "google-duration" and not re.fullmatch(r"\d+(\.\d{1,9})?s", value):
                    return [f"{path} is {value!r}, no duration"]
                return []
            case other:
                wanted = {"boolean": bool, "integer": int, "number": float}[other]
                return [] if isinstance(value, wanted) else [f"{path} is {value!r}, no {other}"]

    def _object(self, value: Any, rule: dict[str, Any], path: str) -> list[str]:
        if not isinstance(value, dict):
            return [f"{path} is no object"]
        found = []
        for key, item in value.items():
            field = rule.get("properties", {}).get(key, rule.get("additionalProperties"))
            if field is None:
                found.append(f"{path}.{key} does not exist")
            elif field.get("readOnly") or field.get("description", "").startswith("Output only"):
                found.append(f"{path}.{key} is for Cloud Build to say")
            else:
                found += self._check(item, field, f"{path}.{key}")
        return found


@EACH
def test_it_is_a_build_by_googles_own_schema(build: dict[str, Any]) -> None:
    assert Schema("cloudbuild.v1.json").mistakes(build, "Build") == []


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"timeout": 3600}, "Build.timeout is no text: 3600"),
        ({"timeout": "1h"}, "Build.timeout is '1h', no duration"),
        ({"option": {}}, "Build.option does not exist"),
        ({"options": {"machineType": "E2_HUGE"}}, "Build.options.machineType is 'E2_HUGE', none of"),
        ({"steps": [{"name": "x", "arg": []}]}, "Build.steps[0].arg does not exist"),
        ({"steps": [{"name": "x", "args": "a b"}]}, "Build.steps[0].args is no list"),
        ({"id": "mine"}, "Build.id is for Cloud Build to say"),
    ],
)
def test_the_schema_finds(change: dict[str, Any], mistake: str) -> None:
    (found,) = Schema("cloudbuild.v1.json").mistakes({**BUILD, **change}, "Build")
    assert found.startswith(mistake)


# ---- gcloud itself

LOADER = """
import json, sys
from googlecloudsdk.api_lib.cloudbuild import cloudbuild_util, config
from apitools.base.py import encoding
messages = cloudbuild_util.GetMessagesModule()
build = config.LoadCloudbuildConfigFromPath(sys.argv[1], messages, params={"_REGION": "europe-west1"})
print(encoding.MessageToJson(build))
"""


def gcloud_root() -> Path:
    program = shutil.which("gcloud")
    if program is None:
        missing("gcloud is not installed: it comes from Google's own source of packages")
    return Path(program).resolve().parents[1]


def gcloud_python(root: Path) -> str:
    bundled = root / "platform" / "bundledpythonunix" / "bin" / "python3"
    return str(bundled) if bundled.exists() else "python3"


def gcloud_environment(root: Path) -> dict[str, str]:
    return {"PYTHONPATH": f"{root / 'lib'}:{root / 'lib' / 'third_party'}", "PATH": "/usr/bin:/bin"}


def load_with_gcloud(file: Path) -> subprocess.CompletedProcess[str]:
    root = gcloud_root()
    return subprocess.run(
        [gcloud_python(root), "-c", LOADER, file],
        env=gcloud_environment(root),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("file", "build"), list(zip(FILES, BUILDS, strict=True)), ids=[file.name for file in FILES])
def test_gcloud_itself_reads_it(file: Path, build: dict[str, Any]) -> None:
    result = load_with_gcloud(file)
    assert result.returncode == 0, result.stderr[-2000:]
    found = json.loads(result.stdout)
    assert [step["name"] for step in found["steps"]] == [step["name"] for step in build["steps"]]
    assert found["substitutions"] == {**build["substitutions"], "_REGION": "europe-west1"}
    assert found["options"]["env"] == build["options"]["env"]


def test_gcloud_refuses_a_misspelt_field(tmp_path: Path) -> None:
    """The test above can fail."""
    file = tmp_path / "cloudbuild.yaml"
    file.write_text(FILE.read_text().replace("waitFor:", "waitsFor:", 1))
    result = load_with_gcloud(file)
    assert result.returncode != 0
    assert "waitsFor" in result.stderr


def gcloud_commands() -> list[list[str]]:
    """Every form of command that a rollout gives to gcloud; test_gcloud.py has those that come before any."""
    policy = {"securityPolicy": "policy"}
    single = {"network": "net", "serviceAccount": "me@p.iam.gserviceaccount.com"}
    found = []
    for outputs in (policy, single):
        rule = temporary_access.rule(outputs, "dev", "203.0.113.7")
        found += [rule.create, [*rule.remove, "--quiet"]]
    group = ["group", "--region=europe-west1"]
    managed = ["compute", "instance-groups", "managed"]
    found += [[*managed, command, *group, "--format=json"] for command in ("describe", "list-instances")]
    found += [[*managed, "rolling-action", "start-update", *group, "--version=template=old", "--quiet"]]
    found += [["compute", "ssl-certificates", "list", "--global", "--format=json"]]
    found += [["certificate-manager", "certificates", "list", "--location=global", "--format=json"]]
    found += [["secrets", "versions", "access", "latest", "--secret=name"]]
    registry, other = (f"europe-west1-docker.pkg.dev/p/{name}" for name in ("r", "q"))
    image = f"{registry}/classifier@sha256:{'0' * 64}"
    found += [images.description(image)]
    found += [["artifacts", "docker", "images", "list", registry, "--format=json"]]
    found += [["container", "images", "add-tag", image, f"{other}/classifier:tag", "--quiet"]]
    values = {"zone": "europe-west1-b", "billingAccount": "012345-6789AB-CDEF01"}
    for kind in import_ids.RULES.values():
        if isinstance(kind, import_ids.ByTitle):
            words = [import_ids.fill(word, values, "my-project", "europe-west1") for word in kind.command]
            found += [[*words, "--format=json", "--quiet"]]
        elif isinstance(kind, import_ids.ById) and kind.removal:
            words = [import_ids.fill(word, values, "my-project", "europe-west1") for word in kind.removal]
            scope = [word for word in words if word.startswith("--")]
            found += [[*(word for word in words if word not in scope), "delete", "name", *scope, "--quiet"]]
    found = [[*command, "--project=my-project"] for command in found]
    lock = "gs://some-bucket/rollout/dev/lock.json"
    found += [["storage", "cat", f"{lock}#1"], ["storage", "objects", "describe", lock, "--format=value(generation)"]]
    found += [["storage", "cp", "object.json", lock, "--if-generation-match=0", "--quiet"]]
    found += [["storage", "rm", lock, "--if-generation-match=1", "--quiet"]]
    where = StackLocation("my-project", "europe-west1")
    return [*found, steps.submission({"_STACK": "dev", "COMMIT_SHA": "0" * 40}, where)[1:]]


def test_gcloud_knows_every_command_that_it_is_given(tmp_path: Path) -> None:
    """Arguments are read (2 where they are wrong) before credentials are looked for (1), of which a test has none."""
    root = gcloud_root()
    result = subprocess.run(
        [gcloud_python(root), "-c", READER],
        input=json.dumps([*gcloud_commands(), ["storage", "objects", "describe"]]),
        cwd=REPOSITORY,
        env={**gcloud_environment(root), "CLOUDSDK_CONFIG": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    *codes, last = json.loads(result.stdout.rpartition("codes ")[2])
    unknown = [command for command, code in zip(gcloud_commands(), codes, strict=True) if code != 1]
    assert unknown == [], result.stderr
    assert result.stderr.count("do not currently have an active account") == len(codes)
    assert last == 2, "the test can fail"
