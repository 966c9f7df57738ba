from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from service.errors import BundleError
from service.model import bundle
from service.model.bundle import Bundle


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    """A bundle that a test may damage."""
    target = tmp_path / "bundle"
    shutil.copytree(tiny_bundle.path, target)
    return target


def test_a_sound_bundle_is_read_back(tiny_bundle: Bundle) -> None:
    again = bundle.read(tiny_bundle.path)
    assert again == tiny_bundle
    assert [label.name("zh") for label in again.labels[:3]] == ["红", "绿", "蓝"]
    assert len(again.manifest.samples) == 3


def every_file(path: Path) -> list[str]:
    return sorted(str(file.relative_to(path)) for file in path.rglob("*") if file.is_file())


def test_the_manifest_vouches_for_every_file(digits_bundle: Bundle) -> None:
    assert {*digits_bundle.manifest.files, bundle.MANIFEST} == set(every_file(digits_bundle.path))


def test_every_missing_file_is_named(copy: Path) -> None:
    for name in every_file(copy):
        hidden = copy.parent / "hidden"
        (copy / name).rename(hidden)
        with pytest.raises(BundleError, match=re.escape(f"{copy / name} is missing")) as caught:
            bundle.read(copy)
        assert "\n" not in str(caught.value)
        assert "python -m service build" in str(caught.value)
        hidden.rename(copy / name)
    bundle.read(copy)


def test_every_damaged_file_is_named(copy: Path) -> None:
    for name in every_file(copy):
        sound = (copy / name).read_bytes()
        broken = bytearray(sound)
        broken[len(broken) // 2] ^= 0xFF
        (copy / name).write_bytes(broken)
        with pytest.raises(BundleError, match=re.escape(str(copy / name))) as caught:
            bundle.read(copy)
        assert "\n" not in str(caught.value)
        (copy / name).write_bytes(sound)
    bundle.read(copy)


def test_networks_may_be_verified_when_they_are_opened(copy: Path) -> None:
    """A damaged network that nobody opens does not matter; the one that is opened does."""
    (copy / "network.onnx").write_bytes(b"damaged")
    found = bundle.read(copy, networks_later=True)
    assert found.network("int8").exists()
    with pytest.raises(BundleError, match=r"network\.onnx is damaged"):
        found.network("fp32")


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format=99),
        lambda m: m.update(interpolation="nearest"),
        lambda m: m.pop("weights"),
        lambda m: m["weights"].pop("sha256"),
        lambda m: m.update(unknown=1),
        lambda m: m["files"].pop("network.onnx"),
        lambda m: m["files"].update({"../outside": {"bytes": 1, "sha256": "0"}}),
        lambda m: m["files"].update({"/etc/passwd": {"bytes": 1, "sha256": "0"}}),
        lambda m: m["samples"][0].update(answers={"fp32": [["x", "y"]]}),
        lambda m: m.update(classes=11),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(copy: Path, change: Callable[[dict[str, object]], None]) -> None:
    file = copy / bundle.MANIFEST
    manifest = json.loads(file.read_text("utf-8"))
    change(manifest)
    file.write_text(json.dumps(manifest))
    with pytest.raises(BundleError):
        bundle.read(copy)


def test_a_network_that_was_not_built_is_named_with_the_option_that_builds_it(tiny_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"holds no torchscript network.*--torchscript"):
        tiny_bundle.network("torchscript")


def test_a_packed_bundle_holds_only_what_is_served(tiny_bundle: Bundle, tmp_path: Path) -> None:
    precision = tiny_bundle.manifest.default_precision
    packed = bundle.pack(tiny_bundle, tmp_path / "packed", {precision}, precision)
    assert set(packed.manifest.networks) == {precision}
    assert packed.network(precision).read_bytes() == tiny_bundle.network(precision).read_bytes()
    assert packed.labels == tiny_bundle.labels
    assert {*packed.manifest.files, bundle.MANIFEST} == set(every_file(packed.path))
    with pytest.raises(BundleError, match="exists already"):
        bundle.pack(tiny_bundle, tmp_path / "packed", {precision}, precision)
    (other,) = {"fp32", "int8"} - {precision}
    with pytest.raises(BundleError, match=rf"holds no {other} network, because it is packed for {precision}: leave .*"):
        packed.network(other)


def test_a_bundle_is_packed_in_int8_only_where_its_gate_allowed_that(tiny_bundle: Bundle, tmp_path: Path) -> None:
    """FP32 may be asked for, and is then what is served by default."""
    refused = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, default_precision="fp32"))
    with pytest.raises(BundleError, match="is not to be served in int8: it failed its accuracy gate"):
        bundle.pack(refused, tmp_path / "int8", {"int8"}, "int8")
    assert not (tmp_path / "int8").exists()
    allowed = replace(tiny_bundle, manifest=replace(tiny_bundle.manifest, default_precision="int8"))
    assert bundle.pack(allowed, tmp_path / "fp32", {"fp32"}, "fp32").manifest.default_precision == "fp32"


def test_a_bundle_without_a_tolerance_has_the_usual_one(copy: Path) -> None:
    """Bundles that were built before the manifest said it go on being served."""
    file = copy / bundle.MANIFEST
    manifest = json.loads(file.read_text("utf-8"))
    assert set(manifest.pop("tolerance")) == {"fp32", "int8"}
    file.write_text(json.dumps(manifest))
    assert bundle.read(copy).manifest.tolerance == bundle.TOLERANCE


def test_equal_content_gives_equal_bytes(tiny_bundle: Bundle, copy: Path) -> None:
    """Reproducible image layers need it: writing again changes nothing."""
    before = (copy / bundle.MANIFEST).read_bytes()
    bundle.write(copy, tiny_bundle.manifest, tiny_bundle.labels)
    assert (copy / bundle.MANIFEST).read_bytes() == before
