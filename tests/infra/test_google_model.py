"""Each rule of the model bites: the program of commit 3b6c0c4 had these faults, and the model finds them there.

The letters are those of the project's reading of that program against Google's and the provider's sources.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.infra.deployment import Deployment
from tests.infra.google import moves, provider_values, recordings
from tests.infra.google.api import GoogleProject
from tests.infra.google.api_rules import RULES
from tests.infra.google.calls import Call
from tests.infra.google.engine_plan import Stack, deletes_first, plan
from tests.infra.google.engine_update import Result, Update
from tests.infra.google.moves import Live, Outcome, move
from tests.infra.google.registrations import Key, key
from tests.infra.google.replay import ENABLED, GROUP, OFF
from tests.infra.google.state import import_pending, refresh
from tests.infra.google.traffic import ejects_by_success_rate
from tests.infra.stacks import ALLOWLIST, DIGEST, MANY_RANGES, OTHER_DIGEST, image

PROGRAMS = recordings.programs()
EMAILS = [f"person-{number}@example.com" for number in range(6)]
BUDGET: dict[str, Any] = {"billingAccount": "012345-6789AB-CDEF01", "monthlyBudgetUsd": 100}


def old(digest: str = DIGEST, **more: Any) -> Deployment:
    """Return the recorded program's run for settings on top of the dev stack's; without a digest the foundations'."""
    settings = {"allowlist": ALLOWLIST, "image": image("dev", digest) if digest else "", **more}
    found: Key = key("dev", settings)
    return PROGRAMS[found]


def empty(**more: Any) -> Live:
    return Live(Stack(), GoogleProject(ENABLED, **more))


def live() -> Live:
    """Return a stack that runs: the alert whose creation always fails (A1, A2) has been let through."""
    return _live().copy()


@functools.cache
def _live() -> Live:
    return move(move(empty(lenient=OFF), old(digest="")).live, old()).live


def served(outcome: Outcome) -> bool:
    return moves.NOBODY_IS_SERVED not in outcome.troubles


def test_a1_an_alert_on_a_metric_of_the_same_run_is_refused() -> None:
    first = move(move(empty(lenient=frozenset({"alert-resource"})), old(digest="")).live, old())
    assert first.refusals.keys() == {"alert-metric-age"}
    assert move(first.live, old()).refusals == {}, "the next run finds the metric"


def test_a2_an_alert_on_a_resource_type_of_logging_is_refused_for_ever() -> None:
    first = move(move(empty(lenient=frozenset({"alert-metric-age"})), old(digest="")).live, old())
    assert "unknown resource type: gce_instance_group" in first.refusals["alert-resource"]
    assert move(first.live, old()).refusals.keys() == {"alert-resource"}


def test_a5_a_grant_to_an_agent_that_does_not_exist_yet_is_refused() -> None:
    pipeline: dict[str, Any] = {
        "commentSecret": "github-comments", "githubInstallation": 42, "githubTokenSecret": "github-token",
        "pipeline": True, "repository": "team/classifier",
    }  # fmt: skip
    assert move(empty(), old(digest="", **pipeline)).refusals.keys() == {"member"}
    assert move(empty(agents=frozenset({"cloudbuild"})), old(digest="", **pipeline)).refusals == {}


def test_b1_a_size_that_becomes_fixed_is_refused_again_and_again() -> None:
    fixed = move(live(), old(spotMin=3, spotMax=3))
    assert fixed.refusals.keys() == {"group-resize"}
    assert move(fixed.live, old(spotMin=3, spotMax=3)).refusals.keys() == {"group-resize"}
    assert move(fixed.live, old()).summary == set(), "the old settings mend it"


def test_b2_an_update_of_many_machines_outlasts_the_provider_s_patience() -> None:
    large = move(live(), old(spotMax=48))
    assert large.summary == set()
    updated = move(large.live, old(digest=OTHER_DIGEST, spotMax=48))
    assert "48 minutes of an update" in updated.refusals["wait"]


def test_b4_other_zones_take_the_service_off_the_network() -> None:
    assert not served(move(live(), old(zones=["europe-west4-a", "europe-west4-c"], maxSurge=2)))


def test_b8_zeros_of_outlier_detection_never_arrive() -> None:
    service = old().one("compute.BackendService")
    (said,) = provider_values.misunderstood(service.kind, service.inputs)
    assert said == ("compute.BackendService.outlierDetection.enforcingSuccessRate: 0 is not sent, and Google takes 100")
    assert ejects_by_success_rate(provider_values.sent(service.kind, service.inputs))


def test_b10_a_budget_in_another_currency_is_refused() -> None:
    euros = live()
    euros.project.currency = "EUR"
    assert move(euros, old(**BUDGET)).refusals.keys() == {"currency"}
    assert move(live(), old(**BUDGET)).refusals == {}


def test_b11_a_sixth_channel_of_a_budget_is_refused() -> None:
    assert move(live(), old(alertEmails=EMAILS, **BUDGET)).refusals.keys() == {"budget-channels"}


def change_rules(project: GoogleProject, add: dict[str, Any] | None = None, remove: int = 0) -> None:
    """Change a policy's rules by hand."""
    path = next(path for path in project.things if "/securityPolicies/" in path)
    rules = [rule for rule in project.things[path].fields["rules"] if rule["priority"] != remove]
    fields = {**project.things[path].fields, "rules": rules + ([add] if add else [])}
    project.things[path] = replace(project.things[path], fields=fields)


def test_b12_a_door_that_was_open_during_an_update_stops_the_next_ones() -> None:
    """The provider reads the rule of a build's access into the state, and asks to remove what is closed by then."""
    stack = live()
    change_rules(stack.project, add={"priority": 900, "action": "allow"})
    during = move(stack, old(allowlist=MANY_RANGES))
    assert during.refusals == {}
    change_rules(during.live.project, remove=900)
    assert "rule 900 does not exist" in move(during.live, old(allowlist=MANY_RANGES)).refusals["armor-rule"]
    assert refresh(during.live.stack, during.live.project)
    assert move(during.live, old(allowlist=MANY_RANGES)).refusals == {}


def test_b19_single_on_a_live_fleet_probes_the_old_machines_at_the_new_port() -> None:
    outcome = move(live(), old(topology="single"))
    assert not served(outcome)
    assert any(kind in outcome.troubles[moves.NOBODY_IS_SERVED] for kind in ("firewalls", "healthChecks"))


def test_e1_a_dashboard_with_zeros_changes_with_every_update() -> None:
    stack = live()
    assert [(step.op, step.resource.kind) for step in plan(stack.stack, old()).steps] == [
        ("update", "monitoring.Dashboard")
    ]


def killed() -> tuple[Live, Result]:
    """Return a stack whose first update with an image was killed while its group was being made."""
    stack = move(empty(lenient=OFF), old(digest="")).live
    group = old().one(GROUP).urn
    result = Update(stack.stack, stack.project, order=lambda urn: urn == group, killed_at=group).up(old())
    stack.project.settle()
    return stack, result


def test_f3_a_killed_update_leaves_machines_that_nobody_knows() -> None:
    """A second group is made beside the first, which holds the template that the next digest would delete."""
    stack, result = killed()
    assert result.killed
    assert [pending.resource.kind for pending in stack.stack.pending] == [GROUP]
    again = move(stack, old())
    assert again.summary == set()
    assert len(again.live.project.machines) == 2
    assert move(again.live, old(digest=OTHER_DIGEST)).refusals.keys() == {"in-use"}
    assert moves.destroy(again.live).refusals.keys() == {"in-use"}


def test_f3_what_was_begun_can_be_imported() -> None:
    stack, _ = killed()
    assert import_pending(stack.stack, stack.project) == []
    again = move(stack, old())
    assert [step.op for step in again.plan.steps if step.resource.kind == GROUP] == ["update"]
    assert len(again.live.project.machines) == 1
    assert move(again.live, old(digest=OTHER_DIGEST)).summary == set()
    gone = moves.destroy(again.live)
    assert gone.refusals == {}
    assert gone.live.project.things == {}


def test_f3_what_google_never_made_is_made_by_the_next_update() -> None:
    stack, _ = killed()
    group = next(iter(stack.project.machines))
    stack.project.send(Call("delete", "DELETE", "/compute/beta/x", GROUP, group))
    assert import_pending(stack.stack, stack.project) == [old().one(GROUP).urn]
    assert move(stack, old()).summary == set()


def test_f4_only_a_refresh_sees_what_was_changed_by_hand() -> None:
    stack = live()
    alert = next(path for path in stack.project.things if "/alertPolicies/" in path)
    del stack.project.things[alert]
    change_rules(stack.project, remove=1000)
    assert {step.resource.kind for step in plan(stack.stack, old()).steps} == {"monitoring.Dashboard"}
    assert move(stack, old(allowlist=MANY_RANGES)).refusals.keys() == {"armor-rule"}
    found = {urn.rpartition("$gcp:")[2].partition(":")[0] for urn in refresh(stack.stack, stack.project)}
    # The group's size is another one, too: the autoscaler's doing.
    assert found == {"compute/securityPolicy", "monitoring/alertPolicy", "compute/regionInstanceGroupManager"}
    assert {(step.op, step.resource.kind) for step in plan(stack.stack, old()).steps} == {
        ("create", "monitoring.AlertPolicy"), ("update", "compute.SecurityPolicy"), ("update", "monitoring.Dashboard"),
    }  # fmt: skip
    assert move(stack, old(allowlist=MANY_RANGES)).refusals == {}


def test_f5_an_api_that_was_just_enabled_does_not_answer_yet() -> None:
    slow = empty(answers_at_once=False)
    first = move(slow, old(digest=""))
    assert first.refusals.keys() == {"api-enabled"}
    assert move(first.live, old(digest="")).refusals == {}


def test_f7_a_range_that_moves_to_another_rule_is_shut_out_for_a_moment() -> None:
    """The rule that it leaves is patched before the one that it comes to is added."""
    many = move(live(), old(allowlist=MANY_RANGES)).live
    policy = old(allowlist=MANY_RANGES).one("compute.SecurityPolicy")
    rules = [rule for rule in policy.inputs["rules"] if rule["priority"] < 2000]
    ranges = [one for rule in rules for one in rule["match"]["config"]["srcIpRanges"]]
    shorter = [{**rule, "match": {**rule["match"], "config": {"srcIpRanges": ranges[1:][index * 10 : index * 10 + 10]}}}
               for index, rule in enumerate(rules)]  # fmt: skip
    moved = with_inputs(old(allowlist=MANY_RANGES), policy.urn, rules=[*shorter, policy.inputs["rules"][-1]])
    assert moves.SOME_ARE_SHUT_OUT in move(many, moved).troubles


@pytest.mark.parametrize(
    "more",
    [
        {"zones": ["europe-west4-b"], "maxSurge": 1},
        {"spotMax": 0, "onDemandMin": 2, "onDemandMax": 4},
        {"topology": "single"},
        {"https": True, "domains": ["classify.example.com", "example.org"]},
    ],
    ids=lambda more: next(iter(more)),
)
def test_f10_nobody_is_served_while_the_update_reports_success(more: dict[str, Any]) -> None:
    outcome = move(live(), old(**more))
    assert not served(outcome)
    assert outcome.refusals == {}


def test_what_f10_found_right_is_found_right() -> None:
    """What is on in one way or the other is another test's; HTTPS waits for its certificates."""
    known = {moves.NOBODY_IS_SERVED, moves.CERTIFICATE_IS_PENDING, moves.SOME_ARE_SHUT_OUT, "group-resize", "member"}
    stack, seen = live(), 0
    for step in itertools.chain.from_iterable(recordings.scenarios()[f"moves{number}"] for number in range(4)):
        if not step.name.startswith("to-"):
            continue
        there = move(stack, PROGRAMS[key("dev", step.settings)])
        if not there.summary & known:
            assert there.summary == set(), step.name
            assert move(there.live, old()).summary == set(), step.name
            seen += 1
    assert seen == 25


def test_sign_in_that_was_turned_on_stays_on() -> None:
    """Recorded too: the provider finds no difference when the block goes, and the next PUT still enables it."""
    members = ["group:team@example.com", "user:someone@example.com"]
    on = move(
        live(), old(allowlist=["0.0.0.0/0", "::/0"], https=True, domains=["classify.example.com"], iapMembers=members)
    )
    assert move(on.live, old()).leftovers == ["compute.BackendService.iap stays: everybody is still asked to sign in"]


def with_inputs(program: Deployment, urn: str, options: dict[str, Any] | None = None, **inputs: Any) -> Deployment:
    """Return a run with other inputs, or options, of one resource."""
    return replace(
        program,
        resources=tuple(
            replace(one, inputs={**one.inputs, **inputs}, options={**one.options, **(options or {})})
            if one.urn == urn
            else one
            for one in program.resources
        ),
    )


def test_what_is_protected_is_refused_before_anything_is_touched() -> None:
    address = old().one("compute.GlobalAddress")
    kept = move(live(), with_inputs(old(), address.urn, options={"protect": True})).live
    outcome = move(kept, old(topology="single"))
    assert outcome.plan.refused == ("compute.GlobalAddress 'classifier-dev-ipv4' is protected and cannot be deleted",)
    assert moves.destroy(kept).plan.refused
    assert moves.destroy(moves.unprotected(kept)).live.project.things == {}


def test_a_name_of_the_program_s_own_is_deleted_before_it_is_made_again() -> None:
    """And so what uses it is in the way, unless it is replaced as well; a name that Pulumi makes is in nobody's."""
    network = old(digest="").one("compute.Network")
    assert deletes_first(replace(network, inputs={**network.inputs, "name": "mine"}))
    assert not deletes_first(network)
    mine = with_inputs(old(digest=""), network.urn, options={"deleteBeforeReplace": True})
    stack = move(empty(), mine).live
    again = move(stack, with_inputs(mine, network.urn, description="another"))
    assert again.refusals.keys() == {"in-use"}
    assert "firewalls" in again.refusals["in-use"]
    theirs = move(move(empty(), old(digest="")).live, with_inputs(old(digest=""), network.urn, description="another"))
    assert theirs.refusals == {}


def test_what_is_ignored_is_no_change() -> None:
    group = old(spotMin=3, spotMax=3).one(GROUP)
    ignored = with_inputs(old(spotMin=3, spotMax=3), group.urn, options={"ignoreChanges": ["targetSize"]})
    assert move(live(), ignored).refusals == {}


def refused_by(rule: str, kind: str, **inputs: Any) -> bool:
    """Return whether a rule has something against other inputs of the recorded program's resource of a kind."""
    resource = old().of(kind)[0]
    return rule in move(live(), with_inputs(old(), resource.urn, **inputs)).refusals


def test_lists_have_their_limits() -> None:
    rule = old().one("compute.SecurityPolicy").inputs["rules"][0]
    ranges = [f"203.0.113.{number}/32" for number in range(11)]
    longer = {**rule, "match": {"versionedExpr": "SRC_IPS_V1", "config": {"srcIpRanges": ranges}}}
    assert refused_by("armor-ranges", "compute.SecurityPolicy", rules=[longer])
    assert not refused_by("armor-ranges", "compute.SecurityPolicy", rules=[{**longer, "match": rule["match"]}])


def test_a_subnetwork_that_shrinks_is_another_one_and_overlaps_the_old_one() -> None:
    assert refused_by("subnet-range", "compute.Subnetwork", ipCidrRange="10.10.0.0/24")
    assert not refused_by("subnet-range", "compute.Subnetwork", ipCidrRange="10.20.0.0/24")
    assert not refused_by("subnet-range", "compute.Subnetwork", ipCidrRange="10.10.0.0/16")


def test_a_forwarding_rule_that_must_be_replaced_finds_its_port_taken() -> None:
    assert refused_by("address-port", "compute.GlobalForwardingRule", description="another")


def test_what_is_referred_to_must_exist() -> None:
    assert refused_by("reference", "compute.URLMap", defaultService="projects/p/global/backendServices/none")


def test_one_machine_with_one_address_cannot_be_made_beside_another() -> None:
    single = move(move(empty(), old(digest="")).live, old(topology="single")).live
    outcome = move(single, old(topology="single", zones=["europe-west4-b"]))
    assert "is in use by a machine" in outcome.refusals["wait"]


def test_every_rule_has_a_source_and_is_asked() -> None:
    assert all(rule.source and rule.actions for rule in RULES)
    assert len({rule.name for rule in RULES}) == len(RULES)
