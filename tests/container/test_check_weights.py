"""What an image may be built of, as the Dockerfile asks before anything long begins."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from service.model.networks import NETWORKS, TIMM, Network
from tests.conftest import REPOSITORY


def check(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "container/check_weights.py", *words]
    environment = {**os.environ, "PYTHONPATH": "."}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "network",
    [row for row in NETWORKS if row.architecture != TIMM],
    ids=lambda network: f"{network.weights} {network.architecture}",
)
def test_every_row_of_the_table_may(network: Network) -> None:
    told = check(network.weights, network.architecture).stdout
    assert told == f"--weights {network.weights} --arch {network.architecture or 'resnet18'}\n"


@pytest.mark.parametrize(
    ("weights", "architecture", "sentence"),
    [
        ("auto", "", "WEIGHTS=auto ARCH=: an image is built of official, .*, and never of a stand-in; build anything "),
        ("own.pth", "", "WEIGHTS=own.pth ARCH=: an image is built of "),
        ("", "", "WEIGHTS= ARCH=: an image is built of "),
        ("timm", "timm/resnet18", "WEIGHTS=timm ARCH=timm/resnet18: an image is built of "),
        ("untrained", "timm/resnet18", "WEIGHTS=untrained ARCH=timm/resnet18: an image is built of "),
        ("official", "vgg", "WEIGHTS=official ARCH=vgg: --arch vgg is not known; "),
        ("lite0", "resnet50", "WEIGHTS=lite0 ARCH=resnet50: --weights lite0 is efficientnet_lite0, not resnet50"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(weights: str, architecture: str, sentence: str) -> None:
    result = check(weights, architecture)
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(f"{sentence}.*\n", result.stderr)
