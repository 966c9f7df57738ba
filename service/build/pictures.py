"""The pictures that quantisation looks at, and those that judge it: never the same ones.

By default they are random crops of the photographs that scikit-image and scikit-learn ship, some photographs for
calibration and others for judging; a folder of the person's own pictures judges better, and with labels accuracy too.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.build import folder_labels
from service.build.reporter import Reporter
from service.errors import Problem, ServiceError
from service.model import images
from service.model.bundle import Label
from service.model.formats import is_readable
from service.model.limits import Limits

CALIBRATION_COUNT = 100  # 30 to 300 made no difference (docs/decisions.md)
JUDGING_COUNT = 300  # crops
_JUDGING_FILES = 500  # of a folder: the more, the more is proven
_SEED = 0

_CALIBRATION_PHOTOS = (
    "astronaut.png",
    "hubble_deep_field.jpg",
    "coins.png",
    "grass.png",
    "retina.jpg",
    "ihc.png",
    "gravel.png",
    "brick.png",
    "clock_motion.png",
)
# Of things that ImageNet has classes for: of tissue or gravel a network knows nothing, and any rounding changes what
# it names.
_JUDGING_PHOTOS = (
    "chelsea.png",
    "coffee.png",
    "rocket.jpg",
    "camera.png",
    "china.jpg",
    "flower.jpg",
    "motorcycle_left.png",
)
# How much of the short side a crop holds, from and to, and how far it lies from the centre, 1 at the edge. Calibration
# sees a variety; what judges is about the central square of 0.875 that the service cuts out.
_ANYWHERE = ((0.4, 1.0), 1.0)
_CENTRAL = ((0.75, 1.0), 0.2)
# Of them, those that are CC0, as skimage.data says, and of what ImageNet has a name for: a cat, an espresso, a camera
# on its tripod. (lite0 calls the rocket a drilling platform.)
_SAMPLE_PHOTOS = ("chelsea.png", "coffee.png", "camera.png")
_MIN_FOLDER = 20
_SAMPLE_SIDE = 512
_START = 128  # bytes of a file that tell its format
_NAMED = 3  # files that are left out

Batch = npt.NDArray[np.uint8]  # [N, H, W, 3]


class PicturesError(ServiceError):
    """A folder of pictures cannot be used."""


@dataclass(frozen=True)
class PictureSet:
    """Pictures for one build, as the network sees them, and the files that become the bundle's samples."""

    calibration: Batch
    judging: Batch
    source: str
    samples: list[tuple[str, bytes]]  # (file name, file)
    judging_labels: npt.NDArray[np.int64] | None = field(default=None)  # folder_labels.UNKNOWN where there is none
    judging_photographs: int | None = None  # of how many photographs the judging pictures are crops


def from_scikit_image(geometry: images.Geometry) -> PictureSet:
    """Cut random crops out of photographs that packages ship, always the same ones."""
    return PictureSet(
        calibration=_crops(_CALIBRATION_PHOTOS, CALIBRATION_COUNT, geometry.crop, *_ANYWHERE),
        judging=_crops(_JUDGING_PHOTOS, JUDGING_COUNT, geometry.crop, *_CENTRAL),
        judging_photographs=len(_JUDGING_PHOTOS),
        source="crops of the photographs of scikit-image and scikit-learn",
        samples=[(Path(name).stem + ".jpg", _jpeg(photograph(name))) for name in _SAMPLE_PHOTOS],
    )


def from_folder(folder: Path, geometry: images.Geometry, labels: Sequence[Label], report: Reporter) -> PictureSet:
    """Read a person's own pictures: a seeded half, at most CALIBRATION_COUNT, calibrates, the others judge.

    Those in subfolders that are called as one of the `labels` judge accuracy, too.

    Raises:
        PicturesError: the folder does not exist or holds too few pictures that can be read.
    """
    if not folder.is_dir():
        raise PicturesError(f"{folder} is no folder; --calibration takes a folder of pictures")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    np.random.default_rng(_SEED).shuffle(files)
    readable: list[tuple[Path, bytes, images.Pixels]] = []
    skipped = []
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(_START)
                if not is_readable(data):
                    continue  # a folder also holds other files, and films are large
                data += stream.read()
            readable.append((file, data, images.load(data, geometry, Limits())))
        except OSError as error:
            skipped.append(f"{file.name}: {error.strerror}")
        except Problem as problem:
            skipped.append(f"{file.name}: {problem.detail}")
        if len(readable) == CALIBRATION_COUNT + _JUDGING_FILES:
            break
    if skipped:
        shown = "; ".join(sorted(skipped)[:_NAMED]) + ("; ..." if len(skipped) > _NAMED else "")
        report.say(f"Leaving out {len(skipped)} of {len(files)} files in {folder}: {shown}")
    if len(readable) < _MIN_FOLDER:
        raise PicturesError(
            f"{folder} holds {len(readable)} pictures that can be read, at least {_MIN_FOLDER} are needed, better 600"
        )
    count = min(CALIBRATION_COUNT, len(readable) // 2)
    judging = readable[count:]
    found = folder_labels.classes(folder, [file for file, *_ in judging], labels, report)
    classes = np.array([found.get(file, folder_labels.UNKNOWN) for file, *_ in judging])
    return PictureSet(
        calibration=np.stack([pixels for *_, pixels in readable[:count]]),
        judging=np.stack([pixels for *_, pixels in judging]),
        judging_labels=classes if (classes != folder_labels.UNKNOWN).any() else None,
        source=f"{len(readable)} pictures of {folder.name}",
        samples=[(f"{number}.jpg", _sample(data, geometry)) for number, (_, data, _) in enumerate(judging[:4], 1)],
    )


def _sample(data: bytes, geometry: images.Geometry) -> bytes:
    """Return a picture's central square as the service decodes it: upright, over white, in 8 bits."""
    side = max(geometry.resize, _SAMPLE_SIDE)
    return _jpeg(Image.fromarray(images.load(data, images.Geometry(side, side), Limits())))


def photograph(name: str) -> Image.Image:
    """Return one of the photographs that scikit-image (in `data`) and scikit-learn (china.jpg, flower.jpg) ship."""
    import skimage
    import sklearn

    file = Path(skimage.__file__).parent / "data" / name
    if not file.exists():
        file = Path(sklearn.__file__).parent / "datasets" / "images" / name
    return Image.open(file).convert("RGB")


def _crops(names: tuple[str, ...], count: int, size: int, share: tuple[float, float], reach: float) -> Batch:
    """Cut squares of a `share` of the short side, half of them mirrored: uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(_SEED)
    photos = [photograph(name) for name in names]
    result = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        side = min(photo.size) * rng.uniform(*share)
        left, top = ((length - side) * (1 + reach * rng.uniform(-1, 1)) / 2 for length in photo.size)
        crop = photo.resize((size, size), Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
        if rng.random() < 0.5:
            crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        result[index] = np.asarray(crop)
    return result


def _jpeg(picture: Image.Image) -> bytes:
    picture.thumbnail((_SAMPLE_SIDE, _SAMPLE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
