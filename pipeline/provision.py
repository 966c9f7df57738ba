"""Makes things by commands, for `make bootstrap`: each command is shown, and what exists is left alone."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from pipeline import gcloud
from pipeline.commands import Result
from pipeline.errors import StepFailed, log

_PAUSE_SEC = 10.0
# An API that was enabled a moment ago refuses calls, a new account is not known everywhere.
_PATIENCE_SEC = 120.0


@dataclass(frozen=True)
class Provisioner:
    """Runs commands for one project.

    Attributes:
        project: Google's project id.
        dry: whether commands are shown only, and nothing is asked.
        look: runs a command that changes nothing.
        change: runs a command that changes something, and shows it.
        pause: sleeps for some seconds.
        clock: seconds since whenever.
    """

    project: str
    dry: bool = False
    look: gcloud.Run = gcloud.look
    change: gcloud.Run = gcloud.change
    pause: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def run(self, command: Sequence[str], *, also: str = "", needed: bool = True) -> None:
        """Run a command, for two minutes again and again while its API is not ready yet.

        Args:
            command: changes something.
            also: further words of a refusal that time will mend.
            needed: whether everything ends where it fails.

        Raises:
            StepFailed: it fails.
        """
        if self.dry:
            log("+ " + shlex.join(command))
            return
        result = self._patiently(self.change, command, also)
        if result.code and needed:
            self._stop(result)
        elif result.code:
            log("this command failed, see above; what follows may do without it")

    def ensure(self, what: str, look: Sequence[str], make: Sequence[str]) -> None:
        """Make something unless `look` finds it.

        Raises:
            StepFailed: it cannot be made.
        """
        if not self.dry and not self._patiently(self.look, look).code:
            log(f"{what}: is there")
            return
        log(f"{what}:")
        self.run(make)

    def output_of(self, command: Sequence[str]) -> str:
        """Return what a command answers, without blanks around it.

        Raises:
            StepFailed: it fails.
        """
        result = self._patiently(self.look, command)
        if result.code:
            raise StepFailed(
                f"`{shlex.join(command[:4])}` failed: {gcloud.meaning(result, self.project) or result.last_words}"
            )
        return result.output.strip()

    def _patiently(self, run: gcloud.Run, command: Sequence[str], also: str = "") -> Result:
        began = self.clock()
        while True:
            result = run(command)
            soon = gcloud.is_off(result) or (also and result.code and also in result.errors + result.output)
            if not soon or self.clock() - began >= _PATIENCE_SEC:
                return result
            log(
                f"Google is not ready for `{shlex.join(command[:4])}` yet, as is usual in the first minutes: trying "
                f"again in {_PAUSE_SEC:.0f} s"
            )
            self.pause(_PAUSE_SEC)

    def _stop(self, result: Result) -> NoReturn:
        reason = gcloud.meaning(result, self.project) or "this command failed, see above: mend what it says"
        raise StepFailed(f"{reason}, then run `make bootstrap` again.")
