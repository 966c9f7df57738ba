from __future__ import annotations

import contextlib
import io
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from service.errors import DamagedPicture, EmptyBody, Problem, TooManyPixels, UnsupportedFormat
from service.model import images
from service.model.bundle import INTERPOLATIONS
from service.model.images import Geometry, Pixels, load
from service.model.limits import Limits
from service.model.pixel_budget import PixelBudget
from tests.conftest import REPOSITORY, encode, photo, photo_file

GEOMETRY = Geometry()
LIMITS = Limits()


def difference(a: Pixels, b: Pixels) -> float:
    return float(np.abs(a.astype(int) - b.astype(int)).mean())


def preset(picture: Image.Image, interpolation: str = "bilinear") -> Pixels:
    """Do what torchvision's classification preset does to a decoded picture."""
    from service.build.vision import torchvision

    functional = torchvision.transforms.functional
    mode = torchvision.transforms.InterpolationMode(interpolation)
    cropped = functional.center_crop(functional.resize(picture.convert("RGB"), [256], mode), [224])
    result: Pixels = np.asarray(cropped)
    return result


def camera_photo(size: tuple[int, int]) -> Image.Image:
    """Enlarge a real photograph and add a sensor's noise: what a phone's full-size picture looks like."""
    large = np.asarray(photo("flower.jpg").resize(size, Image.Resampling.BICUBIC), dtype=np.float32)
    noise = np.random.default_rng(0).normal(0, 4, large.shape)
    return Image.fromarray(np.clip(large + noise, 0, 255).astype(np.uint8))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["china.jpg", "flower.jpg", "rocket.jpg", "retina.jpg", "astronaut.png", "chelsea.png"]
)
def test_resize_and_crop_are_torchvisions(name: str) -> None:
    """The mean difference to torchvision's preset is at most half a grey level, and more to the other interpolation."""
    data = photo_file(name).read_bytes()
    presets = {kind: preset(Image.open(io.BytesIO(data)), kind) for kind in INTERPOLATIONS}
    for kind in INTERPOLATIONS:
        pixels = load(data, replace(GEOMETRY, interpolation=kind), LIMITS)
        differences = {of: difference(pixels, expected) for of, expected in presets.items()}
        assert differences.pop(kind) < min(0.5, *differences.values()), kind


@pytest.mark.slow
def test_resize_and_crop_are_torchvisions_on_200_photographs(shared_data: Path) -> None:
    for file in sorted((shared_data / "photos").glob("*.JPEG")):
        assert difference(load(file.read_bytes(), GEOMETRY, LIMITS), preset(Image.open(file))) <= 0.5, file.name


@pytest.mark.parametrize("size", [(301, 200), (200, 301), (224, 224), (1000, 257), (3, 2), (640, 480)])
@pytest.mark.parametrize("geometry", [Geometry(256, 224), Geometry(32, 32), Geometry(73, 64)])
def test_the_window_is_rounded_as_torchvision_rounds_it(size: tuple[int, int], geometry: Geometry) -> None:
    from service.build.vision import torchvision

    functional = torchvision.transforms.functional
    picture = photo().resize(size)
    resized = functional.resize(picture, [geometry.resize])
    expected = np.asarray(functional.center_crop(resized, [geometry.crop]))
    assert difference(load(encode(picture, "PNG"), geometry, LIMITS), expected) <= 0.5


@pytest.mark.slow
@pytest.mark.parametrize("size", [(4000, 3000), (3000, 4000), (5120, 2880), (2560, 1600)])
def test_large_jpegs_decoded_at_a_reduced_scale_look_the_same(size: tuple[int, int]) -> None:
    """The crop is within one grey level on average of what a full decode gives."""
    data = encode(camera_photo(size), quality=85)
    assert difference(load(data, GEOMETRY, LIMITS), preset(Image.open(io.BytesIO(data)))) <= 1.0


def test_large_jpegs_of_real_detail_are_close_too(shared_data: Path) -> None:
    """Photographs side by side in their own resolution: sharper than any camera's 4 megapixels."""
    files = sorted((shared_data / "photos").glob("*.JPEG"))[:25]
    mosaic = Image.new("RGB", (2500, 1875))
    for index, file in enumerate(files):
        tile = Image.open(file).convert("RGB").resize((500, 375))
        mosaic.paste(tile, (index % 5 * 500, index // 5 * 375))
    data = encode(mosaic, quality=90)
    assert difference(load(data, GEOMETRY, LIMITS), preset(Image.open(io.BytesIO(data)))) <= 1.0


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF"])
def test_every_format_is_read(kind: str) -> None:
    picture = photo("flower.jpg")
    pixels = load(encode(picture, kind), GEOMETRY, LIMITS)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert difference(pixels, preset(picture)) < 12  # GIF's 256 colours are the farthest away


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_undone(orientation: int, kind: str) -> None:
    """However a picture is stored, the network sees it upright, from the same window."""
    upright = photo().resize((301, 200))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    data = encode(stored, kind, exif=exif.tobytes(), **options)
    assert difference(load(data, GEOMETRY, LIMITS), preset(upright)) <= 0.6


def test_a_nonsensical_orientation_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 42
    picture = photo()
    assert difference(load(encode(picture, "PNG", exif=exif.tobytes()), GEOMETRY, LIMITS), preset(picture)) <= 0.5


def test_grey_pictures_become_grey_rgb() -> None:
    picture = photo().convert("L")
    pixels = load(encode(picture, "PNG"), GEOMETRY, LIMITS)
    assert (pixels[..., 0] == pixels[..., 1]).all()
    assert difference(pixels, preset(picture)) <= 0.5


def test_16_bit_grey_keeps_its_brightness() -> None:
    """Pillow's own conversion would cut everything above 255 to white."""
    samples = np.linspace(0, 65535, 300 * 300, dtype=np.uint16).reshape(300, 300)
    pixels = load(encode(Image.fromarray(samples), "PNG"), GEOMETRY, LIMITS)
    eight_bit = Image.fromarray((samples / 257).round().astype(np.uint8))
    assert difference(pixels, preset(eight_bit)) <= 0.6


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA"])
def test_transparency_is_shown_over_white(mode: str) -> None:
    """The left half is opaque black, the right half is transparent black."""
    alpha = Image.new("L", (256, 256), 255)
    alpha.paste(0, (128, 0, 256, 256))
    picture = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
    picture.putalpha(alpha)
    picture = picture.convert("P") if mode == "PA" else picture.convert(mode)
    pixels = load(encode(picture, "PNG"), GEOMETRY, LIMITS)
    assert pixels[:, :100].max() == 0
    assert pixels[:, 124:].min() == 255


def test_a_palette_with_one_transparent_colour_is_shown_over_white() -> None:
    picture = Image.new("P", (256, 256), 1)
    picture.putpalette([255, 0, 0, 0, 0, 255] + [0] * 762)
    assert load(encode(picture, "GIF", transparency=1), GEOMETRY, LIMITS).min() == 255
    assert load(encode(picture, "PNG", transparency=1), GEOMETRY, LIMITS).min() == 255


def test_cmyk_keeps_its_colours() -> None:
    picture = photo("flower.jpg")
    pixels = load(encode(picture.convert("CMYK"), quality=95), GEOMETRY, LIMITS)
    assert difference(pixels, preset(picture)) < 3


def test_only_the_first_frame_of_an_animation_counts() -> None:
    red, blue = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (64, 64), "blue")
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if kind == "WEBP" else {}
        data = encode(red, kind, save_all=True, append_images=[blue], **options)
        assert load(data, GEOMETRY, LIMITS)[100, 100].tolist() == [255, 0, 0], kind


def test_phone_jpegs_with_further_pictures_inside_are_read() -> None:
    """Pillow calls them MPO; the first picture is the photograph."""
    picture = photo()
    data = encode(picture, "MPO", save_all=True, append_images=[Image.new("RGB", (64, 64))], quality=95)
    assert Image.open(io.BytesIO(data)).format == "MPO"
    assert difference(load(data, GEOMETRY, LIMITS), preset(Image.open(io.BytesIO(data)))) <= 0.5


def test_the_network_may_write_to_its_pixels() -> None:
    assert load(encode(photo()), GEOMETRY, LIMITS).flags.writeable


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", EmptyBody),
        (b"hello", UnsupportedFormat),
        (b"%PDF-1.7 ...", UnsupportedFormat),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormat),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif", DamagedPicture),
        (b"\xff\xd8\xff\xe0", DamagedPicture),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), DamagedPicture),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", DamagedPicture),
    ],
)
def test_what_is_no_picture_is_told_from_a_damaged_one(data: bytes, problem: type[Problem]) -> None:
    with pytest.raises(problem):
        load(data, GEOMETRY, LIMITS)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"II*\0" + bytes(9), "TIFF"),
        (b"MM\0*" + bytes(9), "TIFF"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- drawn --><svg/>", "SVG"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"%PDF-1.7 ...", "PDF"),
    ],
)
def test_formats_that_people_send_are_named_in_the_refusal(data: bytes, name: str) -> None:
    with pytest.raises(UnsupportedFormat, match=rf"bytes are {name}, which this service does not read\. Send a JPEG"):
        load(data, GEOMETRY, LIMITS)


def test_other_formats_that_pillow_could_read_are_refused() -> None:
    """The fewer decoders can be reached, the fewer can be attacked."""
    for kind in ("TIFF", "ICO", "TGA", "PPM"):
        with pytest.raises(UnsupportedFormat):
            load(encode(Image.new("RGB", (32, 32)), kind), GEOMETRY, LIMITS)


def test_only_the_decoders_that_are_needed_are_loaded() -> None:
    code = (
        "from service.model.images import *\n"
        "from PIL import Image\n"
        "for data in (b'x' * 100, b'II*\\0' + bytes(100)):\n"
        "    try: load(data, Geometry(), Limits())\n"
        "    except UnsupportedFormat: pass\n"
        "print(sorted(Image.OPEN))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "TIFF" not in result.stdout
    assert "AVIF" in result.stdout


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9])
def test_a_truncated_picture_is_refused_and_not_half_classified(part: float) -> None:
    data = encode(photo())
    with pytest.raises(DamagedPicture, match=f"{int(len(data) * part)} bytes"):
        load(data[: int(len(data) * part)], GEOMETRY, LIMITS)


def test_more_pixels_than_allowed_are_refused_by_the_header() -> None:
    data = encode(Image.new("L", (2000, 1000)), "PNG")
    with pytest.raises(TooManyPixels, match="2000 x 1000 pixels, more than the 1999999"):
        load(data, GEOMETRY, Limits(max_pixels=1_999_999))


@pytest.mark.parametrize("size", [(8160, 6144), (8192, 6144), (9248, 6936), (12000, 9000), (16384, 12288)])
def test_what_the_largest_phones_make_passes_by_default(size: tuple[int, int]) -> None:
    """Pillow's own limit, at 89 million pixels a warning, does not stand in the way."""
    images.configure_pillow()
    assert load(encode(Image.new("L", size, 200)), GEOMETRY, LIMITS).mean() == 200


def test_a_header_that_announces_too_much_costs_no_memory() -> None:
    """WebP: decoders make room for an animation's whole canvas, here a gigabyte, on opening it."""
    images.configure_pillow()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    bomb = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    canvas = bomb.index(b"VP8X") + 12
    bomb[canvas : canvas + 6] = b"\xff\x3f\0" * 2
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TooManyPixels, match="16384 x 16384"):
        load(bytes(bomb), GEOMETRY, LIMITS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB


@pytest.mark.slow
def test_what_is_decoded_is_held_in_the_budget_that_all_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """All pixels of a picture, after a baseline JPEG's reduced scale, and only while it is decoded."""
    held: list[int] = []

    class Recording(PixelBudget):
        @contextlib.contextmanager
        def hold(self, pixels: int) -> Iterator[None]:
            held.append(pixels)
            with super().hold(pixels):
                yield

    monkeypatch.setattr(images, "_budget", Recording(10_000_000))
    picture = camera_photo((3200, 2400))
    for data in (encode(picture), encode(picture, progressive=True), encode(picture.resize((300, 200)), "PNG")):
        load(data, GEOMETRY, LIMITS)
    assert held == [3200 * 2400 // 4, 3200 * 2400, 300 * 200]


def in_several_scans(picture: Image.Image) -> bytes:
    """Write a baseline JPEG that keeps its three components apart, a scan each: pictures made from grey ones."""
    files = [encode(band) for band in picture.convert("YCbCr").split()]
    frame, scan = files[0].index(b"\xff\xc0"), files[0].index(b"\xff\xda")
    header = struct.pack(">HHBHHB", 0xFFC0, 17, 8, picture.height, picture.width, 3)
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    scans = (
        bytes((0xFF, 0xDA, 0, 8, 1, number, 0, 0, 63, 0)) + file[scan + 10 : -2] for number, file in enumerate(files, 1)
    )
    return files[0][:frame] + header + components + files[0][frame + 13 : scan] + b"".join(scans) + b"\xff\xd9"


def test_components_in_several_scans_are_read_and_none_may_be_missing() -> None:
    picture = photo()
    data = in_several_scans(picture)
    assert difference(load(data, GEOMETRY, LIMITS), preset(picture)) < 6
    assert (load(data[:-2], GEOMETRY, LIMITS) == load(data, GEOMETRY, LIMITS)).all()
    for end in (data.rindex(b"\xff\xda"), -100):
        with pytest.raises(DamagedPicture):
            load(data[:end], GEOMETRY, LIMITS)


def test_memory_counts_after_the_reduced_scale_and_only_for_baseline_jpegs_of_one_scan() -> None:
    picture = camera_photo((3200, 2400))
    limits = Limits(max_decoded_pixels=2_000_000)
    load(encode(picture), GEOMETRY, limits)
    others = (encode(picture, progressive=True), in_several_scans(picture), encode(picture, "WEBP", quality=10))
    for data in others:
        with pytest.raises(TooManyPixels, match="3200 x 2400"):
            load(data, GEOMETRY, limits)
