"""Real photographs, over HTTP, to a network that knows ImageNet's classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.model.bundle import Bundle
from tests.server import Server, running

Build = tuple[Bundle, str]


@pytest.fixture(scope="module")
def server(lite0_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("lite0"), MODEL_DIR=lite0_bundle.path, PRECISION="fp32") as started:
        yield started


def test_photographs_get_their_names_in_both_languages(server: Server, lite0_bundle: Bundle, shared_data: Path) -> None:
    """At least 85 % right of 200, in FP32; half of them are asked for in each language."""
    from service.build import labels
    from service.build.vision import torchvision

    english = torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    names = {"en": english, "zh": [label.zh for label in labels.imagenet(english)]}
    classes: dict[str, int] = json.loads((shared_data / "photos" / "labels.json").read_text())
    right = 0
    for number, (file, expected) in enumerate(sorted(classes.items())):
        assert lite0_bundle.labels[expected].wordnet_id == file.partition("_")[0]
        lang = ("en", "zh")[number % 2]
        answer = server.request("POST", f"/predict?lang={lang}", (shared_data / "photos" / file).read_bytes())
        assert answer.status == 200, file
        predictions: list[dict[str, Any]] = answer.json()["predictions"]
        assert [names[lang][item["index"]] for item in predictions] == [item["label"] for item in predictions]
        right += predictions[0]["index"] == expected
    assert len(classes) == 200
    assert right / len(classes) >= 0.85


def test_the_samples_have_sensible_names(lite0_bundle: Bundle) -> None:
    """What a person tries first on the page."""
    names = {
        "chelsea.jpg": {"tiger cat", "Egyptian cat", "tabby"},
        "coffee.jpg": {"espresso"},
        "camera.jpg": {"tripod"},
    }
    found = {
        Path(sample.file).name: lite0_bundle.labels[sample.answers["fp32"][0][0]].en
        for sample in lite0_bundle.manifest.samples
    }
    assert found.keys() == names.keys()
    assert all(found[file] in names[file] for file in names), found


def test_which_network_is_answering_is_said_everywhere(server: Server, lite0_build: Build) -> None:
    """By the build, on the page, by /version and in the log: it is no ResNet-18."""
    _, said = lite0_build
    assert "The official weights cannot be had: http://127.0.0.1:9/" in said
    assert "Going on with lite0" in said
    page = server.request("GET", "/").body.decode()
    assert "EfficientNet-Lite0, trained on ImageNet-1k" in page
    assert "resnet" not in page.lower().replace("-", "")
    model = server.request("GET", "/version").json()["model"]
    assert (model["architecture"], model["weights"]) == ("efficientnet_lite0", "lite0")
    (ready,) = [line for line in server.lines() if line["message"].startswith("ready: ")]
    assert "efficientnet_lite0 (lite0)" in ready["message"]
