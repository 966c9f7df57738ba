from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from service.build import weights
from service.build.networks import PixelNetwork, fingerprint, make
from service.build.options import ARCHITECTURES
from service.build.vision import torchvision
from service.model.bundle import IMAGENET_MEAN, IMAGENET_STD, Channels

pytestmark = pytest.mark.slow


def test_the_official_weights_are_torchvisions_and_checked_in_full() -> None:
    """The address and preset are torchvision's; the hash begins with the digits in the file's name."""
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    name = entry.url.rsplit("/", 1)[1]
    digest, size = weights._FULL_DIGESTS[name]
    assert (len(digest), size) == (64, 46_830_571)
    assert name == f"resnet18-{digest[:8]}.pth"
    assert entry.transforms().mean == list(IMAGENET_MEAN)
    assert entry.transforms().std == list(IMAGENET_STD)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_official_is_loaded_from_its_own_address_and_cache(
    architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """All but the bytes themselves: a file of the right shape stands in for the download."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    seen: dict[str, object] = {}

    def fetch(url: str, target: Path, digest: str, size: int | None, progress: object) -> Path:
        seen.update(url=url, target=target, digest=digest)
        target.parent.mkdir(parents=True)
        torch.save(make(architecture, 1000).state_dict(), target)
        return target

    monkeypatch.setattr(weights, "fetch", fetch)
    trained = weights.official(architecture)
    url = str(seen["url"])
    assert url.startswith("https://download.pytorch.org/models/")
    name = url.rsplit("/", 1)[1]
    assert seen["target"] == tmp_path / "hub" / "checkpoints" / name
    assert str(seen["digest"]).startswith(name.rsplit("-", 1)[1].removesuffix(".pth"))
    assert (trained.resize, trained.crop, len(trained.labels)) == (256, 224, 1000)
    assert trained.info.name == "official"
    assert len(trained.info.sha256) == 64


def test_untrained_is_always_the_same_network() -> None:
    assert weights.untrained("resnet18").info == weights.untrained("resnet18").info


@pytest.mark.parametrize("architecture", ARCHITECTURES)
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
