"""The machines' cloud-init, read by the real tools that will read it: cloud-init and systemd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra import cloud_init, container
from infra.settings import Settings
from tests.conftest import REPOSITORY, missing
from tests.infra.test_settings import DIGEST, settings


def deployed(**config: Any) -> Settings:
    return settings(image=DIGEST, **config)


def run_command(configured: Settings) -> list[str]:
    """Return the words of the unit's ExecStart, as systemd splits them."""
    unit = cloud_init.unit(configured).replace("\\\n", " ")
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    return shlex.split(line)


def schema(user_data: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if not shutil.which("cloud-init"):
        missing("cloud-init is not installed")
    file = folder / "user-data"
    file.write_text(user_data)
    return subprocess.run(["cloud-init", "schema", "--config-file", file], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("topology", ["fleet", "single"])
def test_cloud_init_accepts_it(topology: str, tmp_path: Path) -> None:
    done = schema(cloud_init.render(deployed(topology=topology)), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Valid" in done.stdout


def test_cloud_init_would_refuse_a_typing_mistake(tmp_path: Path) -> None:
    """The check above can fail."""
    done = schema(cloud_init.render(deployed()).replace("permissions:", "permission:"), tmp_path)
    assert done.returncode != 0
    assert "permission" in done.stdout + done.stderr


def verify(unit: str, root: Path) -> str:
    """Return what systemd complains of in a unit, on a machine that has what the unit calls."""
    if not shutil.which("systemd-analyze"):
        missing("systemd-analyze is not installed")
    units = root / "etc/systemd/system"
    programs = root / "usr/bin"
    for folder in (units, programs):
        folder.mkdir(parents=True, exist_ok=True)
    for name in ("docker", "docker-credential-gcr"):
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    for name in ("docker.service", "sysinit.target", "basic.target", "network-online.target", "shutdown.target"):
        (units / name).write_text("[Service]\nExecStart=/usr/bin/docker\n" if name.endswith("service") else "[Unit]\n")
    (units / cloud_init.UNIT).write_text(unit)
    done = subprocess.run(
        ["systemd-analyze", "verify", f"--root={root}", "--man=no", cloud_init.UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr + ("" if done.returncode == 0 else f"exit code {done.returncode}")


@pytest.mark.parametrize("topology", ["fleet", "single"])
def test_systemd_accepts_the_unit(topology: str, tmp_path: Path) -> None:
    assert verify(cloud_init.unit(deployed(topology=topology)), tmp_path) == ""


@pytest.mark.parametrize(
    ("line", "broken"),
    [("Restart=always", "Restrat=always"), ("ExecStop=/usr/bin/docker", "ExecStop=/usr/bin/docket")],
)
def test_systemd_would_refuse_a_typing_mistake(line: str, broken: str, tmp_path: Path) -> None:
    """The check above can fail."""
    unit = cloud_init.unit(deployed())
    assert line in unit
    assert verify(unit.replace(line, broken), tmp_path) != ""


def test_the_user_data_holds_the_unit_as_it_is() -> None:
    config = yaml.safe_load(cloud_init.render(deployed()))
    (file,) = config["write_files"]
    assert file["path"].endswith(cloud_init.UNIT)
    assert file["content"] == cloud_init.unit(deployed())
    assert config["runcmd"][-1][-1] == cloud_init.UNIT


def test_the_machines_run_the_container_with_exactly_the_flags_of_the_images_tests() -> None:
    """Beyond those only its name, its port, its log and the service's settings."""
    lines = (REPOSITORY / "container/run.flags").read_text("utf-8").splitlines()
    hardening = {line for line in lines if line and not line.startswith("#")}
    command, image = run_command(deployed())[:-1], run_command(deployed())[-1]
    assert command[:2] == ["/usr/bin/docker", "run"]
    others = {word.split("=")[0] for word in command[2:] if word not in hardening}
    assert hardening <= set(command)
    assert others == {"--name", "--rm", "--publish", "--env", "--log-driver", "--log-opt"}
    assert image == DIGEST


def test_a_stopping_container_has_its_time_and_systemd_waits_for_it() -> None:
    unit = cloud_init.unit(deployed())
    stop_sec = container.stop_timeout_sec()
    assert f"ExecStop=/usr/bin/docker stop -t {stop_sec} classifier\n" in unit
    (patience,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop_sec < int(patience) < container.SPOT_NOTICE_SEC


def test_the_service_outlives_the_balancers_idle_connections_only_where_there_is_a_balancer() -> None:
    behind, direct = (set(run_command(deployed(topology=topology))) for topology in ("fleet", "single"))
    assert "--env=KEEPALIVE_SEC=620" in behind
    assert container.KEEPALIVE_SEC > container.BALANCER_KEEPALIVE_SEC
    assert not any("KEEPALIVE_SEC" in word for word in direct)
    assert "--publish=80:8080" in direct
    assert "--publish=8080:8080" in behind


def test_every_setting_of_the_service_that_is_passed_exists() -> None:
    from service.settings import Settings as ServiceSettings

    known = {name: default for name, default, _ in ServiceSettings.table()}
    passed = deployed().environment
    assert passed.keys() <= known.keys()
    assert ServiceSettings.from_environment(passed).drain_sec == deployed().drain_sec


def test_what_systemd_would_expand_arrives_as_it_was_written() -> None:
    assert cloud_init.quote("50%$HOME") == "'50%%$$HOME'"
