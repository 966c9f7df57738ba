"""What the server process asks of the application that it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_EXTENSION = "server_hooks"


@dataclass(frozen=True)
class Refusal:
    """An answer given without a thread.

    Attributes:
        answer: the whole HTTP answer.
        request_bytes: the length of the request, its head included; what has not come yet is read away.
    """

    answer: bytes
    request_bytes: int


@dataclass(frozen=True)
class ServerHooks:
    """What the worker calls.

    Attributes:
        drain: says no to `/readyz` from now on.
        refuse: given the first bytes of a request, its refusal; None where it may come in, or is not simple.
        wait_for_model: returns when the model is open or cannot be: False where only a new process may help.
    """

    drain: Callable[[], None]
    refuse: Callable[[bytes], Refusal | None]
    wait_for_model: Callable[[], bool]


def attach(app: Any, hooks: ServerHooks) -> None:
    """Give a Flask application its hooks."""
    app.extensions[_EXTENSION] = hooks


def hooks_of(app: Any) -> ServerHooks | None:
    """Return the hooks of what a worker serves; None where it is not loaded yet."""
    hooks: ServerHooks | None = getattr(app, "extensions", {}).get(_EXTENSION)
    return hooks
