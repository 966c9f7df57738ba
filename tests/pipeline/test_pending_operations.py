"""Interrupted creations: how each kind is found at Google, and what becomes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from pipeline import import_ids, pending_operations
from pipeline.checkout import StackLocation
from pipeline.errors import StepFailed
from pipeline.import_ids import ById
from pipeline.pulumi_cli import Refused
from pipeline.stack import Stack
from pipeline.state import Resource, State, read
from tests.conftest import REPOSITORY
from tests.pipeline.conftest import PROJECT, REGION
from tests.pipeline.world import World

WHERE = StackLocation(PROJECT, REGION)
PARENT = "urn:pulumi:dev::own-cloud-classifier::classifier:infra:Some::classifier-dev"


def kinds_of_the_program() -> set[str]:
    """Every kind that a test stack has, or that the program could make."""
    inventories = (REPOSITORY / "tests" / "infra" / "inventories").glob("*.yaml")
    documents = [yaml.safe_load(file.read_text("utf-8")) for file in inventories]
    found = {
        name.split(" ")[0]
        for document in documents
        for part in document.values()
        if isinstance(part, dict)
        for name in part
    }
    for file in (REPOSITORY / "infra").rglob("*.py"):
        made = re.findall(r"gcp\.(\w+)\.([A-Z]\w+)\(", file.read_text("utf-8"))
        found |= {f"{module}.{name}" for module, name in made if not name.endswith("Args")}
    return {kind for kind in found if re.fullmatch(r"[a-z0-9]+\.[A-Z]\w+", kind)}


def test_just_the_kinds_that_the_program_makes_can_be_found_at_google() -> None:
    """One that is missing would leave a stack that no `make` mends, and nobody would know before it happens."""
    assert kinds_of_the_program() == import_ids.RULES.keys()


def resource(kind: str, called: str = "thing", /, **inputs: Any) -> Resource:
    module, _, last = kind.partition(".")
    urn = f"{PARENT.rpartition('::')[0]}$gcp:{module}/{last[0].lower()}{last[1:]}:{last}::{called}"
    return Resource(urn, "", inputs, {}, PARENT, "urn:pulumi:dev::p::pulumi:providers:gcp::default_10_2_0::1")


@pytest.mark.parametrize(
    ("kind", "inputs", "identifier"),
    [
        ("compute.InstanceTemplate", {"name": "spot-1a"}, "spot-1a"),
        ("compute.RegionInstanceGroupManager", {"name": "spot-1a", "region": "us-east1"}, "us-east1/spot-1a"),
        ("compute.RegionAutoscaler", {"name": "spot-1a"}, f"{REGION}/spot-1a"),
        ("compute.GlobalAddress", {"name": "ipv4-1a"}, "ipv4-1a"),
        ("artifactregistry.Repository", {"location": REGION, "repositoryId": "images"}, f"{REGION}/images"),
        (
            "dns.RecordSet",
            {"managedZone": f"projects/{PROJECT}/managedZones/zone-1a", "name": "*.gcr.io.", "type": "A"},
            "zone-1a/*.gcr.io./A",
        ),
        (
            "serviceaccount.Account",
            {"accountId": "pipeline-dev"},
            f"projects/{PROJECT}/serviceAccounts/pipeline-dev@{PROJECT}.iam.gserviceaccount.com",
        ),
        ("certificatemanager.CertificateMapEntry", {"map": "map-1a", "name": "entry-1a"}, "map-1a/entry-1a"),
        (
            "cloudbuildv2.Repository",
            {"location": REGION, "parentConnection": "github", "name": "repo-1a"},
            f"{REGION}/github/repo-1a",
        ),
        ("logging.Metric", {"name": "turned-unhealthy-1a"}, "turned-unhealthy-1a"),
    ],
)
def test_an_id_follows_from_the_inputs(kind: str, inputs: dict[str, str], identifier: str) -> None:
    by = import_ids.rule(resource(kind).type)
    assert isinstance(by, ById)
    assert import_ids.fill(by.form, inputs, PROJECT, REGION) == identifier


@pytest.mark.parametrize("kind", [name for name, by in import_ids.RULES.items() if isinstance(by, ById)])
def test_no_form_asks_for_what_no_program_gives(kind: str) -> None:
    """Of the inputs that the inventories show; a name is Pulumi's own."""
    by = import_ids.RULES[kind]
    assert isinstance(by, ById)
    asked = set(re.findall(r"{(\w+)}", by.form)) - {"project", "region", "location", "name"}
    assert asked <= {"repositoryId", "map", "managedZone", "type", "parentConnection", "accountId"}


class Adopting:
    """A stack that adopts what exists; writes down what it was asked."""

    name = "dev"

    def __init__(self, *existing: str) -> None:
        self.existing = existing
        self.asked: list[tuple[dict[str, str], dict[str, str]]] = []
        self.refusal = "resource '{}' does not exist"

    def adopt(self, found: dict[str, str], table: dict[str, str]) -> None:
        self.asked.append((found, table))
        if found["id"] not in self.existing:
            said = self.refusal.format(found["id"])
            raise Refused(f"Pulumi failed on stack dev: {said}", said)

    def confirm(self) -> None:
        pass


@pytest.fixture
def mend(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Mends a state; returns what was said."""
    monkeypatch.setenv("PATH", world.environment["PATH"])

    def run(stack: Adopting, *creating: Resource, known: tuple[Resource, ...] = ()) -> str:
        pending_operations.mend(stack, State(known, creating), WHERE)  # type: ignore[arg-type]
        return capsys.readouterr().out

    return run


def test_what_exists_is_taken_into_the_state(mend: Callable[..., str]) -> None:
    group = resource("compute.RegionInstanceGroupManager", "classifier-dev-spot", name="spot-1a", region=REGION)
    stack = Adopting(f"{REGION}/spot-1a")
    said = mend(stack, group)
    assert "RegionInstanceGroupManager classifier-dev-spot had been made, and is in the state now" in said
    assert stack.asked == [
        (
            {
                "type": "gcp:compute/regionInstanceGroupManager:RegionInstanceGroupManager",
                "name": "classifier-dev-spot",
                "id": f"{REGION}/spot-1a",
                "parent": "parent",
            },
            {"parent": PARENT},
        )
    ]


def test_what_was_never_made_is_forgotten(mend: Callable[..., str]) -> None:
    assert "was not made" in mend(Adopting(), resource("compute.HealthCheck", name="alive-1a"))


def test_a_provider_of_its_own_is_named(mend: Callable[..., str], world: World) -> None:
    """The budget's, which says who pays for the questions."""
    budget = resource("billing.Budget", displayName="classifier-dev", billingAccount="0-1-2")
    provider = "urn:pulumi:dev::p::pulumi:providers:gcp::classifier-dev-billing"
    budget = Resource(budget.urn, "", budget.inputs, {}, PARENT, f"{provider}::b7a1")
    world.say("billing", out=json.dumps([{"name": "billingAccounts/0-1-2/budgets/9", "displayName": "classifier-dev"}]))
    stack = Adopting("billingAccounts/0-1-2/budgets/9")
    mend(stack, budget)
    ((found, table),) = stack.asked
    assert (found["provider"], table["provider"]) == ("provider", provider)
    assert "--billing-account=0-1-2" in world.calls[0]


class TestWhatGoogleNumbers:
    @pytest.mark.parametrize(
        ("kind", "title"),
        [
            ("monitoring.AlertPolicy", {"displayName": "classifier-dev: slow"}),
            ("monitoring.NotificationChannel", {"displayName": "classifier-dev: slow"}),
            ("monitoring.UptimeCheckConfig", {"displayName": "classifier-dev: slow"}),
            ("monitoring.Dashboard", {"dashboardJson": '{"displayName": "classifier-dev: slow"}'}),
        ],
    )
    def test_is_found_by_its_title(
        self, kind: str, title: dict[str, str], mend: Callable[..., str], world: World
    ) -> None:
        listed = [
            {"name": f"things/{number}", "displayName": name}
            for number, name in enumerate(("x", "classifier-dev: slow"))
        ]
        world.say("monitoring", out=json.dumps(listed))
        stack = Adopting("things/1")
        mend(stack, resource(kind, **title))
        assert [found["id"] for found, _ in stack.asked] == ["things/1"]

    def test_a_trigger_by_its_name(self, mend: Callable[..., str], world: World) -> None:
        world.say("triggers", out=json.dumps([{"name": "pipeline-1a", "id": "b7a1"}]))
        stack = Adopting(f"projects/{PROJECT}/locations/us-central1/triggers/b7a1")
        mend(stack, resource("cloudbuild.Trigger", name="pipeline-1a", location="us-central1"))
        assert len(stack.asked) == 1

    def test_is_not_mistaken_for_one_that_the_state_has(self, mend: Callable[..., str], world: World) -> None:
        """Two with one title: the other is in the state already, under another name in the program."""
        known = resource("monitoring.AlertPolicy", "another", displayName="slow")
        known = Resource(known.urn, "things/1", known.inputs, {})
        listed = [{"name": f"things/{number}", "displayName": "slow"} for number in (1, 2)]
        world.say("monitoring", out=json.dumps(listed))
        stack = Adopting("things/2")
        mend(stack, resource("monitoring.AlertPolicy", displayName="slow"), known=(known,))
        assert [found["id"] for found, _ in stack.asked] == ["things/2"]

    def test_that_was_not_made_is_not_asked_for(self, mend: Callable[..., str], world: World) -> None:
        world.say("monitoring", out="[]")
        stack = Adopting()
        assert "was not made" in mend(stack, resource("monitoring.AlertPolicy", displayName="slow"))
        assert stack.asked == []


def test_a_grant_is_simply_made_again(mend: Callable[..., str], world: World) -> None:
    stack = Adopting()
    said = mend(stack, resource("projects.IAMMember", role="roles/x", member="user:a@example.com"))
    assert "is made again, which changes nothing where it was made" in said
    assert (stack.asked, world.calls) == ([], [])


class TestAReplacement:
    """Its URN is in the state already, with what it was to replace: it cannot be imported beside it."""

    def old(self, kind: str) -> Resource:
        found = resource(kind, name="spot-old")
        return Resource(found.urn, "spot-old", found.inputs, {"name": "spot-old"})

    def test_is_removed_at_google(self, mend: Callable[..., str], world: World) -> None:
        kind = "compute.RegionInstanceGroupManager"
        stack = Adopting()
        said = mend(stack, resource(kind, name="spot-new", region=REGION), known=(self.old(kind),))
        assert "spot-new was to replace RegionInstanceGroupManager thing" in said
        (command,) = world.asked("delete")
        assert command[1:7] == ["compute", "instance-groups", "managed", "delete", "spot-new", f"--region={REGION}"]
        assert stack.asked == []

    def test_that_was_not_made_is_said(self, mend: Callable[..., str]) -> None:
        kind = "compute.InstanceTemplate"
        assert "and was not made" in mend(Adopting(), resource(kind, name="new"), known=(self.old(kind),))

    def test_that_cannot_be_removed_ends_it(self, mend: Callable[..., str], world: World) -> None:
        kind = "compute.InstanceTemplate"
        world.say("delete", err="ERROR: denied\n", code=1)
        with pytest.raises(StepFailed, match=r"it made new, which cannot be removed now: ERROR: denied Remove it"):
            mend(Adopting(), resource(kind, name="new"), known=(self.old(kind),))

    def test_that_the_state_has_already_is_left_alone(self, mend: Callable[..., str], world: World) -> None:
        """Mended before, and killed again before the operation was forgotten."""
        kind = "compute.RegionInstanceGroupManager"
        known = resource(kind, name="spot-new")
        known = Resource(known.urn, f"projects/p/regions/{REGION}/instanceGroupManagers/spot-new", {}, {})
        assert "is in the state already" in mend(Adopting(), resource(kind, name="spot-new"), known=(known,))
        assert world.calls == []

    def test_of_another_kind_stays_and_is_said(self, mend: Callable[..., str]) -> None:
        kind = "logging.Metric"
        said = mend(Adopting(), resource(kind, name="new"), known=(self.old(kind),))
        assert "it stays at Google beside it" in said


class TestBadInput:
    def test_a_kind_that_nobody_described(self, mend: Callable[..., str]) -> None:
        with pytest.raises(StepFailed, match=r"add its kind to pipeline/import_ids\.py"):
            mend(Adopting(), resource("compute.Unheard", name="x"))

    def test_one_that_may_not_be_read(self, mend: Callable[..., str]) -> None:
        stack = Adopting()
        stack.refusal = "googleapi: Error 403: forbidden {}"
        with pytest.raises(StepFailed, match=r"it made Network thing, which cannot be taken into the state now: .*403"):
            mend(stack, resource("compute.Network", name="x"))

    @pytest.mark.parametrize("deployment", [{}, {"resources": None}, {"pending_operations": None}])
    def test_a_state_with_nothing_in_it(self, deployment: dict[str, Any]) -> None:
        assert read(deployment) == State((), ())


def test_operations_other_than_creations_are_pulumis_own_to_forget() -> None:
    item = {"urn": PARENT, "type": "x"}
    state = read(
        {"pending_operations": [{"type": "updating", "resource": item}, {"type": "creating", "resource": item}]}
    )
    assert len(state.creating) == 1


def test_the_real_command_is_told_neither_to_protect_nor_to_write_a_program(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", world.environment["PATH"])
    world.say("pulumi", "import")
    Stack("dev", f"gs://{PROJECT}-pulumi-state").adopt({"type": "t", "name": "n", "id": "i"}, {})
    (command,) = world.asked("import")
    assert {"--yes", "--skip-preview", "--protect=false", "--generate-code=false"} <= set(command)
