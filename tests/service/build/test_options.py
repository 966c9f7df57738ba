"""`--reuse` keeps a bundle only where it is what would be built."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.build.options import Options, reusable
from service.model import bundle
from service.model.bundle import Bundle
from service.model.networks import AUTO
from tests import tiny_bundle


@pytest.fixture
def there(tmp_path: Path) -> Bundle:
    return tiny_bundle.make(tmp_path / "bundle")


def with_weights(there: Bundle, name: str, architecture: str = "resnet18", sha256: str = "0" * 64) -> None:
    weights = replace(there.manifest.weights, name=name, sha256=sha256)
    bundle.write(there.path, replace(there.manifest, weights=weights, architecture=architecture), there.labels)


@pytest.mark.parametrize(
    ("held", "architecture", "asked", "kept"),
    [
        ("official", "resnet18", "official", True),
        ("official", "resnet18", AUTO, True),
        ("official", "resnet34", "official", False),
        ("official", "resnet18", "untrained", False),
        ("digits", "resnet18", AUTO, True),
        ("digits", "resnet18", "digits", True),
        ("digits", "resnet18", "official", False),
        ("lite0", "efficientnet_lite0", AUTO, True),
        ("lite0", "efficientnet_lite0", "lite0", True),
        ("lite0", "efficientnet_lite0", "official", False),
        ("untrained", "resnet18", AUTO, False),
        ("custom", "resnet18", AUTO, False),
    ],
)
def test_a_bundle_of_other_weights_or_architecture_is_built_again(
    held: str, architecture: str, asked: str, kept: bool, there: Bundle
) -> None:
    with_weights(there, held, architecture)
    assert (reusable(Options(output=there.path, weights=asked)) is not None) is kept


def test_digits_answer_any_architecture_because_they_stand_in_for_it(there: Bundle) -> None:
    with_weights(there, "digits")
    assert reusable(Options(output=there.path, weights=AUTO, architecture="resnet50"))


def test_a_checkpoint_is_known_by_its_content(there: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "own.pth"
    file.write_bytes(b"parameters")
    with_weights(there, "custom", sha256=bundle.sha256(file))
    assert reusable(Options(output=there.path, weights=str(file)))
    file.write_bytes(b"others")
    assert reusable(Options(output=there.path, weights=str(file))) is None


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"input_size": tiny_bundle.SIZE, "resize": tiny_bundle.SIZE, "mean": bundle.IMAGENET_MEAN}, True),
        ({"input_size": 64}, False),
        ({"resize": 64}, False),
        ({"interpolation": "bilinear"}, True),
        ({"interpolation": "bicubic"}, False),
        ({"mean": (0.5, 0.5, 0.5)}, False),
        ({"std": (0.5, 0.5, 0.5)}, False),
        ({"torchscript": True}, False),
    ],
)
def test_what_is_asked_for_is_what_is_kept(change: dict[str, Any], kept: bool, there: Bundle) -> None:
    with_weights(there, "official")
    assert (reusable(Options(output=there.path, **change)) is not None) is kept


@pytest.mark.parametrize(("judged_by", "kept"), [("25 pictures of mine", True), ("crops of others", False)])
def test_a_bundle_that_other_pictures_judged_is_built_again(judged_by: str, kept: bool, there: Bundle) -> None:
    with_weights(there, "official")
    made = bundle.read(there.path)
    bundle.write(there.path, replace(made.manifest, agreement={"source": judged_by}), made.labels)
    assert (reusable(Options(output=there.path, calibration=Path("some/mine"))) is not None) is kept


def test_other_names_are_another_bundle(there: Bundle, tmp_path: Path) -> None:
    with_weights(there, "official")
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(f"{label.en}\t{label.zh}" for label in there.labels), "utf-8")
    assert reusable(Options(output=there.path, labels=names))
    names.write_text("\n".join(f"animal {label.en}" for label in there.labels))
    assert reusable(Options(output=there.path, labels=names)) is None
    assert reusable(Options(output=there.path, labels=tmp_path / "none.txt")) is None


def test_what_is_missing_or_damaged_is_built_again(there: Bundle, tmp_path: Path) -> None:
    with_weights(there, "official")
    assert reusable(Options(output=tmp_path / "none")) is None
    there.network("int8").write_bytes(b"damaged")
    assert reusable(Options(output=there.path)) is None
