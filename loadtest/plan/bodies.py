"""Pictures as bodies of HTTP requests: raw bytes as programs send them, forms as browsers do."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loadtest.plan.mix import BAD, PHONE, PNG, SEVERAL, SMALL
from loadtest.plan.pictures import Picture, Stock

PICTURES_AT_ONCE = 4
_BOUNDARY = "----loadtest-9b1f6c2e7a"
# Every so many-th request of a kind is a form; the others are raw. Phones and several files come from browsers.
_FORM_EVERY = {SMALL: 4, PHONE: 1, PNG: 2, SEVERAL: 1, BAD: 2}


@dataclass(frozen=True)
class Body:
    """What is posted, and how many answers it should bring."""

    data: bytes
    content_type: str
    pictures: int


class Bodies:
    """Bodies of every kind, made once: building a form costs as much as sending it."""

    def __init__(self, stock: Stock, seed: int = 0) -> None:
        chance = random.Random(seed)  # noqa: S311  # which picture comes first is no secret
        self._next: dict[str, Iterator[Body]] = {}
        for request_kind, every in _FORM_EVERY.items():
            pictures = list(stock.get(SMALL if request_kind == SEVERAL else request_kind, ()))
            if not pictures:
                continue
            chance.shuffle(pictures)
            self._next[request_kind] = itertools.cycle(_bodies(request_kind, pictures, every))

    @property
    def request_kinds(self) -> set[str]:
        """Return the request kinds that the pictures at hand are enough for."""
        return set(self._next)

    def next(self, request_kind: str) -> Body:
        """Return the next body of a request kind."""
        return next(self._next[request_kind])


def _bodies(request_kind: str, pictures: Sequence[Picture], form_every: int) -> list[Body]:
    """Return enough bodies that every picture is sent, as a form in every `form_every`-th."""
    count = len(pictures)
    if request_kind == SEVERAL:
        return [_form([pictures[(n + k) % count] for k in range(PICTURES_AT_ONCE)]) for n in range(count)]
    if form_every == 1:
        return [_form([picture]) for picture in pictures]
    raw, forms = itertools.cycle(map(_raw, pictures)), itertools.cycle(_form([picture]) for picture in pictures)
    # Bodies are references into few byte strings, so a longer list costs nothing.
    return [next(forms if n % form_every == form_every - 1 else raw) for n in range(count * form_every)]


def _raw(picture: Picture) -> Body:
    return Body(picture.data, picture.media_type, 1)


def _form(pictures: Sequence[Picture]) -> Body:
    parts = [
        f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{_quoted(picture.name)}"\r\n'
        f"Content-Type: {picture.media_type}\r\n\r\n".encode()
        + picture.data
        + b"\r\n"
        for picture in pictures
    ]
    data = b"".join(parts) + f"--{_BOUNDARY}--\r\n".encode()
    return Body(data, f"multipart/form-data; boundary={_BOUNDARY}", len(pictures))


def _quoted(name: str) -> str:
    """Escape a file name as browsers do (WHATWG HTML, multipart/form-data encoding)."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
