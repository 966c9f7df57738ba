from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from service.build import builder, weights
from service.build.download import Corrupt
from service.build.networks import PixelNetwork, fingerprint, make
from service.build.options import Options
from service.build.vision import torchvision
from service.model import networks
from service.model.bundle import Channels
from service.model.networks import ARCHITECTURES, AUTO
from tests.conftest import QuietReporter

pytestmark = pytest.mark.slow


RESNETS = [name for name in ARCHITECTURES if name.startswith("resnet")]


@pytest.mark.parametrize("architecture", RESNETS)
def test_the_official_rows_are_torchvisions(architecture: str) -> None:
    """Address, preset, accuracy; and the hash begins with the digits in the file's name."""
    row = networks.find("official", architecture)
    entry = torchvision.models.get_model_weights(architecture).IMAGENET1K_V1
    preset = entry.transforms()
    assert row.file is not None
    assert row.file.source == entry.url
    assert row.file.source.endswith("/" + row.file.name)
    assert re.fullmatch(rf"{architecture}-{row.file.sha256[:8]}\.pth", row.file.name)
    assert row.top1_percent == entry.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert row.preprocessing == networks.Preprocessing(
        preset.resize_size[0],
        preset.crop_size[0],
        preset.interpolation.value,
        tuple(preset.mean),
        tuple(preset.std),
    )


@pytest.mark.parametrize(
    "row",
    [networks.find("official", "resnet34"), networks.find("a1"), networks.find("lite0")],
    ids=lambda row: row.weights,
)
def test_weights_are_fetched_into_pytorchs_cache(
    row: networks.Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All but the bytes themselves: a file of the right shape stands in for the download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))

    def save(target: Path) -> Path:
        assert row.file is not None
        assert target == tmp_path / "hub" / "checkpoints" / row.file.name
        target.parent.mkdir(parents=True)
        torch.save(make(row.architecture, 1000).state_dict(), target)
        return target

    monkeypatch.setattr("service.build.download.fetch", lambda _url, target, *_: save(target))
    monkeypatch.setattr("service.build.package_index.fetch", lambda _file, target, _progress: save(target))
    trained = weights.fetched(row)
    assert trained.preprocessing == row.preprocessing
    assert len(trained.labels) == 1000
    assert trained.info.name == row.weights
    assert trained.info.trained_on == row.trained_on
    assert len(trained.info.sha256) == 64


def test_untrained_is_always_the_same_network() -> None:
    row = networks.find("untrained")
    assert weights.untrained(row).info == weights.untrained(row).info


@pytest.mark.parametrize("architecture", RESNETS)
def test_pixels_in_and_logits_out_is_what_torchvision_computes(architecture: str) -> None:
    network = make(architecture, 10)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preset = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.transforms(crop_size=64, resize_size=64)
    with torch.inference_mode():
        expected = network(preset(pixels.permute(0, 3, 1, 2)))
        found = PixelNetwork(network).eval()(pixels)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize(("mean", "std"), [((0.5, 0.25, 0.125), (0.5, 1.0, 0.25)), ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))])
def test_pixels_are_normalised_as_in_training(mean: Channels, std: Channels) -> None:
    network = make("resnet18", 3)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    preset = torchvision.transforms.Normalize(mean, std)
    with torch.inference_mode():
        expected = network(preset(pixels.permute(0, 3, 1, 2) / 255))
        found = PixelNetwork(network, mean, std).eval()(pixels)
    assert torch.allclose(found, expected, atol=1e-4)


def test_fingerprints_tell_networks_apart() -> None:
    a = {"x": torch.tensor([1.0]), "y": torch.tensor([2.0])}
    b = {"x": torch.tensor([1.0]), "y": torch.tensor([np.nextafter(np.float32(2), np.float32(3))])}
    assert fingerprint(a) == fingerprint(dict(reversed(a.items())))
    assert fingerprint(a) != fingerprint(b)


def test_auto_goes_on_where_a_proxys_page_comes_instead_of_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(file: networks.WeightsFile, _progress: object) -> None:
        if file.source.startswith("https"):
            raise Corrupt("a page came. The file was removed; try again.")

    monkeypatch.setattr(weights, "fetch", fetch)
    report = QuietReporter()
    assert builder._available(Options(Path("bundle"), weights=AUTO), report).weights == "lite0"
    assert "official weights cannot be had: a page came. The file was removed; try again. Going on" in report.said[-1]
