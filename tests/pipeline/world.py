"""A whole world for the pipeline: Google and Pulumi with their states, and `gcloud` and `pulumi` on the PATH.

Both programs are a few lines of shell that hand their command to this process, where the states are: they answer in
milliseconds, and outlive whoever is killed. So a drill can end a rollout, with all that it has started, after any of
its commands or in the middle of one.
"""

from __future__ import annotations

import os
import shlex
import signal
import socketserver
import stat
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.pipeline.fake_google import PROJECT, Answer, Google
from tests.pipeline.fake_pulumi import Killed, Pulumi

_VARIABLES = ("PULUMI_BACKEND_URL", "PULUMI_OPTION_REFRESH")
# Reads as long as the answer is; what it gets is a script that prints and ends as the program would.
_CLIENT = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\n' "$PPID" "$PWD" {variables} {name} "$@" >&3
printf '\\0' >&3
IFS= read -r -d '' -u 3 reply
eval "$reply"
"""


@dataclass
class Saying:
    """What a program is told to say in place of its own: `words` are all in the command."""

    words: frozenset[str]
    answer: Answer
    times: int


class World:
    """The states, what was asked, and when whoever asks is killed.

    Attributes:
        calls: every command, in order.
        kill_after: the number of the command after which the asker is killed, having been done; 0 for none.
        kill_at: the place in Pulumi's engine at which it is killed instead, such as "after RegionAutoscaler".
    """

    def __init__(self, folder: Path) -> None:
        self.google = Google()
        self.pulumi = Pulumi(self.google, self._reached)
        self.calls: list[list[str]] = []
        self.kill_after = 0
        self.kill_at = ""
        self.before: Callable[[list[str]], None] = lambda _: None
        self._sayings: list[Saying] = []
        self._asker = 0
        self._guard = threading.RLock()
        self._server = _Server(("127.0.0.1", 0), self)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self._programs(folder)
        self.environment = {"PATH": f"{folder}:{os.environ['PATH']}"}

    def close(self) -> None:
        """StepFailed answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def deploy(self, folder: Path, image: str) -> None:
        """Have the stack run an image already, with its machines healthy, and nothing asked so far."""
        document = yaml.safe_load((folder / "Pulumi.dev.yaml").read_text("utf-8"))
        document["config"]["own-cloud-classifier:image"] = image
        file = folder / "deployed.yaml"
        file.write_text(yaml.safe_dump(document))
        code, out, err = self.pulumi.run(
            ["up", "--config-file", str(file)], {"PULUMI_BACKEND_URL": f"gs://{PROJECT}-pulumi-state"}, folder
        )
        assert not code, out + err
        file.unlink()
        self.google.registry.add(image)

    def say(self, *words: str, out: str = "", err: str = "", code: int = 0, times: int = 1 << 30) -> None:
        """Have a program say something else, the next `times` times."""
        self._sayings.insert(0, Saying(frozenset(words), (code, out, err), times))

    def asked(self, *words: str) -> list[list[str]]:
        """Return the commands so far in which all words occur, as whole words or their beginnings."""
        return [call for call in self.calls if _has(call, words)]

    def answer(self, asker: int, folder: Path, environment: dict[str, str], command: list[str]) -> Answer:
        """Do a command."""
        self.before(command)
        with self._guard:
            self._asker = asker
            self.calls.append(command)
            number = len(self.calls)
            saying = next((item for item in self._sayings if item.times and _has(command, item.words)), None)
            if saying:
                saying.times -= 1
                result = saying.answer
            elif command[0] == "gcloud":
                result = self.google.gcloud(command[1:])
            else:
                result = self.pulumi.run(command[1:], environment, folder)
            if number == self.kill_after:
                self._kill()
            return result

    def _reached(self, place: str) -> None:
        if place == self.kill_at:
            self.kill_at = ""
            self._kill()

    def _kill(self) -> None:
        """End the asker and all that it has started, Pulumi too, which then does nothing more."""
        group = os.getpgid(self._asker)
        assert group != os.getpgrp(), "a test would kill itself"
        os.killpg(group, signal.SIGKILL)
        raise Killed

    def _programs(self, folder: Path) -> None:
        folder.mkdir()
        variables = " ".join(f'"${{{name}}}"' for name in _VARIABLES)
        for name in ("gcloud", "pulumi"):
            file = folder / name
            file.write_text(_CLIENT.format(port=self._server.server_address[1], variables=variables, name=name))
            file.chmod(file.stat().st_mode | stat.S_IXUSR)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], world: World) -> None:
        self.world = world
        super().__init__(address, _Handler)


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        said = bytearray()
        while not said.endswith(b"\0"):
            said += self.request.recv(65536) or b"\0"
        asker, folder, *rest = said.rstrip(b"\0").decode().split("\n")[:-1]
        environment = {name: value for name, value in zip(_VARIABLES, rest, strict=False) if value}
        try:
            code, out, err = self.server.world.answer(int(asker), Path(folder), environment, rest[len(_VARIABLES) :])
        except Killed:
            return
        # A negative code is the signal that ends it, as for subprocess.
        end = f"exit {code}" if code >= 0 else f"kill {code} $$"
        script = f"printf %s {shlex.quote(out)}; printf %s {shlex.quote(err)} >&2; {end}"
        self.wfile.write(script.encode() + b"\0")


def _has(command: list[str], words: frozenset[str] | tuple[str, ...]) -> bool:
    return all(any(given.startswith(word) for given in command) for word in words)
