"""The pictures that quantisation looks at, and those that judge it: never the same ones.

By default they are random crops of the photographs that scikit-image ships, some photographs for calibration and
others for judging; a folder of the person's own pictures is better, because a network is calibrated for what it sees.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from service.build.reporter import Reporter
from service.errors import Problem, ServiceError
from service.model import images
from service.model.formats import is_readable
from service.model.limits import Limits

CALIBRATION_COUNT = 300  # the usual number; NNCF's default too
JUDGING_COUNT = 300
_SEED = 0

_CALIBRATION_PHOTOS = (
    "astronaut.png",
    "coffee.png",
    "motorcycle_left.png",
    "grass.png",
    "hubble_deep_field.jpg",
    "coins.png",
)
_JUDGING_PHOTOS = (
    "chelsea.png",
    "rocket.jpg",
    "retina.jpg",
    "ihc.png",
    "gravel.png",
    "camera.png",
    "brick.png",
)
_SAMPLE_PHOTOS = ("chelsea.png", "astronaut.png", "coffee.png", "rocket.jpg")
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
    judging_labels: npt.NDArray[np.int64] | None = field(default=None)


def from_scikit_image(geometry: images.Geometry) -> PictureSet:
    """Cut random crops out of scikit-image's photographs, always the same ones."""
    return PictureSet(
        calibration=_crops(_CALIBRATION_PHOTOS, CALIBRATION_COUNT, geometry.crop),
        judging=_crops(_JUDGING_PHOTOS, JUDGING_COUNT, geometry.crop),
        source="crops of scikit-image's photographs",
        samples=[(Path(name).stem + ".jpg", _jpeg(photograph(name))) for name in _SAMPLE_PHOTOS],
    )


def from_folder(folder: Path, geometry: images.Geometry, report: Reporter) -> PictureSet:
    """Read a person's own pictures: a seeded half calibrates, the other half judges.

    Raises:
        PicturesError: the folder does not exist or holds too few pictures that can be read.
    """
    if not folder.is_dir():
        raise PicturesError(f"{folder} is no folder; --calibration takes a folder of pictures")
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    np.random.default_rng(_SEED).shuffle(files)
    readable: list[tuple[bytes, images.Pixels]] = []
    skipped = []
    for file in files:
        try:
            with file.open("rb") as stream:
                data = stream.read(_START)
                if not is_readable(data):
                    continue  # a folder also holds other files, and films are large
                data += stream.read()
            readable.append((data, images.load(data, geometry, Limits())))
        except OSError as error:
            skipped.append(f"{file.name}: {error.strerror}")
        except Problem as problem:
            skipped.append(f"{file.name}: {problem.detail}")
        if len(readable) == CALIBRATION_COUNT + JUDGING_COUNT:
            break
    if skipped:
        shown = "; ".join(sorted(skipped)[:_NAMED]) + ("; ..." if len(skipped) > _NAMED else "")
        report.say(f"Leaving out {len(skipped)} of {len(files)} files in {folder}: {shown}")
    if len(readable) < _MIN_FOLDER:
        raise PicturesError(
            f"{folder} holds {len(readable)} pictures that can be read, at least {_MIN_FOLDER} are needed, better 600"
        )
    half = len(readable) // 2
    return PictureSet(
        calibration=np.stack([pixels for _, pixels in readable[:half]]),
        judging=np.stack([pixels for _, pixels in readable[half:]]),
        source=f"{len(readable)} pictures of {folder.name}",
        samples=[
            (f"{number}.jpg", _sample(data, geometry)) for number, (data, _) in enumerate(readable[half : half + 4], 1)
        ],
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


def _crops(names: tuple[str, ...], count: int, size: int) -> Batch:
    """Cut squares of 40 to 100 % of the short side, half of them mirrored: uint8 [count, size, size, 3]."""
    rng = np.random.default_rng(_SEED)
    photos = [photograph(name) for name in names]
    result = np.empty((count, size, size, 3), np.uint8)
    for index in range(count):
        photo = photos[index % len(photos)]
        side = min(photo.size) * rng.uniform(0.4, 1.0)
        left, top = (rng.uniform(0, length - side) for length in photo.size)
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
