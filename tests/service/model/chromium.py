"""What Chromium shows of pictures: all decoded in one page, each drawn over white."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_HOST = "http://pictures.test/"
_SHOW = """async sizes => {
  const all = await (await fetch("all")).arrayBuffer();
  let place = 0;
  return Promise.all(sizes.map(async size => {
    const image = new Image();
    const loaded = new Promise(done => { image.onload = () => done(true); image.onerror = () => done(false); });
    image.src = URL.createObjectURL(new Blob([all.slice(place, place += size)]));
    if (!await loaded) return null;
    const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight), context = canvas.getContext("2d");
    context.fillStyle = "white";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0);
    const reader = new FileReader(), read = new Promise(done => { reader.onload = done; });
    reader.readAsDataURL(await canvas.convertToBlob());
    await read;
    return reader.result.split(",")[1];
  }));
}"""


def show(browser: Browser, pictures: Sequence[bytes]) -> list[bytes | None]:
    """Return what an <img> shows of each file, as a PNG file; None for an error."""
    page = browser.new_page()
    try:
        page.route(_HOST, lambda route: route.fulfill(body="", content_type="text/html"))
        page.route(_HOST + "all", lambda route: route.fulfill(body=b"".join(pictures)))
        page.goto(_HOST)
        shown = page.evaluate(_SHOW, [len(picture) for picture in pictures])
    finally:
        page.close()
    return [None if each is None else base64.b64decode(each) for each in shown]
