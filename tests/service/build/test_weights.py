from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.build import labels, weights
from service.build.networks import IMAGENET_MEAN, IMAGENET_STD, PixelNetwork, fingerprint, make
from service.build.options import ARCHITECTURES
from service.build.vision import torchvision

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


class TestCheckpoints:
    """A person's own file."""

    @pytest.fixture
    def state(self) -> dict[str, torch.Tensor]:
        return make("resnet18", 4).state_dict()

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda s: s,
            lambda s: {"state_dict": s, "epoch": 3},
            lambda s: {"model": s},
            lambda s: {f"module.{key}": value for key, value in s.items()},
            lambda s: {f"_orig_mod.{key}": value for key, value in s.items()},
        ],
    )
    def test_the_usual_forms_are_read(self, wrap: object, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(wrap(state), tmp_path / "own.pth")  # type: ignore[operator]
        trained = weights.from_file(tmp_path / "own.pth", "resnet18")
        assert fingerprint(trained.network.state_dict()) == fingerprint(state)
        assert [label.en for label in trained.labels] == ["class 0", "class 1", "class 2", "class 3"]

    def test_code_in_a_checkpoint_is_not_run(self, tmp_path: Path) -> None:
        """A pickle may run anything when it is read; this one would make a file."""

        class Attack:
            def __reduce__(self) -> tuple[Any, ...]:
                return Path.touch, (tmp_path / "attacked",)

        (tmp_path / "bad.pth").write_bytes(pickle.dumps({"state_dict": Attack()}, protocol=2))
        torch.save({"state_dict": Attack()}, tmp_path / "bad2.pth")
        for name in ("bad.pth", "bad2.pth"):
            with pytest.raises(weights.CheckpointError, match="no checkpoint of plain tensors"):
                weights.from_file(tmp_path / name, "resnet18")
        assert not (tmp_path / "attacked").exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "no checkpoint of plain tensors"),
            (b"garbage", "no checkpoint of plain tensors"),
            (None, "does not exist; --weights takes official, digits, untrained or a file"),
        ],
    )
    def test_other_files_are_refused(self, content: bytes | None, message: str, tmp_path: Path) -> None:
        if content is not None:
            (tmp_path / "own.pth").write_bytes(content)
        with pytest.raises(weights.CheckpointError, match=message):
            weights.from_file(tmp_path / "own.pth", "resnet18")

    def test_what_does_not_fit_says_so(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "own.pth")
        with pytest.raises(weights.CheckpointError, match=r"does not fit resnet34.*--arch"):
            weights.from_file(tmp_path / "own.pth", "resnet34")
        torch.save({"weights": torch.zeros(3)}, tmp_path / "other.pth")
        with pytest.raises(weights.CheckpointError, match=r"no fc\.bias"):
            weights.from_file(tmp_path / "other.pth", "resnet18")
        torch.save([torch.zeros(3)], tmp_path / "list.pth")
        with pytest.raises(weights.CheckpointError, match="holds a list"):
            weights.from_file(tmp_path / "list.pth", "resnet18")


class TestLabels:
    def test_imagenet_has_an_id_and_two_names_for_every_class(self) -> None:
        english = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
        found = labels.imagenet(english)
        assert len(found) == 1000
        ids = [label.wordnet_id for label in found]
        assert ids == sorted(set(ids))  # type: ignore[type-var]  # every one is a string, and their order is the classes'
        assert len({label.zh for label in found}) == 1000
        assert (found[0].en, found[0].zh, found[0].wordnet_id) == ("tench", "丁鱥", "n01440764")
        assert (found[134].zh, found[517].zh) == ("鹤", "起重机")  # two cranes

    def test_wordnet_ids_are_those_of_the_photographs(self, shared_data: Path) -> None:
        import json

        english = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
        found = labels.imagenet(english)
        for name, index in json.loads((shared_data / "photos" / "labels.json").read_text()).items():
            assert name.split("_")[0] == found[index].wordnet_id

    def test_ones_own_names_in_one_or_two_languages(self, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text("cat\t猫\ndog\n", "utf-8")
        assert [(x.en, x.zh) for x in labels.from_file(tmp_path / "labels.txt", 2)] == [("cat", "猫"), ("dog", "dog")]

    @pytest.mark.parametrize("text", ["cat\n", "cat\ndog\nbird\n", "cat\n\n"])
    def test_names_that_do_not_fit_are_refused(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(labels.LabelsError, match="the network has 2: one a line"):
            labels.from_file(tmp_path / "labels.txt", 2)

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(labels.LabelsError, match=r"none\.txt cannot be read"):
            labels.from_file(tmp_path / "none.txt", 2)


def test_fingerprints_tell_networks_apart() -> None:
    a = {"x": torch.tensor([1.0]), "y": torch.tensor([2.0])}
    b = {"x": torch.tensor([1.0]), "y": torch.tensor([np.nextafter(np.float32(2), np.float32(3))])}
    assert fingerprint(a) == fingerprint(dict(reversed(a.items())))
    assert fingerprint(a) != fingerprint(b)
