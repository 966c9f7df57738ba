"""Who holds a stack's lock, as the lock's object says it, and whether that process still works."""

from __future__ import annotations

import getpass
import json
import os
import socket
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Holder:
    """Who changes a stack; times in seconds since 1970, by the holder's clock.

    A clock that is minutes wrong could not have signed in to Google either. `before` is the image that ran when the
    holder began, or when the first of several began that died one after the other.
    """

    who: str
    host: str
    pid: int
    build: str
    action: str
    began: float
    renewed: float
    token: str
    before: str = ""
    # Two people's machines may have one name, and neither knows the other's processes.
    machine: str = ""

    @classmethod
    def of_this_process(cls, action: str, build: str, now: float) -> Holder:
        """Return this process."""
        return cls(
            who=_user(),
            host=socket.gethostname(),
            pid=os.getpid(),
            build=build,
            action=action,
            began=now,
            renewed=now,
            token=uuid.uuid4().hex,
            machine=machine(),
        )

    @classmethod
    def read(cls, text: str) -> Holder | None:
        """Return who wrote the lock; None where nobody can tell, so that it is no living holder's."""
        try:
            values = json.loads(text)
            return cls(
                who=str(values["who"]),
                host=str(values["host"]),
                pid=int(values["pid"]),
                build=str(values["build"]),
                action=str(values["action"]),
                began=float(values["began"]),
                renewed=float(values["renewed"]),
                token=str(values["token"]),
                before=str(values.get("before", "")),
                machine=str(values.get("machine", "")),
            )
        except (ValueError, TypeError, LookupError):
            return None

    @property
    def text(self) -> str:
        """Return what the lock's object holds."""
        return json.dumps(asdict(self))

    def is_dead(self, now: float, after_sec: float) -> bool:
        """Return whether it has been silent for too long, or was a process of this machine that is gone."""
        on_this_machine = self.host == socket.gethostname() and self.machine == machine()
        return now - self.renewed > after_sec or (on_this_machine and not _exists(self.pid))

    def __str__(self) -> str:
        """Return the holder for a sentence."""
        began = datetime.fromtimestamp(self.began, UTC).strftime("%Y-%m-%d %H:%M UTC")
        build = f", build {self.build}" if self.build else ""
        return f"{self.who}@{self.host} (process {self.pid}{build}), {self.action} since {began}"


def machine() -> str:
    """Return what tells this machine from others of its name: its network card's address."""
    return f"{uuid.getnode():012x}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a list of users
        return "somebody"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
