"""The engine itself, on a program with one of everything (sample/)."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from tests.infra import sdk
from tests.infra.deployment import UNKNOWN, Deployment, changes, values
from tests.infra.engine import Engine, ProgramHung

SAMPLE = Path(__file__).with_name("sample")
TOKEN = "hunter2"  # noqa: S105  # a secret for the engine to notice


def run(engine: Engine, *, fault: str = "", machine: str = "e2-medium", **options: Any) -> Deployment:
    config = {"sample:machineType": machine, "sample:token": TOKEN} | ({"sample:fault": fault} if fault else {})
    return engine.run(SAMPLE, config, project="sample", stack="dev", secret_keys=("sample:token",), **options)


@pytest.fixture(scope="module")
def update(engine: Engine) -> Deployment:
    return run(engine)


@pytest.fixture(scope="module")
def preview(engine: Engine) -> Deployment:
    return run(engine, preview=True)


def test_a_run_ends_well_and_says_nothing_by_other_ways(update: Deployment, preview: Deployment) -> None:
    for deployment in (update, preview):
        assert deployment.exit_code == 0, deployment.messages
        assert deployment.stderr == deployment.stdout == ""
        assert deployment.said("info") == ["registered"]


def test_types_and_names_and_parents_are_seen(update: Deployment) -> None:
    assert [(r.kind, r.name) for r in update.resources if not r.custom] == [
        ("pulumi:pulumi:Stack", "sample-dev"), ("sample:index:Pair", "pair"),
    ]  # fmt: skip
    network = update.one("compute.Network")
    assert network.urn == "urn:pulumi:dev::sample::sample:index:Pair$gcp:compute/network:Network::pair-network"
    assert update.by_urn[network.parent].name == "pair"


def test_options_are_seen(update: Deployment) -> None:
    assert update.one("compute.Network").options == {"protect": True}
    assert update.one("compute.Subnetwork").options == {"deleteBeforeReplace": True}


def test_dependencies_are_seen_each_with_its_property(update: Deployment) -> None:
    template, account = update.one("compute.InstanceTemplate"), update.one("serviceaccount.Account")
    subnetwork = update.one("compute.Subnetwork")
    assert template.dependencies == {account.urn, subnetwork.urn}
    assert template.property_dependencies == {
        "metadata": {account.urn}, "serviceAccount": {account.urn}, "networkInterfaces": {subnetwork.urn},
    }  # fmt: skip
    assert update.upstream(template) == {account.urn, subnetwork.urn, update.one("compute.Network").urn}


def test_secrets_are_seen_as_such(update: Deployment) -> None:
    assert update.one("compute.InstanceTemplate").secrets == {"metadata.token"}
    assert update.output_secrets == {"secret"}
    assert update.outputs["secret"] == TOKEN


def test_a_preview_knows_what_the_program_knows_and_nothing_more(update: Deployment, preview: Deployment) -> None:
    template = preview.one("compute.InstanceTemplate")
    assert template.inputs["machineType"] == "e2-medium"
    assert template.inputs["metadata"] == {"user": UNKNOWN, "token": TOKEN}
    assert values(template.inputs, "networkInterfaces[].subnetwork") == [UNKNOWN]
    assert preview.outputs["account"] is UNKNOWN
    assert preview.outputs["zones"] == update.outputs["zones"] == [f"europe-west4-{zone}" for zone in "abc"]
    assert preview.by_urn.keys() == update.by_urn.keys()


def test_an_update_knows_what_google_answers(update: Deployment) -> None:
    email = "sample-account@some-project.iam.gserviceaccount.com"
    assert update.outputs["account"] == email
    assert update.one("compute.InstanceTemplate").inputs["metadata"]["user"] == email.upper()
    assert update.referenced(update.one("compute.Subnetwork"), "network").kind == "compute.Network"


def test_a_second_run_differs_only_where_the_configuration_does(engine: Engine, update: Deployment) -> None:
    assert changes(update, run(engine)) == {}
    bigger = run(engine, machine="e2-standard-2")
    assert changes(update, bigger) == {"compute.InstanceTemplate 'template'": {"machineType"}}
    old, new = (deployment.one("compute.InstanceTemplate").outputs for deployment in (update, bigger))
    assert old["selfLink"] != new["selfLink"], "a template cannot change, so a changed one is another one"


def test_a_program_that_refuses_its_configuration_ends_in_one_message(engine: Engine) -> None:
    deployment = run(engine, fault="configuration")
    assert deployment.exit_code == 1
    assert deployment.said("error") == ["size is 0: expected 1 or more."]
    assert [r.type for r in deployment.resources] == ["pulumi:pulumi:Stack"]


def test_a_crash_is_told_from_a_refusal(engine: Engine) -> None:
    deployment = run(engine, fault="exception")
    assert deployment.exit_code == 32
    assert "ZeroDivisionError" in deployment.said("error")[0]


def test_a_program_that_waits_for_ever_is_ended(engine: Engine) -> None:
    with pytest.raises(ProgramHung, match="ended by signal 14"):
        run(engine, fault="hang", timeout_sec=1)


def test_what_the_real_engine_refuses_is_refused(engine: Engine) -> None:
    twins = run(engine, fault="duplicate")
    assert twins.exit_code
    assert "Duplicate resource URN" in twins.said("error")[0]
    lookup = run(engine, fault="lookup")
    assert lookup.exit_code
    assert "no answer for gcp:compute/getImage:getImage" in lookup.said("error")[0]


def test_the_program_sees_nothing_of_the_tests(update: Deployment) -> None:
    """The real host runs it in its own directory, with neither the repository nor tests/ on the module path."""
    paths = update.outputs["modulePath"]
    assert paths[0] == "."
    repository = str(SAMPLE.parents[2])
    assert not [path for path in paths[1:] if path.startswith(repository) and "site-packages" not in path]


def test_inputs_that_dictionaries_let_pass_are_found(engine: Engine, update: Deployment) -> None:
    assert [mistake for r in update.custom for mistake in sdk.input_mistakes(r)] == []
    deployment = run(engine, fault="dictionary")
    assert deployment.exit_code == 0, "neither the SDK nor the engine objects"
    firewall = deployment.one("compute.Firewall")
    assert sorted(sdk.input_mistakes(firewall)) == [
        "compute.Firewall 'firewall'.allows[0].portz: FirewallAllowArgs has no such argument",
        "compute.Firewall 'firewall'.allows[0].protocol: FirewallAllowArgs requires it",
    ]
    wrong = {"network": "n", "priority": "1", "description": 2, "sourceRanges": [{}], "disabled": 1, "allows": "tcp"}
    assert sorted(sdk.input_mistakes(dataclasses.replace(firewall, inputs=wrong))) == [
        "compute.Firewall 'firewall'.allows: 'tcp' is no list",
        "compute.Firewall 'firewall'.description: 2 is no str",
        "compute.Firewall 'firewall'.disabled: 1 is no bool",
        "compute.Firewall 'firewall'.priority: '1' is no int",
        "compute.Firewall 'firewall'.sourceRanges[0]: {} is no str",
    ]
