"""The formats of picture files that are read, and those that people send besides."""

from __future__ import annotations

import re

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

# The plugins are imported by name: at a format that is not loaded Pillow would load all of its forty.
_PLUGINS = (JpegImagePlugin, PngImagePlugin, WebPImagePlugin, GifImagePlugin, BmpImagePlugin, AvifImagePlugin)
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")
FORMATS_TEXT = "JPEG, PNG, WebP, GIF, BMP or AVIF"
MIME_TYPES = ("image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/avif")

# What a file of each format begins with.
_SIGNATURES = re.compile(rb"\xff\xd8|\x89PNG|RIFF....WEBP|GIF8|BM|....ftyp(avi[fs]|.{4,60}avi[fs])", re.DOTALL)
_OTHER_SIGNATURES = {
    "HEIC": re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL),
    "TIFF": re.compile(rb"II[*+]\0|MM\0[*+]"),
    "SVG": re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml.*?|<!--.*?|<!DOCTYPE svg.*?)?<svg", re.DOTALL),
    "JPEG XL": re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "),
    "PDF": re.compile(rb"%PDF-"),
}


def is_readable(data: bytes) -> bool:
    """Tell whether a file begins as one that is read: where it cannot be, it is damaged, and not something else."""
    return _SIGNATURES.match(data) is not None


def described(data: bytes) -> str:
    """Return what to call a file that is not read, by its beginning."""
    head = data[:4096]
    name = next((name for name, signature in _OTHER_SIGNATURES.items() if signature.match(head)), None)
    return f"{name}, which this service does not read" if name else "no picture that this service reads"
