from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from infra import container
from infra.configuration import SettingError, from_config
from infra.plans import plans
from infra.settings import Settings
from tests.conftest import REPOSITORY

DIGEST = "us-central1-docker.pkg.dev/my-project/classifier-dev/classifier@sha256:" + "0" * 64
LEAST = {"allowlist": ["203.0.113.0/24"]}


def settings(stack: str = "dev", project: str = "my-project", region: str = "us-central1", **config: Any) -> Settings:
    """Return settings from configuration values as Pulumi hands them over: text, or JSON for lists."""
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in {**LEAST, **config}.items()}
    return from_config(values, stack=stack, project=project, region=region)


def mistakes(**config: Any) -> list[str]:
    with pytest.raises(SettingError) as caught:
        settings(**config)
    return str(caught.value).splitlines()


def test_project_region_and_allowlist_are_all_that_a_person_must_set() -> None:
    found = settings()
    assert (found.topology, found.machine_type, found.image) == ("fleet", "e2-medium", "")
    assert [(plan.name, plan.min_size, plan.max_size) for plan in plans(found)] == [("spot", 1, 3)]
    with pytest.raises(SettingError) as nothing:
        from_config({}, stack="dev", project="", region="")
    assert [line.split(" ")[0] for line in str(nothing.value).splitlines()] == [
        "gcp:project",
        "gcp:region",
        "allowlist",
    ]


# What was configured -> how its one sentence begins, and a part of its remedy.
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"project": "example.com:my-project"}, "gcp:project is 'example.com:my-project'", "without a domain."),
    ({"project": "12345678"}, "gcp:project is '12345678'", "expected a project's id"),
    ({"region": "us-central1-a"}, "gcp:region is 'us-central1-a', which is a zone", "write its region, us-central1."),
    ({"region": "Iowa"}, "gcp:region is 'Iowa'", "such as us-central1"),
    ({"stack": "My_Stack"}, "The stack's name is 'My_Stack'", "at most 19 lower-case letters"),
    ({"stack": "a" * 20}, "The stack's name is", "at most 19"),
    ({"alowlist": []}, "alowlist is no setting", "did you mean allowlist?"),
    ({"colour": "red"}, "colour is no setting", "Pulumi.yaml lists"),
    ({"topology": "mesh"}, "topology is 'mesh'", "expected one of fleet, single."),
    ({"spotMin": "few"}, "spotMin is 'few'", "expected a whole number from 0 to 1000."),
    ({"https": "yes"}, "https is 'yes'", "expected true or false."),
    ({"domains": "a.example.com"}, "domains is 'a.example.com'", "expected a list of texts."),
    ({"zones": [1]}, "zones is '[1]'", "expected a list of texts."),
    # The allowlist fails closed.
    ({"allowlist": []}, "allowlist is empty and nobody could use the service", "pulumi config set --path"),
    ({"allowlist": ["0.0.0.0/0"]}, "allowlist holds '0.0.0.0/0', which is everybody", "iapMembers"),
    ({"allowlist": ["::/0"]}, "allowlist holds '::/0', which is everybody", "iapMembers"),
    ({"allowlist": ["203.0.113.300/32"]}, "allowlist holds '203.0.113.300/32'", "such as 203.0.113.0/24"),
    ({"allowlist": ["office"]}, "allowlist holds 'office'", "expected an address range"),
    ({"allowlist": ["203.0.113.7"]}, "allowlist holds '203.0.113.7' without", "write 203.0.113.7/32."),
    ({"allowlist": ["203.0.113.7/24"]}, "allowlist holds '203.0.113.7/24', which has bits", "write 203.0.113.0/24"),
    ({"allowlist": ["10.0.0.0/8"]}, "allowlist holds '10.0.0.0/8', a range that never comes", "public address"),
    ({"allowlist": ["100.64.1.0/24"]}, "allowlist holds '100.64.1.0/24', a range that never comes", "public address"),
    ({"allowlist": ["fd7a::/16"]}, "allowlist holds 'fd7a::/16', a range that never comes", "public address"),
    ({"allowlist": ["203.0.113.0/24"] * 2}, "allowlist holds '203.0.113.0/24' 2 times", "once is enough"),
    ({"allowlist": ["2001:db8::/32"], "topology": "single"}, "allowlist holds '2001:db8::/32' and", "write an IPv4"),
    # What runs is what was tested.
    ({"image": DIGEST.split("@", maxsplit=1)[0] + ":latest"}, "image is", "since a tag can move"),
    ({"image": DIGEST[:-1]}, "image is", "expected a digest"),
    ({"image": DIGEST.replace("classifier-dev", "classifier-prod")}, "image is in", "push it there"),
    # Machines.
    ({"machineType": "large"}, "machineType 'large' is no machine type", "t2d-standard-2"),
    ({"machineType": "x9-standard-2"}, "machineType 'x9-standard-2' is of an unknown series", "choose one of e2"),
    ({"machineType": "t2d-highmem-2"}, "machineType 't2d-highmem-2' does not exist", "choose t2d-standard-2."),
    ({"machineType": "e2-standard-3"}, "machineType 'e2-standard-3' cannot have 3 CPUs", "even number"),
    ({"machineType": "c4a-standard-2"}, "machineType 'c4a-standard-2' is an Arm machine", "choose t2d"),
    ({"machineType": "e2-micro"}, "machineType 'e2-micro' has 1 GB", "such as e2-small"),
    ({"machineType": "c4-standard-2"}, "diskType 'pd-balanced' does not fit", "write hyperdisk-balanced."),
    ({"diskType": "hyperdisk-balanced"}, "diskType 'hyperdisk-balanced' does not fit", "write pd-balanced."),
    ({"diskGb": "5"}, "diskGb is '5'", "from 10"),
    ({"machineImage": "cos-stable"}, "machineImage is 'cos-stable'", "projects/PROJECT"),
    ({"zones": ["europe-west1-b"]}, "zones holds 'europe-west1-b'", "expected a zone of us-central1"),
    ({"zones": ["us-central1-a"] * 2}, "zones holds a zone twice", "name each once"),
    ({"spotMin": 4, "spotMax": 3}, "spotMin is 4, above spotMax, which is 3", "lower the one"),
    ({"onDemandMin": 1}, "onDemandMin is 1, above onDemandMax, which is 0", "raise the other"),
    ({"onDemandMax": 3}, "onDemandMin is 0 with onDemandMax 3", "set onDemandMin to 1"),
    ({"spotMax": 0}, "spotMax and onDemandMax are both 0", "set one of them"),
    ({"maxSurge": 2}, "maxSurge is 2, below the 3 zones", "set it to 3 or more"),
    ({"subnetRange": "10.10.0.0/33"}, "subnetRange is '10.10.0.0/33'", "such as 10.10.0.0/20"),
    ({"subnetRange": "8.8.0.0/20"}, "subnetRange is '8.8.0.0/20', which is public", "10.0.0.0/8"),
    ({"subnetRange": "10.10.0.0/29"}, "subnetRange is '10.10.0.0/29' with room for 4", "needs 6"),
    # Time.
    ({"drainSec": 18}, "drainSec is 18 and requestTimeoutSec 10, and a Spot machine ends 30 s", "27 at most"),
    ({"drainSec": 8}, "drainSec is 8 and the balancer needs up to 8 s", "set it to 9 or more"),
    ({"rateFile": "no/such.json"}, "rateFile is 'no/such.json' and cannot be read", "python -m loadtest rate"),
    ({"spotMax": 400, "maxSurge": 3}, "maxSurge is 3, with which spot's 400 machines need some 402 minutes", "to 20"),
    ({"refreshed": "yesterday"}, "refreshed is 'yesterday'", "such as 2026-11-30"),
    # The balancer.
    ({"https": "true"}, "https is true and domains is empty", "domains[0]"),
    ({"domains": ["a.example.com"]}, "domains holds a.example.com and https is false", "set https to true"),
    ({"https": "true", "domains": ["https://a.example.com"]}, "domains holds 'https://a.example.com'", "host name"),
    ({"https": "true", "domains": ["a.example.com"] * 2}, "domains holds 'a.example.com' 2 times", "once is enough"),
    ({"https": "true", "domains": [f"a{n}.example.com" for n in range(16)]}, "domains holds 16 names", "15"),
    (
        {"topology": "single", "https": "true", "domains": ["a.example.com"]},
        "https and domains need",
        "topology to fleet",
    ),
    ({"certificates": "dns"}, "certificates is 'dns' and https is false", "set https and domains"),
    ({"iapMembers": ["group:team@example.com"]}, "iapMembers need HTTPS", "set it to true"),
    ({"iapClientId": "x", "iapClientSecret": "y"}, "iapClientId is set and iapMembers is empty", "name who may"),
    (
        {"topology": "single", "iapMembers": ["group:a@example.com"]},
        "iapMembers need the balancer",
        "topology to fleet",
    ),
    ({"wafRules": ["sqli"]}, "wafRules holds 'sqli'", "sqli-v422-stable"),
    ({"topology": "single", "wafRules": ["sqli-v33-stable"]}, "wafRules need the balancer", "topology to fleet"),
    # Who hears of it.
    ({"alertEmails": ["me"]}, "alertEmails holds 'me'", "such as team@example.com"),
    ({"monthlyBudget": 50}, "monthlyBudget is 50 and billingAccount is not set", "gcloud billing"),
    ({"alertEmails": ["a@example.com"] * 2}, "alertEmails holds 'a@example.com' 2 times", "once is enough"),
    (
        {
            "monthlyBudget": 50,
            "billingAccount": "012345-6789AB-CDEF01",
            "alertEmails": [f"{name}@example.com" for name in "abcdef"],
        },
        "alertEmails holds 6 addresses and a budget tells 5",
        "the address of a group",
    ),
    ({"billingAccount": "mine"}, "billingAccount is 'mine'", "XXXXXX-XXXXXX-XXXXXX"),
]


@pytest.mark.parametrize(("config", "begins", "remedy"), MISTAKES, ids=[begins for _, begins, _ in MISTAKES])
def test_a_mistake_is_one_sentence_with_its_remedy(config: dict[str, Any], begins: str, remedy: str) -> None:
    (sentence,) = mistakes(**config)
    assert sentence.startswith(begins)
    assert remedy in sentence
    assert re.search(r"[.?]$", sentence)


@pytest.mark.parametrize("member", ["allUsers", "allAuthenticatedUsers", "team@example.com", "group:team"])
def test_only_named_people_may_sign_in(member: str) -> None:
    (sentence,) = mistakes(https="true", domains=["a.example.com"], iapMembers=[member])
    assert sentence.startswith(f"iapMembers holds {member!r}")


def test_all_mistakes_are_named_at_once() -> None:
    found = mistakes(machineType="large", spotMin="x", maxSurge=1, drainSec=20, image="latest", https="true")
    assert [line.split(" ")[0] for line in found] == [
        "spotMin",
        "image",
        "machineType",
        "maxSurge",
        "drainSec",
        "https",
    ]


def test_everybody_may_knock_where_signing_in_decides() -> None:
    found = settings(
        allowlist=["0.0.0.0/0", "::/0"], https="true", domains=["a.example.com"], iapMembers=["domain:example.com"]
    )
    assert found.ipv6


def test_the_on_demand_group_grows_only_where_spot_machines_cannot_be_had() -> None:
    """It grows at a higher load, which is reached only when the Spot group no longer grows."""
    on_demand, spot = plans(settings(onDemandMin=2, onDemandMax=6))
    assert (on_demand.spot, spot.spot) == (False, True)
    assert spot.scale_at < on_demand.scale_at < 1
    (alone,) = plans(settings(onDemandMin=2, onDemandMax=6, spotMax=0))
    assert alone.scale_at == spot.scale_at


def test_a_single_machine_is_one_group_of_one() -> None:
    (plan,) = plans(settings(topology="single"))
    assert (plan.spot, plan.min_size, plan.max_size) == (True, 1, 1)
    (plan,) = plans(settings(topology="single", onDemandMin=1, onDemandMax=1))
    assert not plan.spot


def test_the_defaults_fit_into_a_spot_machines_notice() -> None:
    """Probes notice, then the machine stops taking requests, then the last one ends: all before the machine does."""
    found = settings()
    assert container.READINESS.notice_sec < found.drain_sec
    assert found.drain_sec + found.request_timeout_sec + container.STOP_MARGIN_SEC <= container.stop_timeout_sec()
    assert container.stop_timeout_sec() < container.SPOT_NOTICE_SEC
    assert found.request_timeout_sec < container.BALANCER_TIMEOUT_SEC


def test_an_allowlist_is_cut_into_pieces_that_a_rule_takes() -> None:
    ranges = [f"203.0.113.{n}/32" for n in range(21)]
    pieces = settings(allowlist=ranges).allowlist_rules
    assert [len(piece) for piece in pieces] == [10, 10, 1]
    assert [entry for piece in pieces for entry in piece] == ranges


def test_the_measured_rate_takes_the_place_of_the_default(tmp_path: Any) -> None:
    file = tmp_path / "rate.json"
    file.write_text('{"rated_per_sec": 61.5}')
    assert settings(rateFile=str(file), maxRatePerInstance=7).rate == 61.5
    for content, complaint in (("{", "no JSON"), ("[]", "None"), ('{"rated_per_sec": -1}', "-1"), ("{}", "None")):
        file.write_text(content)
        (sentence,) = mistakes(rateFile=str(file))
        assert complaint in sentence
        assert sentence.startswith("rateFile is ")


@pytest.mark.parametrize(("region", "zones"), [("us-central1", "abc"), ("us-east1", "bcd"), ("europe-west1", "bcd")])
def test_three_zones_are_taken_where_none_are_named(region: str, zones: str) -> None:
    assert settings(region=region).zone_names == tuple(f"{region}-{zone}" for zone in zones)


def project_file() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "Pulumi.yaml").read_text("utf-8"))
    return content


def test_pulumi_yaml_holds_every_setting_with_its_type_default_and_sentence() -> None:
    config = project_file()["config"]
    described = [(key, item["type"], item["default"], item["description"]) for key, item in config.items()]
    assert described == Settings.table()
    assert all(item["items"] == {"type": "string"} for item in config.values() if item["type"] == "array")


def stack_config(stack: str) -> dict[str, Any]:
    """Return what a committed stack sets, without the namespace."""
    config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text("utf-8"))["config"]
    return {key.removeprefix(project_file()["name"] + ":"): value for key, value in config.items()}


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_a_committed_stack_needs_only_what_its_comments_say(stack: str) -> None:
    text = (REPOSITORY / f"Pulumi.{stack}.yaml").read_text("utf-8")
    config = stack_config(stack)
    commands = dict(re.findall(r"^#   pulumi config set (?:--path )?'?([\w:]+)(?:\[0\])?'? (\S+)$", text, re.MULTILINE))
    assert commands.keys() == {"gcp:project", "gcp:region", "allowlist"} | ({"domains"} if stack == "prod" else set())
    config |= {"domains": ["classify.example.com"]} if "domains" in commands else {}
    found = settings(stack=stack, **config)
    if stack == "dev":
        assert (found.machine_type, found.disk_gb, found.https) == ("e2-medium", 30, False)
        assert [plan.spot for plan in plans(found)] == [True]
    else:
        assert found.machine.billed_cpus == found.machine.cpus, "dedicated cores"
        assert [plan.spot for plan in plans(found)] == [False, True]
        assert found.https


def test_the_documents_example_of_mistakes_is_what_the_program_says() -> None:
    text = (REPOSITORY / "docs/deployment.md").read_text("utf-8")
    (example,) = re.findall(r"```text\nerror: [^\n]*\n(.*?)```", text, re.DOTALL)
    said = mistakes(alowlist=[], allowlist=[], maxSurge=2)
    assert " ".join(example.split()) == " ".join(" ".join(said).split())
