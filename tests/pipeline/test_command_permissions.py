"""Whatever a build asks gcloud for, its account may do: each command of the modules that builds run, and its role."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from infra import pipeline as accounts
from tests.conftest import REPOSITORY

# Modules that run with a person's own rights; a build that was killed leaves no foundation to be imported.
BY_A_PERSON = {
    "import_ids",
    "apis",
    "bootstrap",
    "bootstrap_request",
    "by_hand",
    "connection",
    "promote",
    "provision",
    "steps",
}
# What each command needs, of the roles that a build's account has: in the project, on the state's bucket, on the
# repository of images, on the secret (Google: "IAM roles and permissions index").
NEEDS = {
    ("artifacts", "versions"): "roles/artifactregistry.writer",
    ("certificate-manager", "certificates"): "roles/compute.loadBalancerAdmin or said and passed over",
    ("compute", "firewall-rules"): "roles/compute.securityAdmin",
    ("compute", "instance-groups"): "roles/compute.instanceAdmin.v1",
    ("compute", "security-policies"): "roles/compute.securityAdmin",
    ("compute", "ssl-certificates"): "roles/compute.loadBalancerAdmin",
    ("secrets", "versions"): "roles/secretmanager.secretAccessor",
    ("storage", "cat"): "roles/storage.objectUser",
    ("storage", "cp"): "roles/storage.objectUser",
    ("storage", "objects"): "roles/storage.objectUser",
    ("storage", "ls"): "roles/storage.legacyBucketReader",
    ("storage", "rm"): "roles/storage.objectUser",
}


def commands() -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield (module, the first two words) of every list that begins with gcloud, or is handed to it."""
    for file in sorted((REPOSITORY / "pipeline").glob("*.py")):
        if file.stem in BY_A_PERSON:
            continue
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.List | ast.Tuple):
                constants = [str(item.value) for item in node.elts if isinstance(item, ast.Constant)]
                words = [word for word in constants if word != "gcloud"]
                groups = {word for word, _ in NEEDS}
                if len(words) >= 2 and words[0] in groups:
                    yield file.stem, (words[0], words[1])


@pytest.mark.parametrize(("module", "command"), sorted(set(commands())), ids=str)
def test_a_build_may_do_what_it_asks_gcloud_for(module: str, command: tuple[str, str]) -> None:
    assert command in NEEDS, f"{module} runs `gcloud {' '.join(command)}`: which role of the build's account allows it?"


def test_the_commands_are_found() -> None:
    found = {command for _, command in commands()}
    assert found >= {("compute", "instance-groups"), ("compute", "security-policies"), ("storage", "cp")}


def test_the_accounts_have_the_roles() -> None:
    """Those in the project; the others are granted on the bucket, the repository and the secret (test_accounts.py)."""
    in_the_project = {role for role in NEEDS.values() if role.startswith("roles/compute.") and " " not in role}
    assert in_the_project <= set(accounts.DEPLOYER_ROLES)
