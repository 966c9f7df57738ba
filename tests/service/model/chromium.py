"""What Chromium shows of pictures: all decoded in one page, each drawn over white."""

from __future__ import annotations

import base64
import contextlib
import http.server
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

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
    reader.readAsDataURL(await canvas.convertToBlob({type: "image/jpeg", quality: 1}));
    await read;
    return reader.result.split(",")[1];
  }));
}"""


def show(browser: Browser, pictures: Sequence[bytes]) -> list[bytes | None]:
    """Return what an <img> shows of each file, as a JPEG file; None for an error."""
    page = browser.new_page()
    try:
        with _serving({"/": b"", "/all": b"".join(pictures)}) as address:
            page.goto(address)
            shown = page.evaluate(_SHOW, [len(picture) for picture in pictures])
    finally:
        page.close()
    return [None if each is None else base64.b64decode(each) for each in shown]


@contextlib.contextmanager
def _serving(contents: dict[str, bytes]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents.get(self.path)
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "text/html" if self.path == "/" else "application/octet-stream")
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
