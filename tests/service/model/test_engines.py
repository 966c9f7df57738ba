"""All engines compute what PyTorch computes, on real pictures and the network of the full size."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from service.errors import BundleError, EngineError
from service.model.bundle import Bundle
from service.model.classifier import softmax
from service.model.engines import check_available, choose, networks, open_engine
from service.model.engines.table import ENGINES
from service.model.images import Geometry, load
from service.model.limits import Limits
from tests.conftest import REPOSITORY, photo_file
from tests.sandbox import without_executable_memory

PHOTOS = ("china.jpg", "flower.jpg", "chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg", "retina.jpg")


@pytest.fixture(scope="module")
def pictures() -> npt.NDArray[np.uint8]:
    return np.stack([load(photo_file(name).read_bytes(), Geometry(), Limits()) for name in PHOTOS])


@pytest.fixture(scope="module")
def expected(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Probabilities by eager torchvision, fed as its own preset feeds it."""
    import torch

    from service.build import weights
    from service.model.bundle import IMAGENET_MEAN, IMAGENET_STD
    from service.model.networks import find

    network = weights.untrained(find("untrained")).network
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    scaled = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        return softmax(network((scaled - mean) / std).numpy())


@pytest.mark.parametrize("name", ENGINES)
def test_fp32_agrees_with_eager_torchvision(
    name: str,
    untrained_bundle: Bundle,
    pictures: npt.NDArray[np.uint8],
    expected: npt.NDArray[np.float32],
) -> None:
    """Probabilities within 1e-3 (of the highest: an untrained network's are small) and the same three labels."""
    engine = open_engine(untrained_bundle, name, "fp32", threads=2)
    for exclusive in (True, False):
        found = softmax(engine.logits(pictures, exclusive=exclusive))
        assert found.shape == expected.shape
        assert found.dtype == np.float32
        assert np.abs(found - expected).max() <= 1e-3 * expected.max()
        assert (np.argsort(-found)[:, :3] == np.argsort(-expected)[:, :3]).all()


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_int8_is_close_and_engines_agree_on_it(
    name: str, untrained_bundle: Bundle, pictures: npt.NDArray[np.uint8], expected: npt.NDArray[np.float32]
) -> None:
    found = softmax(open_engine(untrained_bundle, name, "int8", threads=2).logits(pictures))
    assert np.abs(found - expected).max() <= 0.25 * expected.max()


@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("threads", [1, 2])
def test_many_callers_at_once_get_their_own_answers(
    name: str, threads: int, digits_bundle: Bundle, pictures: npt.NDArray[np.uint8]
) -> None:
    engine = open_engine(digits_bundle, name, "fp32", threads)
    small = np.ascontiguousarray(pictures[:, ::7, ::7])  # [N, 32, 32, 3]
    expected = engine.logits(small)
    wrong = []

    def call(index: int) -> None:
        for turn in range(8):
            found = engine.logits(small[index : index + 1], exclusive=bool(turn % 2))
            if not np.allclose(found[0], expected[index], atol=1e-4):
                wrong.append(index)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(PHOTOS))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert wrong == []


@pytest.mark.parametrize(
    ("engine", "precision", "expected"),
    [
        ("auto", "auto", ("openvino", "int8")),
        ("auto", "fp32", ("ncnn", "fp32")),
        ("openvino", "auto", ("openvino", "int8")),
        ("openvino", "fp32", ("openvino", "fp32")),
        ("torch", "auto", ("torch", "fp32")),
        ("ncnn", "auto", ("ncnn", "fp32")),
    ],
)
def test_auto_takes_what_the_gate_allowed_and_the_fastest_engine_for_it(
    engine: str, precision: str, expected: tuple[str, str], digits_bundle: Bundle
) -> None:
    assert digits_bundle.manifest.default_precision == "int8"
    assert choose(digits_bundle, engine, precision) == expected


def test_auto_does_without_ncnn_where_it_or_its_network_is_missing(
    digits_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {kind: name for kind, name in digits_bundle.manifest.networks.items() if kind != "ncnn_graph"}
    older = replace(digits_bundle, manifest=replace(digits_bundle.manifest, networks=kept))
    assert choose(older, "auto", "fp32") == ("openvino", "fp32")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert choose(digits_bundle, "auto", "fp32") == ("openvino", "fp32")


def test_an_engine_that_is_not_installed_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the image, where there is no pip, tests/container/test_image.py asks."""
    held = "service.build"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == held else None)
    with pytest.raises(EngineError, match="ENGINE=onnxruntime needs the package onnxruntime: pip install onnxruntime"):
        check_available("onnxruntime")


@pytest.mark.skipif(
    sys.platform != "linux" or tuple(map(int, os.uname().release.split(".")[:2])) < (6, 3),
    reason="PR_SET_MDWE is Linux 6.3's",
)
@pytest.mark.parametrize("name", ENGINES)
def test_where_written_code_may_not_run_an_engine_works_or_says_so(name: str, digits_bundle: Bundle) -> None:
    """As under systemd's MemoryDenyWriteExecute; what the engine itself would say is nonsense."""
    picture = digits_bundle.path / digits_bundle.manifest.samples[0].file
    result = subprocess.run(
        [sys.executable, "-m", "service", "classify", picture],
        env={**os.environ, "MODEL_DIR": str(digits_bundle.path), "ENGINE": name},
        cwd=REPOSITORY,
        preexec_fn=without_executable_memory,
        capture_output=True,
        text=True,
        check=False,
    )
    if not ENGINES[name].writes_code:
        assert result.returncode == 0, result.stderr
        return
    assert result.returncode == 3, result.stdout
    assert result.stderr.startswith(f"Error: ENGINE={name} writes machine code")
    for remedy in ("MemoryDenyWriteExecute=no", "execmem", "ENGINE=ncnn PRECISION=fp32"):
        assert remedy in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", ENGINES)
def test_a_file_that_is_no_network_is_an_error_of_one_line(name: str, digits_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "network").write_bytes(b"not a network")
    files = dict.fromkeys(networks(name, "fp32"), "network")
    manifest = replace(digits_bundle.manifest, networks=files)
    broken = Bundle(tmp_path, manifest, digits_bundle.labels, "")
    with pytest.raises(EngineError, match=f"ENGINE={name} cannot load") as caught:
        open_engine(broken, name, "fp32", 1)
    assert "\n" not in str(caught.value)


def test_a_precision_that_was_not_built_is_an_error(digits_bundle: Bundle) -> None:
    manifest = digits_bundle.manifest.__class__(**{**digits_bundle.manifest.__dict__, "networks": {}})
    with pytest.raises(BundleError, match="holds no int8 network"):
        open_engine(Bundle(digits_bundle.path, manifest, digits_bundle.labels, ""), "openvino", "int8", 1)
