"""Bundles that were really built: what is in them, what the build said, and what it refuses."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from service.build import disk_space, export, pictures
from service.build.builder import build
from service.build.digits import SIZE, last_planes_alone, steps, train
from service.build.digits import load as load_digits
from service.build.export import to_ncnn, to_onnx
from service.build.networks import PixelNetwork, make
from service.build.options import Options
from service.build.weights import untrained
from service.errors import BuildError, EngineError, ServiceError
from service.model import engines
from service.model.bundle import Bundle
from service.model.engines.ncnn import NcnnEngine
from service.model.engines.openvino import OpenVINOEngine
from service.model.images import Geometry, load
from service.model.limits import Limits
from service.model.networks import find
from tests.conftest import REPOSITORY, UNTRAINED_PICTURES, QuietReporter, encode, photo

pytestmark = pytest.mark.slow

DigitsBuild = tuple[Bundle, str]


def test_digits_are_known_on_the_fifth_that_was_held_out(digits_build: DigitsBuild) -> None:
    """At least 97 % with either precision, counted here and not taken from the manifest."""
    made, said = digits_build
    data = load_digits()
    assert len(data.held_out) == 360
    assert not {p.tobytes() for p in data.held_out} & {p.tobytes() for p in data.train}
    for precision in ("fp32", "int8"):
        engine = engines.open_engine(made, "openvino", precision, 2)
        accuracy = float(np.mean(engine.logits(data.held_out).argmax(1) == data.held_out_labels))
        assert accuracy >= 0.97
        assert made.manifest.accuracy is not None
        assert made.manifest.accuracy[precision] == pytest.approx(accuracy, abs=1e-4)
    assert re.search(r"of 360 with a label FP32 gets .*% right, INT8 .*% confidence", said)
    assert "Training on handwritten digits" in said


def test_training_tells_each_of_its_steps() -> None:
    """As many as were announced, so that the bar ends full."""
    whole = load_digits()
    data = replace(whole, train=whole.train[:100], train_labels=whole.train_labels[:100])
    losses: list[float] = []
    train(data, losses.append, epochs=2)
    assert len(losses) == steps(data, epochs=2) > 2
    assert np.isfinite(losses).all()


def test_training_leaves_out_only_what_is_multiplied_with_padding() -> None:
    """Results and gradients are those of torchvision's network, which is as it was afterwards."""
    network = make("resnet18", 10)
    batch = torch.rand(4, 3, SIZE, SIZE)

    def results() -> list[torch.Tensor]:
        network.zero_grad()
        logits = network(batch)
        logits.square().sum().backward()
        return [logits, *(parameter.grad for parameter in network.parameters() if parameter.grad is not None)]

    expected = results()
    with last_planes_alone(network):
        found = results()
    assert len(found) == len(expected) == 1 + len(list(network.parameters()))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4 * float(other.detach().abs().max()))
    assert not any("forward" in vars(module) for module in network.modules())


def test_the_build_shows_its_progress_and_its_figures(untrained_build: tuple[Bundle, QuietReporter]) -> None:
    _, report = untrained_build
    assert report.steps == report.totals
    assert {"Calibrating INT8", "Comparing INT8 with FP32"} <= set(report.steps)
    assert any(
        re.search(r"calibration did not see \(gate 97%, .*\): (INT8|FP32) is the default", line) for line in report.said
    )
    assert any(line.startswith("INT8: ") for line in report.said)


def test_the_manifest_says_what_was_measured_and_made(digits_bundle: Bundle, untrained_bundle: Bundle) -> None:
    for made, calibration, judging in (
        (digits_bundle, 300, 360),
        (untrained_bundle, UNTRAINED_PICTURES, UNTRAINED_PICTURES),
    ):
        agreement = made.manifest.agreement
        assert agreement is not None
        assert (agreement["calibration_pictures"], agreement["pictures"]) == (calibration, judging)
        expected = "int8" if agreement["top1"] >= 0.97 else "fp32"
        assert made.manifest.default_precision == expected
        assert {"torch", "torchvision", "onnxruntime", "openvino", "pnnx", "ncnn"} <= set(made.manifest.tools)
        assert len(made.manifest.weights.sha256) == 64
    assert untrained_bundle.manifest.accuracy is None  # of an untrained network there is none to state


def test_int8_is_a_quarter_of_fp32_and_at_most_12_mb(untrained_bundle: Bundle) -> None:
    int8, fp32 = (untrained_bundle.network(kind).stat().st_size for kind in ("int8", "fp32"))
    assert int8 <= 12_000_000
    assert fp32 > 46_000_000


@pytest.mark.parametrize("kind", ["fp32", "int8"])
def test_onnx_takes_pixels_and_gives_logits(kind: str, untrained_bundle: Bundle) -> None:
    """uint8 [N, 224, 224, 3] in, float32 [N, 1000] out, with N free."""
    graph = onnx.load(untrained_bundle.network(kind)).graph
    shapes = []
    for value, kind_of in ((graph.input[0], onnx.TensorProto.UINT8), (graph.output[0], onnx.TensorProto.FLOAT)):
        assert value.type.tensor_type.elem_type == kind_of
        shapes.append([dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim])
    assert shapes == [["batch", 224, 224, 3], ["batch", 1000]]


def test_int8_weights_are_stored_as_bytes_with_a_scale_per_channel(untrained_bundle: Bundle) -> None:
    graph = onnx.load(untrained_bundle.network("int8")).graph
    kernels = [item for item in graph.initializer if item.data_type == onnx.TensorProto.INT8 and len(item.dims) == 4]
    assert len(kernels) == 20
    scales = {item.name: item for item in graph.initializer if item.name.endswith("_scale")}
    per_channel = [item for item in scales.values() if list(item.dims) in ([64], [128], [256], [512])]
    assert len(per_channel) >= 20


_NO_WINOGRAD = " 31=64\n"  # what ends a layer of ncnn's graph that goes without Winograd's convolution


def test_an_export_is_reproducible_and_names_no_path(untrained_bundle: Bundle, tmp_path: Path) -> None:
    """The same network gives the same bytes as in another build, perhaps of another process."""
    network = PixelNetwork(untrained(find("untrained")).network).eval()
    to_onnx(network, 224, tmp_path / "onnx")
    to_ncnn(network, 224, tmp_path / "ncnn", tmp_path / "graph")
    for file, name in (("onnx", "fp32"), ("ncnn", "ncnn"), ("graph", "ncnn_graph")):
        assert (tmp_path / file).read_bytes() == untrained_bundle.network(name).read_bytes()
    assert (tmp_path / "graph").read_text("utf-8").count(_NO_WINOGRAD) == 4
    model = onnx.load(tmp_path / "onnx")
    for initializer in model.graph.initializer:
        initializer.ClearField("raw_data")  # among millions of weights are the bytes of any short word
    assert b".py" not in model.SerializeToString()
    assert str(REPOSITORY).encode() not in model.SerializeToString()


@pytest.mark.parametrize(
    ("architecture", "size", "without"),
    [("resnet18", 33, 4), ("resnet18", 225, 0), ("resnet34", 64, 6)],
)
def test_ncnn_computes_what_pytorch_computes_at_any_size(
    architecture: str, size: int, without: int, tmp_path: Path
) -> None:
    """In both forms; planes of less than 8 x 8 go without Winograd's convolution."""
    import torch

    torch.manual_seed(0)
    network = PixelNetwork(make(architecture, 7)).eval()
    to_ncnn(network, size, tmp_path / "weights", tmp_path / "graph")
    assert (tmp_path / "graph").read_text("utf-8").count(_NO_WINOGRAD) == without
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, 3), np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(pixels)).numpy()
    engine = NcnnEngine([tmp_path / "weights", tmp_path / "graph"], "fp32", 2, size)
    for exclusive in (True, False):
        assert np.abs(engine.logits(pixels, exclusive=exclusive) - expected).max() <= 1e-4 * np.abs(expected).max()


def test_no_bundle_is_handed_over_whose_answers_the_service_would_refuse(
    own_options: Options, exports_at_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here ncnn's form is that of another network."""
    copy = export.to_ncnn

    def spoilt(network: PixelNetwork, size: int, weights: Path, graph: Path) -> None:
        copy(network, size, weights, graph)
        weights.write_bytes(bytes(weights.stat().st_size))

    monkeypatch.setattr(export, "to_ncnn", spoilt)
    with pytest.raises(EngineError, match="known-answer test failed"):
        build(own_options, QuietReporter())
    assert not own_options.output.exists()


@pytest.mark.parametrize(
    ("mode", "code", "message"),
    [
        (0o755, 1, "could not convert the network for ncnn: cannot$"),
        (0o755, 0, "could not convert the network for ncnn: cannot$"),
        (0o644, 1, "Permission denied"),
    ],
)
def test_a_converter_that_fails_is_told_in_a_sentence(
    mode: int, code: int, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it says last is passed on."""
    breaks_the_converter(tmp_path, monkeypatch, mode, code)
    with pytest.raises(ServiceError, match=message):
        to_ncnn(PixelNetwork(make("resnet18", 5)).eval(), 32, tmp_path / "weights", tmp_path / "graph")


def breaks_the_converter(folder: Path, monkeypatch: pytest.MonkeyPatch, mode: int, code: int) -> None:
    broken = folder / "pnnx"
    broken.write_text(f"#!/bin/sh\necho cannot >&2; exit {code}\n")
    broken.chmod(mode)
    monkeypatch.setattr("pnnx.EXEC_PATH", str(broken))


def test_a_converter_that_fails_leaves_no_half_bundle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    breaks_the_converter(tmp_path, monkeypatch, 0o755, 1)
    monkeypatch.setattr("service.build.export.to_onnx", lambda *_: None)  # seconds, for what is thrown away
    options = Options(
        output=tmp_path / "bundle",
        weights=str(own_checkpoint(tmp_path)),
        input_size=32,
        calibration=own_pictures(tmp_path, 20),
    )
    with pytest.raises(ServiceError, match="could not convert the network for ncnn"):
        build(options, QuietReporter())
    assert not (tmp_path / "bundle").exists()


def own_checkpoint(tmp_path: Path, architecture: str = "resnet18") -> Path:
    import torch

    torch.manual_seed(1)
    torch.save(make(architecture, 5).state_dict(), tmp_path / "own.pth")
    return tmp_path / "own.pth"


def own_pictures(tmp_path: Path, count: int) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(count):
        (folder / f"{index}.jpg").write_bytes(encode(photo().crop((index, index, 200 + index, 150 + index))))
    (folder / "notes.txt").write_text("not a picture")
    return folder


OwnBuild = tuple[Options, Bundle, QuietReporter]


@pytest.fixture(scope="module")
def own_build(tmp_path_factory: pytest.TempPathFactory) -> OwnBuild:
    """A whole build of another architecture, with everything that can be given: the options, and what came of them."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "labels.txt").write_text("a\nb\nc\nd\ne\t戊\n", "utf-8")
    report = QuietReporter()
    options = Options(
        output=folder / "bundle",
        weights=str(own_checkpoint(folder, "resnet50")),
        architecture="resnet50",
        input_size=64,
        calibration=own_pictures(folder, 24),
        labels=folder / "labels.txt",
        resize=80,
        interpolation="bicubic",
        mean=(0.5, 0.4, 0.3),
        std=(0.25, 0.25, 0.5),
    )
    return options, build(options, report), report  # whose answers, in every form, are compared with PyTorch's


@pytest.fixture
def own_options(own_build: OwnBuild, tmp_path: Path) -> Options:
    return replace(own_build[0], output=tmp_path / "bundle")


@pytest.fixture
def exports_at_hand(own_build: OwnBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares builds with `own_options` the export of the same network, which takes longest."""

    def copy(names: tuple[str, ...], _network: PixelNetwork, _size: int, *targets: Path) -> None:
        for name, target in zip(names, targets, strict=True):
            shutil.copyfile(own_build[1].network(name), target)

    monkeypatch.setattr(export, "to_onnx", partial(copy, ("fp32",)))
    monkeypatch.setattr(export, "to_ncnn", partial(copy, ("ncnn", "ncnn_graph")))


def test_ones_own_network_classes_size_and_pictures(own_build: OwnBuild) -> None:
    """Another architecture, five classes, 64 pixels, calibrated on a folder: everything comes from the bundle."""
    _, made, report = own_build
    manifest = made.manifest
    assert (manifest.architecture, manifest.classes, manifest.crop, manifest.resize) == ("resnet50", 5, 64, 80)
    assert manifest.interpolation == "bicubic"
    assert (manifest.mean, manifest.std) == ((0.5, 0.4, 0.3), (0.25, 0.25, 0.5))
    assert "5 classes: 0 = a, 1 = b, 2 = c, ..." in report.said
    assert made.labels[4].zh == "戊"
    assert manifest.agreement is not None
    assert (manifest.agreement["calibration_pictures"], manifest.agreement["pictures"]) == (12, 12)
    assert len(manifest.samples) == 4
    engine = engines.open_engine(made, "openvino", "auto", 1)
    assert engine.logits(np.zeros((2, 64, 64, 3), np.uint8)).shape == (2, 5)


def test_int8_that_disagrees_is_not_the_default(
    own_options: Options, exports_at_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate decides, and the build says so."""
    real = OpenVINOEngine

    def spoilt(files: list[Path], precision: str, threads: int, size: int) -> object:
        engine = real(files, precision, threads, size)
        if precision == "fp32":
            return engine
        shifted = lambda pixels, exclusive=True: np.roll(engine.logits(pixels, exclusive=exclusive), 1, axis=1)  # noqa: E731  # a fake
        return SimpleNamespace(precision="int8", logits=shifted)

    monkeypatch.setattr("service.build.builder.OpenVINOEngine", spoilt)
    report = QuietReporter()
    made = build(own_options, report)
    assert made.manifest.default_precision == "fp32"
    assert any("FP32 is the default" in line for line in report.said)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weights": "missing.pth"}, "missing.pth does not exist"),
        ({"weights": "digits", "architecture": "resnet50"}, "--weights digits is resnet18, not resnet50"),
        ({"calibration": Path("no-such-folder")}, "no-such-folder is no folder"),
        ({"resize": 200}, "--resize 200 is less than the 224 pixels"),
    ],
)
def test_what_cannot_be_built_leaves_nothing_behind(change: dict[str, object], message: str, tmp_path: Path) -> None:
    options = Options(**{"output": tmp_path / "bundle", "weights": "untrained", **change})  # type: ignore[arg-type]
    with pytest.raises(ServiceError, match=message):
        build(options, QuietReporter())
    assert list(tmp_path.iterdir()) == []


def test_a_failed_build_keeps_the_bundle_that_was_there(
    digits_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle"
    shutil.copytree(digits_bundle.path, target)
    weights, own = str(own_checkpoint(tmp_path)), own_pictures(tmp_path, 20)
    before = sorted(tmp_path.rglob("*"))

    def broken(_network: object, _size: int, file: Path) -> None:
        file.write_bytes(b"a part")
        raise RuntimeError("the disk is full")

    monkeypatch.setattr("service.build.export.to_onnx", broken)
    with pytest.raises(RuntimeError, match="the disk is full"):
        build(Options(output=target, weights=weights, input_size=32, calibration=own), QuietReporter())
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_is_no_bundle_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(BuildError, match="holds something that is no model bundle"):
        build(Options(output=tmp_path, weights="untrained", input_size=32), QuietReporter())
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_too_few_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(pictures.PicturesError, match="holds 3 pictures that can be read, at least 20 are needed"):
        pictures.from_folder(own_pictures(tmp_path, 3), Geometry(), [], QuietReporter())


_KINDS = {
    "upright": lambda picture: encode(picture, exif=turned(6)),
    "over white": lambda picture: encode(cut_out(picture), "PNG"),
    "16 bits": lambda picture: encode(Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257), "PNG"),
    "small": lambda picture: encode(picture.resize((40, 30))),
}


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def cut_out(picture: Image.Image) -> Image.Image:
    mask = Image.new("L", picture.size)
    mask.paste(255, (20, 20, picture.width - 40, picture.height - 40))
    picture.putalpha(mask)
    return picture


@pytest.mark.parametrize("kind", _KINDS)
def test_samples_look_as_the_service_sees_the_originals(kind: str, tmp_path: Path) -> None:
    originals = [_KINDS[kind](photo().crop((index, index, 300 + index, 200 + index))) for index in range(20)]
    for index, data in enumerate(originals):
        (tmp_path / str(index)).write_bytes(data)
    geometry = Geometry(73, 64)
    seen = [load(data, geometry, Limits()).astype(float) for data in originals]
    for _, sample in pictures.from_folder(tmp_path, geometry, [], QuietReporter()).samples:
        found = load(sample, geometry, Limits())
        assert min(np.abs(found - one).mean() for one in seen) < 3


def test_files_that_cannot_be_read_are_left_out_and_named(tmp_path: Path) -> None:
    folder = own_pictures(tmp_path, 20)
    (folder / ".DS_Store").write_bytes(b"\0\0\0\1Bud1")
    (folder / "dangling.jpg").symlink_to("nowhere")
    with (folder / "film.mp4").open("wb") as film:
        film.truncate(1 << 40)  # more than any memory; on the disk nothing
    report = QuietReporter()
    pictures.from_folder(folder, Geometry(36, 32), [], report)
    assert report.said == []
    (folder / "broken.jpg").symlink_to("/proc/self/mem")  # not even root can read it
    (folder / "half.jpg").write_bytes((folder / "1.jpg").read_bytes()[:300])
    pictures.from_folder(folder, Geometry(36, 32), [], report)
    (said,) = report.said
    assert said.startswith(f"Leaving out 2 of 25 files in {folder}: ")
    assert "broken.jpg: Input/output error" in said
    assert "half.jpg: The picture of 300 bytes" in said


def test_parameters_that_overflow_are_refused_before_the_export(tmp_path: Path) -> None:
    state = torch.load(own_checkpoint(tmp_path))
    state = {name: value * 1e19 if value.ndim == 4 else value for name, value in state.items()}
    torch.save(state, tmp_path / "own.pth")
    options = Options(
        output=tmp_path / "bundle",
        weights=str(tmp_path / "own.pth"),
        input_size=32,
        calibration=own_pictures(tmp_path, 20),
    )
    with pytest.raises(BuildError, match="numbers that are not finite"):
        build(options, QuietReporter())


def test_a_disk_without_room_is_said_before_the_export(tmp_path: Path) -> None:
    large = torch.nn.Linear(10**6, 10**9, device="meta")
    with pytest.raises(BuildError, match=r"has [0-9]+ MB left, a build writes [0-9]+ MB there"):
        disk_space.check(large, tmp_path, tmp_path / "bundle")


def test_default_pictures_for_judging_are_of_other_photographs() -> None:
    assert not set(pictures._CALIBRATION_PHOTOS) & set(pictures._JUDGING_PHOTOS)
    small = pictures.from_scikit_image(Geometry(36, 32))
    assert (small.calibration.shape, small.judging.shape) == ((100, 32, 32, 3), (300, 32, 32, 3))
    assert (small.calibration == pictures.from_scikit_image(Geometry(36, 32)).calibration).all()


def test_torchvision_imports_beside_a_cpu_torch() -> None:
    """In a fresh process, with warnings as errors; and importing it twice declares nothing twice."""
    code = (
        "import importlib, service.build.vision as v; importlib.reload(v);"
        "print(v.torchvision.models.resnet18(num_classes=2).fc.out_features)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "2\n"), result.stderr
