"""The table of networks: what it says of itself, what fits together, and that the documents say the same."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner

from service.build.command import build
from service.errors import BuildError
from service.model import networks
from service.model.bundle import INTERPOLATIONS
from service.model.networks import ARCHITECTURES, AUTO_ORDER, NETWORKS, OWN, find
from tests.conftest import REPOSITORY


def test_the_documents_have_the_table() -> None:
    page = (REPOSITORY / "docs" / "build.md").read_text("utf-8")
    heading = "| `--weights` | network | pictures | top-1 | licence | what |\n|---|---|---|---|---|---|\n"
    rows = "".join(f"| {' | '.join(row)} |\n" for row in networks.table())
    assert heading + rows in page


def test_the_command_line_offers_every_row() -> None:
    text = " ".join(CliRunner().invoke(build, ["--help"], terminal_width=10_000).output.split())
    for row in (*NETWORKS, OWN):
        assert row.summary in text
    for architecture in ARCHITECTURES:
        assert architecture in text


@pytest.mark.parametrize("row", NETWORKS, ids=lambda row: f"{row.weights}-{row.architecture}")
def test_a_row_is_whole(row: networks.Network) -> None:
    preset = row.preprocessing
    assert 0 < preset.crop <= preset.resize
    assert preset.interpolation in INTERPOLATIONS
    assert row.trained_on.endswith(".")
    if row.file:
        assert row.licence
        assert row.top1_percent
        assert row.top1_source
        # A file's name carries the first digits of its SHA-256, and what is not 8 digits is all 64.
        assert f"-{row.file.sha256[:8]}." in row.file.name
        assert re.fullmatch(r"[0-9a-f]{8}([0-9a-f]{56})?", row.file.sha256)
        assert row.file.in_package or row.file.source.endswith("/" + row.file.name)


def test_what_stands_in_for_the_first_is_another_network_and_says_so() -> None:
    assert AUTO_ORDER == ("official", "lite0", "digits")
    assert "EfficientNet-Lite0" in find("lite0").trained_on
    assert "ResNet" not in find("lite0").trained_on


@pytest.mark.parametrize(
    ("weights", "architecture", "found"),
    [
        ("official", None, "resnet18"),
        ("official", "resnet50", "resnet50"),
        ("lite0", None, "efficientnet_lite0"),
        ("a1", "resnet18", "resnet18"),
        ("untrained", None, "resnet18"),
        ("untrained", "efficientnet_lite0", "efficientnet_lite0"),
        ("own.pth", "efficientnet_lite0", "efficientnet_lite0"),
        ("untrained", "timm/vit_tiny", "timm/vit_tiny"),
        (networks.default_weights("timm/vit_tiny"), "timm/vit_tiny", "timm/vit_tiny"),
        (networks.default_weights(None), None, "resnet18"),
    ],
)
def test_weights_and_architecture_that_fit(weights: str, architecture: str | None, found: str) -> None:
    row = find(weights, architecture)
    assert row.architecture == found
    if found in ARCHITECTURES:
        assert row.preprocessing.crop == ARCHITECTURES[found].preprocessing.crop


@pytest.mark.parametrize(
    ("weights", "architecture", "message"),
    [
        ("lite0", "resnet50", "--weights lite0 is efficientnet_lite0, not resnet50"),
        ("a1", "resnet50", "--weights a1 is resnet18, not resnet50"),
        ("official", "efficientnet_lite0", "is resnet18 or resnet34 or resnet50, not efficientnet_lite0"),
        ("official", "timm/vit_tiny", "not timm/vit_tiny: leave --arch away, or choose other weights"),
        ("untrained", "resnet19", "--arch resnet19 is not known; did you mean resnet18 or"),
        ("own.pth", "vgg16", "--arch vgg16 is not known; did you mean resnet18 or resnet34"),
        ("timm", None, "--weights timm needs the name of one of timm's networks: --arch timm/NAME"),
    ],
)
def test_weights_and_architecture_that_do_not_fit(weights: str, architecture: str | None, message: str) -> None:
    with pytest.raises(BuildError, match=re.escape(message)):
        find(weights, architecture)
