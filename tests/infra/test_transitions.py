"""Every setting on a live stack, and back; shapes from nothing to nothing; updates that were killed anywhere.

The program's runs go through the model of google/: Pulumi's plan, the provider's calls, Google's refusals, and who is
served after each call, in every order that matters. What does not go through unnoticed has its reason in `EXCEPTIONS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from infra import api_names
from tests.infra.conftest import Deployed
from tests.infra.deployment import Deployment, replaced
from tests.infra.engine import Engine
from tests.infra.google import moves, provider_values
from tests.infra.google.api import GoogleProject
from tests.infra.google.engine_plan import Stack, plan
from tests.infra.google.engine_update import Update
from tests.infra.google.moves import Live, Outcome, move, unprotected
from tests.infra.google.references import symbolic
from tests.infra.google.state import import_pending
from tests.infra.stacks import ALLOWLIST, DIGEST, MANY_RANGES, OTHER_DIGEST, STACKS, deploy, image

Settings = Mapping[str, Any]

pytestmark = pytest.mark.slow

DOMAINS = ["classify.example.com", "example.org"]
HTTPS: Settings = {"https": True, "domains": DOMAINS}
BUDGET: Settings = {"billingAccount": "012345-6789AB-CDEF01", "monthlyBudget": 100}

# Names of settings that a person may have, on top of the dev stack's.
POINTS: dict[str, Settings] = {
    "dev": {},
    "another digest": {"image": image("dev", OTHER_DIGEST)},
    "renewed": {"refreshed": "2026-11-26"},
    "more Spot": {"spotMin": 2, "spotMax": 10},
    "very many": {"spotMax": 400},
    "very many, another digest": {"spotMax": 400, "image": image("dev", OTHER_DIGEST)},
    "a fixed size": {"spotMin": 3, "spotMax": 3},
    "Spot off": {"spotMax": 0, "onDemandMin": 2, "onDemandMax": 4},
    "a base": {"onDemandMin": 1, "onDemandMax": 3},
    "a fixed base": {"onDemandMin": 2, "onDemandMax": 2},
    "two zones": {"zones": ["europe-west4-a", "europe-west4-c"]},
    "one zone": {"zones": ["europe-west4-b"]},
    "one zone, not waiting": {"zones": ["europe-west4-b"], "waitForInstances": False},
    "another series": {"machineType": "c4-standard-2", "diskType": "hyperdisk-balanced"},
    "a larger disk": {"diskGb": 200},
    "single": {"topology": "single"},
    "single, another digest": {"topology": "single", "image": image("dev", OTHER_DIGEST)},
    "single in one zone": {"topology": "single", "zones": ["europe-west4-b"]},
    "HTTPS": HTTPS,
    "HTTPS, HTTP as well": {**HTTPS, "redirectHttp": False},
    "HTTPS, more names": {**HTTPS, "domains": [*DOMAINS, "example.net"]},
    "HTTPS, fewer names": {**HTTPS, "domains": DOMAINS[1:]},
    "HTTPS, both kinds": {**HTTPS, "certificates": "both"},
    "HTTPS by DNS": {**HTTPS, "certificates": "dns"},
    "HTTPS by DNS, more names": {**HTTPS, "certificates": "dns", "domains": [*DOMAINS, "example.net"]},
    "sign-in": {**HTTPS, "iapMembers": ["group:team@example.com"]},
    "one range": {"allowlist": ALLOWLIST[:1]},
    "eleven ranges": {"allowlist": MANY_RANGES[:11]},
    "many ranges": {"allowlist": MANY_RANGES},
    "many ranges, another order": {"allowlist": MANY_RANGES[::-1]},
    "mail": {"alertEmails": ["team@example.com"]},
    "a budget": {**BUDGET, "alertEmails": ["team@example.com"]},
    "builds": STACKS["pipeline"].more,
    "another subnetwork": {"subnetRange": "10.20.0.0/20"},
    "a larger subnetwork": {"subnetRange": "10.10.0.0/19"},
    "attack rules": {"wafRules": ["sqli-v33-stable"], "wafPreview": True},
    "other figures": {
        "alertErrorPercent": 5, "alertLatencyMs": 500, "drainSec": 14, "iapSsh": True, "logSamplePercent": 0,
        "maxRatePerInstance": 9, "maxSurge": 5, "requestsPerMinute": 60,
    },
}  # fmt: skip

# Too far from "dev" for one step: a person goes by another point.
ONLY_IN_PAIRS = ("one zone, not waiting", "single, another digest", "very many, another digest")
# Besides each other point from and to "dev".
PAIRS = (
    ("HTTPS", "HTTPS by DNS"), ("HTTPS", "HTTPS, HTTP as well"), ("HTTPS", "HTTPS, both kinds"),
    ("HTTPS", "HTTPS, fewer names"), ("HTTPS", "HTTPS, more names"), ("HTTPS", "sign-in"), ("HTTPS", "two zones"),
    ("HTTPS by DNS", "HTTPS"), ("HTTPS by DNS", "HTTPS by DNS, more names"), ("HTTPS by DNS", "sign-in"),
    ("HTTPS by DNS, more names", "HTTPS by DNS"), ("HTTPS, HTTP as well", "HTTPS"),
    ("HTTPS, both kinds", "HTTPS"), ("HTTPS, both kinds", "HTTPS by DNS"), ("HTTPS, fewer names", "HTTPS"),
    ("HTTPS, more names", "HTTPS, fewer names"), ("sign-in", "HTTPS"), ("sign-in", "HTTPS by DNS"),
    ("Spot off", "a base"), ("Spot off", "a fixed size"), ("Spot off", "one zone"), ("a base", "Spot off"),
    ("a base", "a fixed base"), ("a fixed base", "Spot off"), ("a fixed size", "Spot off"),
    ("a fixed size", "two zones"), ("another series", "two zones"), ("one zone", "Spot off"), ("two zones", "one zone"),
    ("two zones", "one zone, not waiting"), ("two zones", "renewed"), ("very many", "very many, another digest"),
    ("very many", "two zones"), ("another digest", "another subnetwork"),
    ("eleven ranges", "many ranges"), ("many ranges", "eleven ranges"), ("many ranges", "many ranges, another order"),
    ("single", "single, another digest"), ("single", "single in one zone"), ("single in one zone", "single"),
    ("single", "HTTPS"), ("HTTPS by DNS", "single"), ("builds", "a budget"), ("a budget", "builds"),
    ("attack rules", "many ranges"), ("other figures", "very many"),
)  # fmt: skip


def topology(settings: Settings) -> str:
    return str(settings.get("topology", "fleet"))


def listens_on_ipv6(settings: Settings) -> bool:
    return topology(settings) == "fleet" and any(":" in entry for entry in settings.get("allowlist", ()))


def certificates(settings: Settings) -> str:
    """Return the kind of certificates that HTTPS is served with."""
    kind = "dns" if settings.get("certificates") == "dns" else "load-balancer"
    return kind if settings.get("https") else ""


def gives_up_an_address(before: Settings, after: Settings) -> bool:
    return topology(before) != topology(after) or (listens_on_ipv6(before) and not listens_on_ipv6(after))


def must_wait_for_certificates(before: Settings, after: Settings) -> bool:
    if certificates(before) == certificates(after) or not certificates(after):
        return False
    prepared = before.get("certificates") == "both" and after.get("certificates") == "dns"
    return not prepared and (bool(certificates(before)) or after.get("redirectHttp", True))


def shrinks_the_subnetwork(before: Settings, after: Settings) -> bool:
    return before.get("subnetRange") == "10.10.0.0/19" and "subnetRange" not in after


def renews_the_only_machine(before: Settings, after: Settings) -> bool:
    changed = [key for key in ("image", "zones") if before.get(key) != after.get(key)]
    return topology(before) == topology(after) == "single" and bool(changed)


def does_not_wait(before: Settings, after: Settings) -> bool:
    return not after.get("waitForInstances", True) and before.get("zones") != after.get("zones")


def moves_ranges_between_rules(before: Settings, after: Settings) -> bool:
    old, new = (settings.get("allowlist", ALLOWLIST) for settings in (before, after))
    return any(one in new and old.index(one) // 10 != new.index(one) // 10 for one in old)


@dataclass(frozen=True)
class Known:
    """What changes of a kind come to, and why that is right, or cannot be otherwise."""

    outcome: str
    applies: Callable[[Settings, Settings], bool]
    reason: str


EXCEPTIONS = (
    Known(
        "protected", gives_up_an_address,
        "An address that other people's DNS and allowlists name is kept: Pulumi says so before it touches anything.",
    ),
    Known(
        moves.CERTIFICATE_IS_PENDING, must_wait_for_certificates,
        "Google issues a certificate once a name, or a record, proves it: HTTP stays beside it until then "
        "(redirectHttp: false), and certificates by DNS are made before they are used (certificates: both).",
    ),
    Known(
        "subnet-range", shrinks_the_subnetwork,
        "A subnetwork grows in place and never shrinks; Google refuses the smaller one beside it, and all else stays.",
    ),
    Known(
        moves.NOBODY_IS_SERVED, renews_the_only_machine,
        "One machine with one address goes before its successor comes (docs/operations.md).",
    ),
    Known(
        moves.NOBODY_IS_SERVED, does_not_wait,
        "The pipeline does not wait in an update, and lets Pulumi wait where a group is replaced.",
    ),
    Known(
        moves.SOME_ARE_SHUT_OUT, moves_ranges_between_rules,
        "A policy's rules are changed one by one: new ranges belong at the end of the list (infra/armor.py).",
    ),
)  # fmt: skip


def expected(before: Settings, after: Settings) -> set[str]:
    found = {one.outcome for one in EXCEPTIONS if one.applies(before, after)}
    return {"protected"} if "protected" in found else found


def with_another_digest(program: Deployment) -> Deployment:
    """Return a run with another image; nothing else depends on it (test_changes.py)."""

    def change(leaf: Any) -> Any:
        return leaf.replace(DIGEST, OTHER_DIGEST) if isinstance(leaf, str) else leaf

    resources = tuple(replace(one, inputs=replaced(one.inputs, change)) for one in program.resources)
    return replace(program, resources=resources)


class Runs:
    """The points' programs and live stacks, each made once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._programs: dict[tuple[str, str], Deployment] = {}
        self._live: dict[str, Live] = {}

    def program(self, point: str, **more: Any) -> Deployment:
        key = point, repr(sorted(more.items()))
        if key not in self._programs:
            run = deploy(self._engine, STACKS["dev"], **{**POINTS[point], **more})
            assert run.exit_code == 0, run.said("error")
            self._programs[key] = symbolic(run)
        return self._programs[key]

    def live(self, point: str) -> Live:
        """Return a stack that runs a point's program: its foundations first, then the image."""
        if point not in self._live:
            foundations = self.program("single" if topology(POINTS[point]) == "single" else "dev", image="")
            first = go(go(nothing(), foundations).live, self.program(point))
            assert not first.refusals, first.refusals
            self._live[point] = first.live
        return self._live[point]


@pytest.fixture(scope="module")
def runs(engine: Engine) -> Runs:
    return Runs(engine)


def nothing() -> Live:
    """Return an empty project after `make bootstrap`: new APIs answer in the next run only, money is no dollar."""
    known = {*api_names.BOOTSTRAP, *api_names.BUILDS}
    return Live(Stack(), GoogleProject(frozenset(known), answers_at_once=False, currency="EUR"))


def prepared(live: Live, program: Deployment) -> Live:
    """Return a stack after `make up` has enabled the APIs that the program needs, and waited until they answer."""
    ready = live.copy()
    services = {str(service.inputs["service"]) for service in program.of("projects.Service")}
    ready.project.answering |= {service.removesuffix(".googleapis.com") for service in services}
    ready.project.enabled |= ready.project.answering
    return ready


def go(live: Live, program: Deployment) -> Outcome:
    return move(prepared(live, program), program)


def texts(outcome: Outcome) -> dict[str, str]:
    return {**outcome.refusals, **outcome.troubles, **dict.fromkeys(outcome.leftovers, "left over")}


@pytest.mark.parametrize("point", [name for name in POINTS if name not in ("dev", *ONLY_IN_PAIRS)])
def test_a_setting_is_turned_on_a_live_stack_and_back(point: str, runs: Runs) -> None:
    there = go(runs.live("dev"), runs.program(point))
    assert there.summary == expected(POINTS["dev"], POINTS[point]), texts(there)
    back = go(runs.live(point), runs.program("dev"))
    assert back.summary == expected(POINTS[point], POINTS["dev"]), texts(back)


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_one_point_is_reached_from_another(before: str, after: str, runs: Runs) -> None:
    outcome = go(runs.live(before), runs.program(after))
    assert outcome.summary == expected(POINTS[before], POINTS[after]), texts(outcome)


@pytest.mark.parametrize(("before", "after"), [("dev", "single"), ("single", "dev"), ("many ranges", "dev")])
def test_an_address_that_is_given_up_knowingly_serves_until_the_new_one_does(
    before: str, after: str, runs: Runs
) -> None:
    """After `pulumi state unprotect`, the old fleet or machine answers until the new one does, also on another port."""
    outcome = go(unprotected(runs.live(before)), runs.program(after))
    assert outcome.summary == set(), texts(outcome)


@pytest.mark.parametrize("point", POINTS)
def test_a_second_update_changes_nothing(point: str, runs: Runs) -> None:
    """What Google answers is what the program says: no eternal difference."""
    assert [str(step) for step in plan(runs.live(point).stack, runs.program(point)).steps] == []


@pytest.mark.parametrize("point", POINTS)
def test_no_zero_of_the_program_means_something_else_to_google(point: str, runs: Runs) -> None:
    assert [
        said for one in runs.program(point).custom for said in provider_values.misunderstood(one.kind, one.inputs)
    ] == []


def test_every_exception_is_needed() -> None:
    pairs = [(POINTS["dev"], point) for point in POINTS.values()]
    pairs += [(after, before) for before, after in pairs] + [(POINTS[a], POINTS[b]) for a, b in PAIRS]
    for one in EXCEPTIONS:
        assert any(one.applies(before, after) for before, after in pairs), one.reason


@pytest.mark.parametrize("shape", STACKS)
def test_a_shape_comes_from_nothing_and_goes_to_nothing(shape: str, deployed: Deployed, engine: Engine) -> None:
    """Foundations, an image, another one; `destroy` refuses what is protected, and then leaves nothing behind."""
    foundations = symbolic(deploy(engine, STACKS[shape], image=""))
    first = go(nothing(), foundations)
    assert first.summary == set(), texts(first)
    if shape == "foundations":
        live = first.live
    else:
        up = go(first.live, symbolic(deployed(shape)))
        assert up.summary == set(), texts(up)
        stack = STACKS[shape]
        another = go(up.live, with_another_digest(symbolic(deployed(shape))))
        assert another.summary == expected(stack.more, {**stack.more, "image": "another"}), texts(another)
        assert {step.resource.kind for step in another.plan.steps} == {
            "compute.InstanceTemplate", "compute.RegionInstanceGroupManager",
        }  # fmt: skip
        live = another.live
    assert moves.destroy(live).plan.refused
    gone = moves.destroy(unprotected(live))
    assert gone.refusals == {}
    # A service's agent is the project's, for good.
    assert [path for path in gone.live.project.things if not path.endswith("/identity")] == []


@pytest.mark.parametrize("point", ["dev", "single", "HTTPS by DNS", "a budget"])
def test_an_update_that_was_killed_at_any_creation_goes_on(point: str, runs: Runs) -> None:
    """The creation that had begun is imported; the next update makes the rest, and nothing is there twice."""
    foundations = go(nothing(), runs.program("single" if point == "single" else "dev", image="")).live
    program = runs.program(point)
    whole = go(foundations, program).live.project.things
    created = [step.resource for step in plan(foundations.stack, program).of("create") if step.resource.custom]
    for resource in created:
        if resource.kind.startswith("pulumi:") or resource.kind == "projects.Service":
            continue
        live = prepared(foundations, program)
        result = Update(live.stack, live.project, killed_at=resource.urn).up(program)
        assert result.killed, resource
        live.project.settle()
        import_pending(live.stack, live.project)
        on = go(live, program)
        assert on.refusals == {}, (resource, on.refusals)
        assert len(on.live.project.things) == len(whole), resource
        assert [str(step) for step in plan(on.live.stack, program).steps] == []
