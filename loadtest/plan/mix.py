"""What is sent, in which proportions: the kinds of request, and their order.

The order is one of permuted blocks: a block holds every kind as often as its share says, and is shuffled anew each
time, from a seed. Proportions are exact after every block, no order repeats that could coincide with the arrivals',
and two runs send the same.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping

from loadtest.errors import LoadTestError

SMALL, PHONE, PNG, SEVERAL, BAD = "small", "phone", "png", "several", "bad"
REQUEST_KINDS = {
    SMALL: "small JPEG",
    PHONE: "phone photo, 12 megapixels",
    PNG: "PNG",
    SEVERAL: "four small JPEGs in one request",
    BAD: "bad file",
}
# A decision of ours, not a measurement of anyone's traffic; --mix takes another.
TYPICAL = {SMALL: 17, PHONE: 3, PNG: 2, SEVERAL: 2, BAD: 1}
_LARGEST_BLOCK = 1000

Mix = Mapping[str, int]


def parse(text: str) -> dict[str, int]:
    """Return the mix that `text` says: "typical", one kind's name, or shares such as "small=9,bad=1".

    Raises:
        LoadTestError: it names what is no kind, or no share is above 0.
    """
    if text == "typical":
        return dict(TYPICAL)
    shares: dict[str, int] = {}
    for part in text.split(","):
        name, separator, number = part.strip().partition("=")
        if name not in REQUEST_KINDS or (
            separator and not (number.isascii() and number.isdecimal() and len(number) <= 4)
        ):
            raise LoadTestError(
                f"--mix {text!r}: {part.strip()!r} is no share. Write typical, or kinds with whole numbers, such as "
                f"small=9,bad=1; the kinds are {', '.join(REQUEST_KINDS)}."
            )
        shares[name] = int(number) if separator else 1
    shares = {name: share for name, share in shares.items() if share}
    if not shares:
        raise LoadTestError(f"--mix {text!r} sends nothing: give one kind a share above 0.")
    divisor = math.gcd(*shares.values())
    shares = {name: share // divisor for name, share in shares.items()}
    if sum(shares.values()) > _LARGEST_BLOCK:
        raise LoadTestError(f"--mix {text!r}: the shares add up to more than {_LARGEST_BLOCK}; use smaller numbers.")
    return shares


def shuffled_blocks(mix: Mix, seed: int = 0) -> Iterator[str]:
    """Yield request kinds for ever, each block of `sum(mix.values())` in the proportions of `mix`."""
    rng = random.Random(seed)  # noqa: S311  # an order, not a secret
    block = [request_kind for request_kind, share in mix.items() for _ in range(share)]
    while True:
        rng.shuffle(block)
        yield from block


def in_words(request_kind: str) -> str:
    """Return what a request kind is; what a person's own tasks send is named by them."""
    return REQUEST_KINDS.get(request_kind, request_kind)


def share(mix: Mix, request_kind: str) -> float:
    """Return the share of `request_kind` in the requests, from 0 to 1."""
    return mix.get(request_kind, 0) / sum(mix.values())


def main_request_kind(mix: Mix) -> str:
    """Return the request kind that is sent most: the one whose percentiles are drawn over time."""
    return max(mix, key=lambda request_kind: (mix[request_kind], request_kind != BAD))


def text(mix: Mix) -> str:
    """Return the mix in words, such as "68 % small, 12 % phone"."""
    return ", ".join(f"{share(mix, request_kind):.0%} {request_kind}".replace("%", " %") for request_kind in mix)
