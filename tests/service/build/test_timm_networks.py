"""timm's networks, where it is installed: the smallest of them, which it keeps for tests."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from service.build import checkpoint, timm_networks, weights
from service.build.builder import build
from service.build.checkpoint_file import CheckpointError
from service.build.download import Unreachable
from service.build.networks import PixelNetwork, make
from service.build.options import Options
from service.errors import BuildError
from service.model import engines
from service.model.images import Pixels
from service.model.networks import Preprocessing, find
from tests.conftest import QuietReporter, encode, missing, photo

pytestmark = pytest.mark.slow

SIZE = 160
HALF = (0.5, 0.5, 0.5)


@pytest.fixture(autouse=True)
def timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        missing("timm is not installed")
    return timm_networks._timm()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("test_resnt", r"has no network 'test_resnt'; did you mean test_resnet"),
        ("test_resnet.r161_in1k", r"has no network .*; did you mean test_resnet\.r160_in1k"),
        ("0", r"has no network '0'$"),
    ],
)
def test_a_name_that_timm_does_not_have_is_answered_with_near_ones(name: str, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        make(f"timm/{name}", 3)


def test_where_timm_is_not_installed_it_is_said_how_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(BuildError, match=re.escape("pip install --no-deps -r requirements/timm.txt")):
        make("timm/test_resnet", 3)


@pytest.mark.parametrize(
    ("name", "splits"),
    [("test_resnet", True), ("test_efficientnet", True), ("test_vit", False), ("test_convnext", False)],
)
def test_the_answers_are_timms_whether_or_not_it_ends_in_a_mean_and_one_linear_layer(name: str, splits: bool) -> None:
    network = make(f"timm/{name}", 5)
    preset = timm_networks.preprocessing(network)
    pixels = torch.randint(0, 256, (2, preset.crop, preset.crop, 3), dtype=torch.uint8)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (preset.mean, preset.std))
    wrapped = PixelNetwork(network, preset.mean, preset.std).eval()
    with torch.inference_mode():
        expected = network((pixels.permute(0, 3, 1, 2) / 255 - mean) / std)
        torch.testing.assert_close(wrapped(pixels), expected, rtol=1e-3, atol=1e-4)
    assert (wrapped.fc is not None) is splits


def test_timms_own_weights_are_loaded_by_timm(timm: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As timm does it, from a file in place of its hub; and what its hub does not give is a sentence."""
    torch.manual_seed(4)
    state = make("timm/test_resnet", 1000).state_dict()
    torch.save(state, tmp_path / "weights.pth")
    row = find("timm", "timm/test_resnet")
    create = timm.create_model
    monkeypatch.setattr(
        timm,
        "create_model",
        lambda name, **options: create(name, pretrained_cfg_overlay={"file": str(tmp_path / "weights.pth")}, **options),
    )
    trained = weights.of_timm(row)
    assert all(torch.equal(value, state[name]) for name, value in trained.network.state_dict().items())
    assert trained.preprocessing == Preprocessing(168, SIZE, "bilinear", HALF, HALF)
    assert trained.info.trained_on == "timm's test_resnet (timm/test_resnet.r160_in1k, apache-2.0)."
    assert (trained.info.name, len(trained.labels), trained.labels[0].en) == ("timm", 1000, "tench")
    (tmp_path / "weights.pth").unlink()
    with pytest.raises(Unreachable, match=r"timm/test_resnet\.r160_in1k cannot be fetched by timm: ") as caught:
        weights.of_timm(row)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"crop_mode": "squash"}, "crop squash to 160 x 160; known are a central square, bilinear and bicubic"),
        ({"interpolation": "nearest"}, "not served here: nearest"),
        ({"input_size": (3, 160, 192)}, "to 160 x 192"),
    ],
)
def test_other_preparations_are_refused(changes: dict[str, Any], message: str) -> None:
    network = timm_networks.make("timm/test_resnet", 3)
    network.pretrained_cfg = {**network.pretrained_cfg, **changes}
    with pytest.raises(BuildError, match=message):
        timm_networks.preprocessing(network)


def test_ones_own_checkpoint_of_a_network_that_ends_otherwise_is_built(tmp_path: Path) -> None:
    """Answers are PyTorch's, pictures are prepared as timm says; what ncnn cannot run is left out, and said."""
    torch.manual_seed(5)
    network = make("timm/test_vit", 3)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "own.pth")
    (tmp_path / "pictures").mkdir()
    for index in range(20):
        (tmp_path / "pictures" / f"{index}.jpg").write_bytes(encode(photo().crop((index, index, 200 + index, 160))))
    report = QuietReporter()
    options = Options(
        output=tmp_path / "bundle",
        weights=str(tmp_path / "own.pth"),
        architecture="timm/test_vit",
        calibration=tmp_path / "pictures",
    )
    made = build(options, report)
    manifest = made.manifest
    assert (manifest.architecture, manifest.weights.name, manifest.classes) == ("timm/test_vit", "custom", 3)
    assert (manifest.resize, manifest.crop, manifest.interpolation, manifest.mean) == (168, SIZE, "bicubic", HALF)
    assert any(line.startswith("Going on without ncnn, which cannot run timm/test_vit") for line in report.said)
    assert {"fp32", "int8"} == set(manifest.networks)
    pixels: Pixels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1).numpy()
    found = engines.open_engine(made, "auto", "fp32", 1).logits(pixels[None])
    np.testing.assert_allclose(found, expected, atol=1e-3)


def test_a_checkpoint_of_another_network_of_timms_is_refused(tmp_path: Path) -> None:
    torch.save(make("timm/test_vit", 3).state_dict(), tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=r"holds no parameters of a timm/test_resnet: nowhere a conv1\.0\.weight"):
        checkpoint.load(tmp_path / "own.pth", "timm/test_resnet")


def test_a_checkpoint_of_a_network_whose_classifier_is_not_linear_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.pth").write_bytes(b"not even read")
    with pytest.raises(BuildError, match="timm/dpn48b does not end in one linear layer: how many classes a checkpoint"):
        checkpoint.load(tmp_path / "own.pth", "timm/dpn48b")
