"""The model of google/ beside what the real Pulumi engine and provider did with the program of commit 3b6c0c4.

172 steps: each shape of stacks.py from nothing to destroy, 34 single changes of settings and back, chains of shapes, a
killed update, drift, an empty project (recorded/README.md). Left out of the comparison, and why:

    the plan of a destroy                nothing was recorded of it
    reads, and getIamPolicy              not recorded, or as many as the provider's batches happen to need
    how often one policy is written      the provider gathers grants that come within three seconds
    several APIs in one call             the same; each API is compared
    indices in keys, and keys in sets    they depend on hashes of Go's
"""

from __future__ import annotations

import itertools
import re

import pytest

from tests.infra.deployment import Deployment, walk
from tests.infra.google import provider_values, recordings
from tests.infra.google.recordings import Recorded, call_lines, plan_lines
from tests.infra.google.registrations import Key
from tests.infra.google.replay import Played, play
from tests.infra.shapes import SHAPES

SCENARIOS = recordings.scenarios()


@pytest.fixture(scope="module")
def programs() -> dict[Key, Deployment]:
    return recordings.programs()


@pytest.fixture(scope="module")
def played(programs: dict[Key, Deployment]) -> dict[str, list[Played]]:
    return {name: list(play(steps, programs)) for name, steps in SCENARIOS.items()}


def test_all_that_was_recorded_is_compared() -> None:
    assert sum(map(len, SCENARIOS.values())) == 172
    assert sum(not step.succeeded for steps in SCENARIOS.values() for step in steps) == 19


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_model_plans_what_the_real_engine_planned(scenario: str, played: dict[str, list[Played]]) -> None:
    for step in played[scenario]:
        if step.program:
            assert plan_lines(step.result.plan) == step.recorded.plan, step.recorded.name


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_model_makes_the_calls_that_the_real_provider_made(scenario: str, played: dict[str, list[Played]]) -> None:
    """With the answers that they got: where the stand-in refused, the model does, by the rule of the same name."""
    for step in played[scenario]:
        assert call_lines(step.result.calls) == step.recorded.calls, step.recorded.name
        assert step.result.succeeded == step.recorded.succeeded, step.recorded.name


def _order(step: Recorded) -> dict[str, int]:
    """Return the places of the calls that a step has once."""
    lines = [line for line in step.lines if step.lines.count(line) == 1]
    return {line: step.lines.index(line) for line in lines}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_real_engine_kept_to_the_order_that_the_model_takes_for_given(
    scenario: str, played: dict[str, list[Played]]
) -> None:
    """A call for a resource comes after those for what it depends on, a deletion before; deletions come last."""
    for step in played[scenario]:
        place, program = _order(step.recorded), step.program
        known = [one for one in step.result.calls if one.call.line in place and one.call.action != "revoke"]
        for one, other in itertools.permutations(known, 2):
            first, second = place[one.call.line], place[other.call.line]
            if not program or one.call.action == "delete":
                continue
            needed = other.urn in program.by_urn and one.urn in program.upstream(program.by_urn[other.urn])
            if needed or other.call.action == "delete":
                assert first < second, (step.recorded.name, one.call.line, other.call.line)


def _path_of_the_api(kind: str, path: str) -> str:
    """Return where an input's value stands in the API's body, after shapes.py."""
    path = re.sub(r"\[\d+\]", "[]", path)
    renamed = SHAPES[kind].renamed
    for known in sorted((one for one in renamed if path == one or path.startswith((f"{one}.", f"{one}["))), key=len):
        path = renamed[known] + path[len(known) :]
    return path


def test_zeros_arrive_or_are_dropped_as_the_table_says(played: dict[str, list[Played]]) -> None:
    """What is zero, false or empty in the program is in the recorded body just where the model sends it."""
    compared = set()
    for step in itertools.chain.from_iterable(played.values()):
        for one in step.result.calls:
            bodies = step.recorded.bodies_of(one.call)
            if one.call.action != "create" or one.call.kind not in SHAPES or not step.program or len(bodies) != 1:
                continue
            (body,) = bodies
            arrived = {re.sub(r"\[\d+\]", "[]", path) for path, _ in walk(body.get("properties", body))}
            inputs = step.program.by_urn[one.urn].inputs
            sent = {path for path, _ in walk(provider_values.sent(one.call.kind, inputs))}
            for path, value in walk(inputs):
                if value in (0, False, "") and value is not None and (goes := _path_of_the_api(one.call.kind, path)):
                    assert (goes in arrived) == (path in sent), f"{one.call.kind}.{path}"
                    compared.add((one.call.kind, goes, goes in arrived))
    assert ("compute.BackendService", "outlierDetection.enforcingSuccessRate", False) in compared
    assert ("compute.RegionInstanceGroupManager", "updatePolicy.maxUnavailable.fixed", True) in compared
    assert len(compared) >= 10
