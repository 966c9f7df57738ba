"""Who builds, and what each may do: the stack's pipeline, as the engine sees it being registered."""

from __future__ import annotations

import re
from typing import Any

import pytest

from infra import names
from pipeline import releases
from tests.infra.cloud import PROJECT, REGION
from tests.infra.conftest import Deployed, deployed, engine  # noqa: F401  # fixtures
from tests.infra.deployment import Deployment, values
from tests.infra.stacks import STACKS, deploy
from tests.pipeline.test_cloudbuild import BUILD, BUILDS, FILES

DEPLOYER = f"serviceAccount:pipeline-dev@{PROJECT}.iam.gserviceaccount.com"
PREVIEWER = f"serviceAccount:preview-dev@{PROJECT}.iam.gserviceaccount.com"


@pytest.fixture(scope="module")
def pipeline(deployed: Deployed) -> Deployment:  # noqa: F811  # the fixture above
    return deployed("pipeline")


def roles(deployment: Deployment, member: str) -> set[tuple[str, str]]:
    """Return everything that a member is granted: on which kind of thing, which role."""
    return {
        (resource.kind.partition(".")[0], resource.inputs["role"].removeprefix("roles/"))
        for resource in deployment.custom
        if resource.inputs.get("member") == member
    }


def test_the_deployer_may_exactly_this(pipeline: Deployment) -> None:
    assert roles(pipeline, DEPLOYER) == {
        ("projects", "compute.instanceAdmin.v1"),
        ("projects", "compute.loadBalancerAdmin"),
        ("projects", "compute.securityAdmin"),
        ("projects", "logging.logWriter"),
        ("projects", "monitoring.alertPolicyEditor"),
        ("projects", "monitoring.dashboardEditor"),
        ("projects", "monitoring.notificationChannelEditor"),
        ("projects", "monitoring.uptimeCheckConfigEditor"),
        ("storage", "storage.legacyBucketReader"),
        ("storage", "storage.objectUser"),
        ("storage", "storage.objectViewer"),
        ("kms", "cloudkms.cryptoKeyDecrypter"),
        ("artifactregistry", "artifactregistry.writer"),
        ("serviceaccount", "iam.serviceAccountUser"),
    }


def test_a_pull_request_may_exactly_this(pipeline: Deployment) -> None:
    """Whoever opens one chooses what its build runs: it reads, and writes only where no machine looks."""
    assert roles(pipeline, PREVIEWER) == {
        ("projects", "compute.viewer"),
        ("projects", "logging.logWriter"),
        ("storage", "storage.legacyBucketReader"),
        ("storage", "storage.objectViewer"),
        ("kms", "cloudkms.cryptoKeyDecrypter"),
        ("artifactregistry", "artifactregistry.reader"),
        ("artifactregistry", "artifactregistry.writer"),
        ("secretmanager", "secretmanager.secretAccessor"),
    }
    (writes,) = (
        resource.inputs["repository"]
        for resource in pipeline.of("artifactregistry.RepositoryIamMember")
        if resource.inputs["member"] == PREVIEWER and resource.inputs["role"].endswith("writer")
    )
    assert writes == "classifier-dev-pull-requests"


def test_a_deployer_uses_the_machines_account_and_no_other(pipeline: Deployment) -> None:
    (grant,) = pipeline.of("serviceaccount.IAMMember")
    template = pipeline.of("compute.InstanceTemplate")[0]
    assert grant.inputs["serviceAccountId"].endswith("/" + values(template.inputs, "serviceAccount.email")[0])


def test_machines_cannot_read_what_pull_requests_push(pipeline: Deployment) -> None:
    readers = [
        resource.inputs["member"]
        for resource in pipeline.of("artifactregistry.RepositoryIamMember")
        if resource.inputs["repository"].endswith("-pull-requests")
    ]
    assert readers == [PREVIEWER]


def test_the_state_is_where_bootstrap_put_it(pipeline: Deployment) -> None:
    assert {grant.inputs["bucket"] for grant in pipeline.of("storage.BucketIAMMember")} == {f"{PROJECT}-pulumi-state"}
    key = f"projects/{PROJECT}/locations/{REGION}/keyRings/pulumi/cryptoKeys/state-dev"
    assert {grant.inputs["cryptoKeyId"] for grant in pipeline.of("kms.CryptoKeyIAMMember")} == {key}


def test_a_build_writes_its_own_stacks_objects_only(pipeline: Deployment) -> None:
    """Among them the lock and the record of releases, which lie beside Pulumi's own."""
    (writes,) = (
        grant.inputs["condition"]["expression"]
        for grant in pipeline.of("storage.BucketIAMMember")
        if grant.inputs["role"] == "roles/storage.objectUser"
    )
    bucket = f"projects/_/buckets/{PROJECT}-pulumi-state/objects/"
    prefixes = re.findall(r'resource\.name\.startsWith\("([^"]+)"\)', writes)
    assert all(prefix.startswith(bucket) and "dev" in prefix for prefix in prefixes)
    for name in (names.rollout_lock("dev"), releases.object_name("dev")):
        assert any((bucket + name).startswith(prefix) for prefix in prefixes), name
    assert not any((bucket + names.rollout_lock("prod")).startswith(prefix) for prefix in prefixes)


def triggers(deployment: Deployment) -> dict[str, dict[str, Any]]:
    """Return what each trigger was given by what its build does."""
    return {
        trigger.inputs["substitutions"].get("_ACTION", "test"): trigger.inputs
        for trigger in deployment.of("cloudbuild.Trigger")
    }


def test_pushes_are_deployed_and_pull_requests_previewed(pipeline: Deployment) -> None:
    found = triggers(pipeline)
    assert set(found) == {"deploy", "preview", "test", "renew", "drift"}
    assert found["deploy"]["repositoryEventConfig"]["push"] == {"branch": "^main$"}
    assert found["preview"]["repositoryEventConfig"]["pullRequest"] == {
        "branch": "^main$",
        "commentControl": "COMMENTS_ENABLED_FOR_EXTERNAL_CONTRIBUTORS_ONLY",
    }
    for action in ("deploy", "preview"):
        assert found[action]["filename"] == "cloudbuild.yaml"


def test_every_push_to_the_branch_is_tested_and_documents_alone_deploy_nothing(pipeline: Deployment) -> None:
    """They are under test: a push of them that nobody tested would fail in the next person's build."""
    deploys, tests = (triggers(pipeline)[action] for action in ("deploy", "test"))
    assert tests["repositoryEventConfig"] == deploys["repositoryEventConfig"]
    assert tests["includedFiles"] == deploys["ignoredFiles"] == ["docs/**", "**/*.md"]
    assert "ignoredFiles" not in tests
    assert "includedFiles" not in deploys
    assert tests["filename"] == "cloudbuild-docs.yaml"
    assert tests["serviceAccount"].endswith(PREVIEWER.removeprefix("serviceAccount:"))


def test_what_is_done_by_the_calendar_makes_no_image(pipeline: Deployment) -> None:
    for action in ("renew", "drift"):
        assert triggers(pipeline)[action]["gitFileSource"]["path"] == "cloudbuild-fleet.yaml"


def test_each_trigger_builds_as_the_account_that_cloudbuild_yaml_names(pipeline: Deployment) -> None:
    """Two different answers to who builds would be one too many."""
    for action, kind in (("deploy", "pipeline"), ("preview", "preview"), ("test", "preview")):
        inputs = triggers(pipeline)[action]
        named = BUILD["serviceAccount"].replace("$_ACCOUNT", inputs["substitutions"]["_ACCOUNT"])
        assert named.replace("$PROJECT_ID", PROJECT) == inputs["serviceAccount"]
        assert f"/{kind}-dev@" in inputs["serviceAccount"]


def test_triggers_set_what_must_be_given_and_nothing_that_is_not_declared(pipeline: Deployment) -> None:
    builds = {file.name: build for file, build in zip(FILES, BUILDS, strict=True)}
    optional = {"_ARCH", "_COMMENT_SECRET", "_IMAGE", "_MIRROR", "_PR_NUMBER"}
    for inputs in triggers(pipeline).values():
        declared = builds[inputs.get("filename") or inputs["gitFileSource"]["path"]]["substitutions"]
        required = {name for name, default in declared.items() if not default}
        assert set(inputs["substitutions"]) <= set(declared)
        assert required - optional <= set(inputs["substitutions"])


def test_a_pull_request_pushes_to_a_repository_of_its_own(pipeline: Deployment) -> None:
    found = triggers(pipeline)
    repositories = {resource.inputs["repositoryId"] for resource in pipeline.of("artifactregistry.Repository")}
    assert found["deploy"]["substitutions"]["_REPOSITORY"] == "classifier-dev"
    assert found["preview"]["substitutions"]["_REPOSITORY"] == "classifier-dev-pull-requests"
    assert repositories == {"classifier-dev", "classifier-dev-pull-requests"}


def test_no_build_starts_before_its_account_may_build(pipeline: Deployment) -> None:
    grants = {resource.urn for resource in pipeline.custom if resource.inputs.get("member") in (DEPLOYER, PREVIEWER)}
    assert len(grants) == 22
    for trigger in pipeline.of("cloudbuild.Trigger"):
        assert grants <= pipeline.upstream(trigger)


def test_the_connection_can_read_its_token(pipeline: Deployment) -> None:
    connection = pipeline.one("cloudbuildv2.Connection")
    (reads,) = (
        resource
        for resource in pipeline.of("secretmanager.SecretIamMember")
        if resource.inputs["secretId"] == "github-token"
    )
    assert reads.inputs["member"].endswith("@gcp-sa-cloudbuild.iam.gserviceaccount.com")
    assert reads.urn in pipeline.upstream(connection)
    repository = pipeline.one("cloudbuildv2.Repository")
    assert repository.inputs["remoteUri"] == "https://github.com/team/classifier.git"
    assert repository.inputs["parentConnection"] == connection.outputs["name"]


def test_a_connection_that_a_person_made_is_used(engine: Any) -> None:  # noqa: F811  # the fixture above
    found = deploy(engine, STACKS["pipeline"], githubInstallation=0, githubTokenSecret="", connection="ours")
    assert found.exit_code == 0, found.stderr
    assert found.of("cloudbuildv2.Connection") == []
    assert found.one("cloudbuildv2.Repository").inputs["parentConnection"] == "ours"


def test_without_it_there_is_no_pipeline(deployed: Deployed) -> None:  # noqa: F811  # the fixture above
    found = deployed("dev")
    assert [resource for resource in found.custom if resource.kind.startswith("cloudbuild")] == []
    assert {resource.inputs["accountId"] for resource in found.of("serviceaccount.Account")} == {"classifier-dev"}


def test_the_foundations_include_the_pipeline(engine: Any) -> None:  # noqa: F811  # the fixture above
    """The first build needs its account before there is an image."""
    found = deploy(engine, STACKS["pipeline"], image="")
    assert found.exit_code == 0, found.stderr
    assert len(found.of("cloudbuild.Trigger")) == 5


def test_a_builds_access_is_behind_googles_rules_and_before_the_allowlist(deployed: Deployed) -> None:  # noqa: F811
    """Before these it would let a build's address past them; after those it would be throttled."""
    rules = deployed("everything").one("compute.SecurityPolicy").inputs["rules"]
    googles = [rule["priority"] for rule in rules if "expr" in rule["match"]]
    allowlist = [rule["priority"] for rule in rules if rule["action"] == "throttle"]
    assert max(googles) < names.TEMPORARY_ACCESS_PRIORITY < min(allowlist)


@pytest.mark.parametrize("stack", ["dev", "single"])
def test_a_stack_says_what_a_builds_access_needs(stack: str, deployed: Deployed) -> None:  # noqa: F811
    outputs = deployed(stack).outputs
    assert outputs["network"]
    assert outputs["serviceAccount"]
    assert bool(outputs.get("securityPolicy")) == (stack == "dev")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"pipeline": False}, "repository is 'team/classifier' and pipeline is false"),
        ({"repository": "https://github.com/team/classifier"}, "write OWNER/NAME"),
        ({"branch": "^main$"}, "branch is '^main$': write the name of one branch"),
        ({"commentSecret": "ghp_x/y"}, "write the name of a secret in Secret Manager, never the secret itself"),
        ({"githubTokenSecret": ""}, "githubInstallation is 42 and githubTokenSecret is not set"),
    ],
)
def test_a_wrong_setting_is_one_sentence(more: dict[str, Any], sentence: str, engine: Any) -> None:  # noqa: F811
    found = deploy(engine, STACKS["pipeline"], **more)
    assert found.exit_code != 0
    assert found.custom == ()
    assert sentence in found.stderr + found.stdout + "".join(found.said("error"))
