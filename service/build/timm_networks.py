"""The networks of timm, where it is installed: made, given their weights, and asked how they see pictures.

What timm offers is its own to say: names, weights and preprocessing come from its own tables, weights from its own hub.
"""

from __future__ import annotations

import copy
import difflib
import importlib.util
import math
from typing import Any

import torch
from torch import nn

from service.build.download import Unreachable
from service.errors import BuildError
from service.model.bundle import INTERPOLATIONS
from service.model.networks import TIMM, Preprocessing


def _timm() -> Any:
    if importlib.util.find_spec("timm") is None:
        raise BuildError("timm is not installed: pip install --no-deps -r requirements/timm.txt")
    from service.build import vision  # noqa: F401  # timm imports torchvision, which has to be prepared

    import timm  # isort: skip

    return timm


def make(architecture: str, classes: int | None = None) -> Any:
    """Return an initialised network of timm in evaluation mode, float32 [N, 3, H, W] to [N, classes].

    Args:
        architecture: TIMM and the name, with or without a tag of its weights.
        classes: None for as many as its weights know.

    Raises:
        BuildError: timm is not installed, or has no such network; names near ones.
    """
    timm = _timm()
    name = architecture.removeprefix(TIMM)
    if not timm.is_model(name) or ("." in name and name not in timm.list_pretrained()):
        known = [*timm.list_models(), *timm.list_pretrained()]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        raise BuildError(
            f"timm {timm.__version__} has no network {name!r}" + (f"; did you mean {', '.join(near)}?" if near else "")
        )
    options = {} if classes is None else {"num_classes": classes}
    return timm.create_model(name, pretrained=False, **options).eval()


def pretrained(architecture: str) -> tuple[Any, str, str]:
    """Return a network with timm's own weights, where those are from, and their licence.

    Raises:
        BuildError: as `make`, or timm has no weights for it.
        Unreachable: they cannot be fetched from here.
    """
    described: dict[str, Any] = make(architecture).pretrained_cfg
    source = described.get("hf_hub_id") or described.get("url")
    if not source:
        raise BuildError(f"timm has no weights for {architecture.removeprefix(TIMM)}: --weights untrained or a file")
    try:
        network = _timm().create_model(architecture.removeprefix(TIMM), pretrained=True)
    except Exception as error:  # whatever its hub's client and its own loading raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
        raise Unreachable(
            f"{source} cannot be fetched by timm: {reason}. Check the network and try again, or give a checkpoint of "
            "your own with --weights FILE"
        ) from None
    return network.eval(), str(source), str(described.get("license") or "")


def preprocessing(network: nn.Module) -> Preprocessing:
    """Return how timm prepares pictures for a network of its own.

    Raises:
        BuildError: in a way that this service does not know.
    """
    config = _timm().data.resolve_model_data_config(network)
    _, height, width = config["input_size"]
    if height != width or config["crop_mode"] != "center" or config["interpolation"] not in INTERPOLATIONS:
        raise BuildError(
            f"timm prepares pictures for it in a way that is not served here: {config['interpolation']}, crop "
            f"{config['crop_mode']} to {height} x {width}; known are a central square, {' and '.join(INTERPOLATIONS)}"
        )
    return Preprocessing(
        resize=math.floor(height / config["crop_pct"]),  # as timm.data.transforms_factory rounds it
        crop=height,
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
    )


def is_timms(network: nn.Module) -> bool:
    """Return whether `make` or `pretrained` made it."""
    return type(network).__module__.startswith("timm.")


def split(network: Any) -> tuple[nn.Module, nn.Linear] | None:
    """Return what comes before the mean over the plane, and the linear layer after it; None where it ends otherwise.

    Found out by computing: what timm calls features and classifier must give the network's own answers in this way.
    """
    classifier = network.get_classifier() if hasattr(network, "get_classifier") else None
    if not isinstance(classifier, nn.Linear) or not hasattr(network, "forward_features"):
        return None
    size = _timm().data.resolve_model_data_config(network)["input_size"]
    example = torch.rand(2, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = network.forward_features(example)
        if features.ndim != 4 or features.shape[1] != classifier.in_features:
            return None
        expected = network(example)
        found = classifier(features.mean((2, 3)))
    same = torch.allclose(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    return (_Features(network), classifier) if same else None


class _Features(nn.Module):
    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        self.network.reset_classifier(0)  # what is in the graph twice, the converter for ncnn does not know

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.network.forward_features(x)
        return features
