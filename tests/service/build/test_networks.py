"""EfficientNet-Lite0 as it was published, and checkpoints of architectures that are no ResNets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.build import checkpoint
from service.build.checkpoint_file import CheckpointError
from service.build.efficientnet_lite import _SameConvolution
from service.build.networks import PixelNetwork, make
from service.model.networks import find

pytestmark = pytest.mark.slow

State = dict[str, torch.Tensor]
ARCHITECTURE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def state() -> State:
    torch.manual_seed(3)
    return make(ARCHITECTURE, 3).state_dict()


@pytest.mark.parametrize("size", [7, 8, 15, 16])
@pytest.mark.parametrize("kernel", [3, 5])
def test_convolutions_of_stride_2_are_padded_as_tensorflow_pads(size: int, kernel: int) -> None:
    """By the formula of its documentation of "SAME": an even size leaves the odd row of padding at the end."""
    convolution = _SameConvolution(2, 3, kernel, 2)
    picture = torch.rand(1, 2, size, size)
    total = max(kernel - (size % 2 or 2), 0)
    before, after = total // 2, total - total // 2
    padded = torch.zeros(1, 2, size + total, size + total)
    padded[:, :, before : before + size, before : before + size] = picture
    with torch.inference_mode():
        expected = torch.nn.functional.conv2d(padded, convolution.weight, stride=2)
        found = convolution(picture)
    assert found.shape[2:] == ((size + 1) // 2, (size + 1) // 2)
    assert after >= before
    torch.testing.assert_close(found, expected)


def test_pixels_are_scaled_as_it_was_trained(state: State) -> None:
    """(x - 127) / 128, and the features' mean and one linear layer are the network's own answer."""
    network = make(ARCHITECTURE, 3)
    network.load_state_dict(state)
    preset = find("lite0").preprocessing
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network((pixels.permute(0, 3, 1, 2).float() - 127) / 128)
        found = PixelNetwork(network, preset.mean, preset.std).eval()(pixels)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_checkpoint_of_it_is_read(prefix: str, state: State, tmp_path: Path) -> None:
    content = {"epoch": 3, "model": {prefix + name: value for name, value in state.items()}}
    torch.save(content, tmp_path / "own.pth")
    loaded = checkpoint.load(tmp_path / "own.pth", ARCHITECTURE)
    assert loaded.classes == 3
    found = loaded.network.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in state.items() if "num_batches" not in name)


REFUSED: list[tuple[Callable[[State], State], str, str]] = [
    (lambda state: {k: v for k, v in state.items() if k != "_bn1.bias"}, ARCHITECTURE, "lacks _bn1.bias, which an"),
    (lambda state: {**state, "extra.weight": torch.ones(2)}, ARCHITECTURE, "has extra.weight, which an"),
    (lambda state: {**state, "_bn1.bias": torch.ones(7)}, ARCHITECTURE, "_bn1.bias is of 7, expected 1280"),
    (lambda state: {**state, "_bn1.bias": torch.full((1280,), torch.nan)}, ARCHITECTURE, "holds NaN in _bn1.bias"),
    (
        lambda state: {**state, "_fc.weight": torch.ones(1, 1280), "_fc.bias": torch.ones(1)},
        ARCHITECTURE,
        "has 1 output, as for a sigmoid",
    ),
    (
        lambda state: {k: v for k, v in state.items() if not k.startswith("_fc")},
        ARCHITECTURE,
        "holds no _fc.weight of classes x features",
    ),
    (lambda state: state, "resnet18", "no parameters of a torchvision ResNet: nowhere a layer1.0.conv1.weight, but"),
    (lambda _: make("resnet18", 3).state_dict(), ARCHITECTURE, "holds no parameters of an efficientnet_lite0"),
]


@pytest.mark.parametrize(("change", "architecture", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_a_checkpoint_that_does_not_fit_is_refused_in_a_sentence(
    change: Callable[[State], State], architecture: str, message: str, state: State, tmp_path: Path
) -> None:
    torch.save(change(state), tmp_path / "own.pth")
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(tmp_path / "own.pth", architecture)
    assert "\n" not in str(caught.value)
