"""The networks' layers, wrapped so that they take the pixels of a picture as they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from service.build import timm_networks
from service.build.efficientnet_lite import EfficientNetLite0
from service.build.vision import torchvision
from service.errors import BuildError
from service.model.bundle import IMAGENET_MEAN, IMAGENET_STD, Channels
from service.model.networks import TIMM


def make(architecture: str, classes: int) -> nn.Module:
    """Return an initialised network in evaluation mode, float32 [N, 3, H, W] to [N, classes].

    `architecture` is one of model.networks.ARCHITECTURES, or one of timm's.

    Raises:
        BuildError: timm is not installed, or has no such network.
    """
    if architecture.startswith(TIMM):
        made: nn.Module = timm_networks.make(architecture, classes)
        return made
    if architecture == "efficientnet_lite0":
        return EfficientNetLite0(classes).eval()
    network: nn.Module = getattr(torchvision.models, architecture)(weights=None, num_classes=classes)
    return network.eval()


def _split(network: nn.Module) -> tuple[nn.Module, nn.Module | None]:
    """Return what comes before the mean over the plane, and the linear layer after it; the whole where it has none."""
    if timm_networks.is_timms(network):
        return timm_networks.split(network) or (network, None)
    if isinstance(network, EfficientNetLite0):
        return network.trunk(), network.get_submodule("_fc")
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
    if not isinstance(network, torchvision.models.ResNet):
        return network, None
    return nn.Sequential(*(getattr(network, name) for name in names)), network.get_submodule("fc")


def head_and_anchor(architecture: str) -> tuple[str, str]:
    """Return the names of the linear layer that tells classes apart, and of the network's first parameter.

    Raises:
        BuildError: it has no such layer, so that nothing tells how many classes a checkpoint of it knows.
    """
    with torch.device("meta"):
        network = make(architecture, 2)
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    heads = [name for name in names if network.get_submodule(name).get_parameter("weight").shape[0] == 2]
    if len(heads) != 1:
        raise BuildError(
            f"{architecture} does not end in one linear layer: how many classes a checkpoint of it knows cannot be told"
        )
    return heads[0], next(iter(network.state_dict()))


class PixelNetwork(nn.Module):
    """A network that takes uint8 pixels: [N, H, W, 3] RGB in, float32 [N, classes] logits out.

    The conversion, the mean and standard deviation that pixels from 0 to 1 were normalised with in training, and the
    change of layout become part of the graph, where an engine fuses them with the first convolution; a server that
    hands over bytes cannot get them wrong.

    Attributes:
        fc: the linear layer after the mean over the plane; None for a network that ends otherwise.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: Channels = IMAGENET_MEAN, std: Channels = IMAGENET_STD) -> None:
        super().__init__()
        self.features, self.fc = _split(network)  # no fc: it does not end in a mean and one linear layer
        self.register_buffer("mean", 255 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1 / (255 * torch.tensor(std).view(1, 3, 1, 1)))

    def forward(self, pixels: Tensor) -> Tensor:
        """See the class."""
        return self.outputs(pixels)[0]

    def outputs(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return the logits [N, classes] and, where it has `fc`, the feature map [N, C, h, w] that they come from."""
        x = pixels.permute(0, 3, 1, 2).float()  # [N, 3, H, W]
        x = self.features((x - self.mean) * self.scale)  # [N, C, H / 32, W / 32]
        if self.fc is None:
            return (torch.flatten(x, 1),)
        # The mean over the plane is what AdaptiveAvgPool2d and flatten do, in one operator that every engine knows.
        return self.fc(x.mean((2, 3))), x


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 over all parameters in the order of their names: equal networks have equal ones."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
