"""A configuration that cannot work is refused as a person would see it: a line for each mistake, and nothing made.

What the lines say is test_settings.py's matter; here the whole program runs, against the engine.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.deployment import Deployment
from tests.infra.engine import Engine
from tests.infra.project import CommandLineRefusal
from tests.infra.stacks import PROJECT
from tests.infra.test_settings import LEAST, MISTAKES

PLACE = {"project": "my-project", "region": "us-central1"}


def arguments(config: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the stack's name and what is set, where `stack`, `project` and `region` are keys in MISTAKES too."""
    rest = {**LEAST, **config}
    stack = rest.pop("stack", "dev")
    return stack, {**{f"gcp:{key}": rest.pop(key, default) for key, default in PLACE.items()}, **rest}


def run(engine: Engine, config: dict[str, Any], preview: bool = False) -> Deployment:
    stack, values = arguments(config)
    return engine.run(
        PROJECT.program, PROJECT.configuration(stack, values), project=PROJECT.name, stack=stack, preview=preview
    )


def type_mistakes(config: dict[str, Any]) -> list[str]:
    """Return what the command line says of the types in Pulumi.yaml, before it runs the program."""
    try:
        PROJECT.configuration(*arguments(config))
    except CommandLineRefusal as refusal:
        return [str(refusal)]
    return []


OF_TYPE = [config for config, _, _ in MISTAKES if type_mistakes(config)]
OF_SENSE = [(config, begins) for config, begins, _ in MISTAKES if config not in OF_TYPE]


@pytest.mark.parametrize(("config", "begins"), OF_SENSE, ids=[begins for _, begins in OF_SENSE])
def test_a_mistake_is_one_line_and_nothing_is_made(config: dict[str, Any], begins: str, engine: Engine) -> None:
    deployment = run(engine, config)
    assert deployment.exit_code == 1, "a refusal, and no crash"
    (message,) = deployment.said("error")
    headline, line = message.split("\n")
    assert headline == f"The configuration of stack {deployment.stack} has mistakes."
    assert line.startswith(begins)
    assert [resource.type for resource in deployment.resources] == ["pulumi:pulumi:Stack"]
    assert (deployment.stdout, deployment.stderr, deployment.outputs, deployment.invokes) == ("", "", {}, ())


@pytest.mark.parametrize("config", OF_TYPE, ids=[str(config) for config in OF_TYPE])
def test_a_value_of_another_type_is_named_by_the_command_line(config: dict[str, Any]) -> None:
    (key,) = config
    (refusal,) = type_mistakes(config)
    assert f"configuration key '{key}' must be of type" in refusal


def test_a_preview_refuses_it_too(engine: Engine) -> None:
    deployment = run(engine, {"maxSurge": 1, "drainSec": 25}, preview=True)
    assert deployment.exit_code == 1
    assert len(deployment.said("error")[0].split("\n")) == 3
    assert [resource.type for resource in deployment.resources] == ["pulumi:pulumi:Stack"]


def test_nothing_configured_names_all_that_must_be(engine: Engine) -> None:
    deployment = engine.run(PROJECT.program, PROJECT.configuration("new", {}), project=PROJECT.name, stack="new")
    lines = deployment.said("error")[0].split("\n")[1:]
    assert [line.split(" ")[0] for line in lines] == ["gcp:project", "gcp:region", "allowlist"]


def test_the_least_that_a_person_must_set_is_enough(engine: Engine) -> None:
    assert run(engine, {}).exit_code == 0
