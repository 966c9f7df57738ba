"""The stack, through pulumi.automation: what it says now, what an update would change, and changing it.

A person's own `pulumi up`, which asks and shows, is the command line itself, and so is what the library cannot say
(`import` without protecting).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pulumi import automation

from pipeline import history, state
from pipeline.carried import Carried, configuration_file
from pipeline.commands import run_interactive
from pipeline.engine_events import Change, Events
from pipeline.errors import Locked, StepFailed, log
from pipeline.outcomes import Plan, ProtectedResources, UpdateFailed
from pipeline.pulumi_cli import Backend, Interrupted, Workspace

_PAUSE_SEC = 20.0


@dataclass
class Stack:
    """A stack with its state in a bucket.

    Attributes:
        name: the stack's name, as in Pulumi.NAME.yaml.
        backend: where the state is, gs://BUCKET.
        confirm: is called before each change, and raises where this process may no longer make any.
        lock_wait_sec: how long to wait while somebody changes the stack by Pulumi itself.
        pause: sleeps for some seconds.
    """

    name: str
    backend: str
    confirm: Callable[[], None] = field(default=lambda: None)
    lock_wait_sec: float = 900.0
    pause: Callable[[float], None] = time.sleep

    def outputs(self) -> dict[str, Any]:
        """Return the stack's outputs, of its last completed update.

        Raises:
            StepFailed: the state cannot be read.
        """
        return {name: output.value for name, output in self._stack.outputs().items()}

    def state(self) -> state.State:
        """Return the stack's resources, and what was interrupted.

        Raises:
            StepFailed: the state cannot be read.
        """
        return state.read(self._stack.export_stack().deployment or {})

    def previous(self) -> str:
        """Return the image that ran before the one that runs now, and from which nobody went back.

        Raises:
            StepFailed: the state cannot be read, or there was none.
        """
        now = Carried.of(self.outputs()).image
        if image := history.previous(self._stack.history(page_size=history.PAGE, show_secrets=False), now):
            return image
        raise StepFailed(
            f"the history of stack {self.name} holds no other image: choose one with IMAGE=...@sha256:..., "
            "`gcloud artifacts docker images list` shows them."
        )

    def preview(self, carried: Carried, *, quiet: bool = False) -> Plan:
        """Return what running `carried` would change; it is also shown, unless `quiet`.

        Raises:
            ProtectedResources: it would remove what is protected.
            StepFailed: the program or its settings are wrong.
        """
        events = Events()
        stack = self._select(refresh=False, quiet=True) if quiet else self._stack
        try:
            with configuration_file(self.name, carried, wait=False) as file:
                result = _with_events(
                    lambda: stack.preview(diff=True, color="never", on_event=events, config_file=file)
                )
        except StepFailed as reason:
            if events.given_up:
                raise ProtectedResources(self.name, events.given_up) from reason
            raise
        if events.given_up:
            raise ProtectedResources(self.name, events.given_up)
        return Plan(result.stdout, events.moves_traffic)

    def up(self, carried: Carried, *, wait: bool, back_from: str = "") -> dict[str, Any]:
        """Make the stack run `carried`; returns its outputs.

        Args:
            carried: image and renewal.
            wait: whether Pulumi waits for groups of machines, as it must for new ones before it sends them traffic.
            back_from: an image that turned out bad, to which `make rollback` shall not come back.

        Raises:
            Locked: somebody changes the stack by Pulumi itself; nothing was changed.
            UpdateFailed: it failed on some resources.
            StepFailed: it failed otherwise, perhaps in the middle.
        """
        message = history.message(back_from)

        def update(events: Events) -> dict[str, Any]:
            with configuration_file(self.name, carried, wait=wait) as file:
                result = self._stack.up(color="never", message=message, on_event=events, config_file=file)
            return {name: output.value for name, output in result.outputs.items()}

        return dict(self._change(update))

    def refresh(self, targets: Iterable[str], *, forget_interrupted: bool) -> None:
        """Take what is at Google into the state, and forget what was interrupted and never made.

        Raises:
            StepFailed: it cannot be read.
        """
        chosen = list(targets)
        if chosen or forget_interrupted:
            self._change(
                lambda events: self._stack.refresh(
                    target=chosen, clear_pending_creates=forget_interrupted, color="never", on_event=events
                )
            )

    def differences(self, targets: Iterable[str]) -> tuple[Change, ...]:
        """Return what is at Google otherwise than in the state; changes nothing.

        Raises:
            StepFailed: it cannot be read.
        """
        events = Events()
        chosen = list(targets)
        _with_events(lambda: self._stack.preview_refresh(target=chosen, diff=True, color="never", on_event=events))
        return tuple(events.differences())

    def adopt(self, resource: Mapping[str, Any], name_table: Mapping[str, str]) -> None:
        """Take a resource that exists at Google into the state.

        Args:
            resource: its type, name and id, as in an import file.
            name_table: the URNs of those that it names.

        Raises:
            StepFailed: it does not exist, or cannot be read.
        """
        self.confirm()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "import.json"
            file.write_text(json.dumps({"nameTable": dict(name_table), "resources": [dict(resource)]}), "utf-8")
            options = ["--yes", "--skip-preview", "--protect=false", "--generate-code=false", "--stack", self.name]
            workspace = self._stack.workspace
            workspace.pulumi_command.run(
                ["import", "--file", str(file), *options], workspace.work_dir, workspace.env_vars
            )

    def cancel(self) -> None:
        """Remove the lock that a dead Pulumi left.

        Raises:
            StepFailed: the state cannot be written.
        """
        self.confirm()
        self._stack.cancel()

    def unprotect(self, urns: Iterable[str]) -> None:
        """Let resources be removed.

        Raises:
            StepFailed: the state cannot be written.
        """
        chosen = list(urns)
        # Without any, Pulumi asks a person which one, and fails where there is none (its state_unprotect.go).
        if not chosen:
            return
        self.confirm()
        workspace = self._stack.workspace
        environment = dict(workspace.env_vars)
        workspace.cli_api.state_unprotect(*chosen, stack=self.name, cwd=workspace.work_dir, additional_env=environment)

    def destroy(self) -> None:
        """Remove all resources, having looked at each.

        Raises:
            UpdateFailed: it failed on some.
            StepFailed: it failed otherwise.
        """
        whole = self._select(refresh=True)
        self._change(lambda events: whole.destroy(color="never", on_event=events))

    def up_by_hand(self, carried: Carried, *, wait: bool) -> None:
        """Run `pulumi up` for a person, who sees what would change and says yes.

        Raises:
            Interrupted: it was killed, perhaps in the middle.
            StepFailed: it failed, or the answer was no.
        """
        self.confirm()
        with configuration_file(self.name, carried, wait=wait) as file:
            command = ["pulumi", "up", "--stack", self.name, "--config-file", file]
            code = run_interactive(command, Backend(self.name, self.backend).environment)
        if code < 0:
            # As above: it has left its lock.
            self.cancel()
            raise Interrupted(f"Pulumi was ended by signal {-code}: run `make up STACK={self.name}` again, to mend it.")
        if code:
            raise StepFailed("nothing more was changed, see above.")

    @cached_property
    def _stack(self) -> automation.Stack:
        return self._select(refresh=False)

    def _select(self, *, refresh: bool, quiet: bool = False) -> automation.Stack:
        workspace = Workspace(Backend(self.name, self.backend), refresh=refresh, quiet=quiet)
        return automation.Stack.select(self.name, workspace)

    def _change(self, update: Callable[[Events], Any]) -> Any:
        """Run a changing command, once nobody else does."""
        end = time.monotonic() + self.lock_wait_sec
        while True:
            self.confirm()
            events = Events()
            try:
                return update(events)
            except Locked:
                if time.monotonic() >= end:
                    raise
                log(f"the stack is locked, asking again in {_PAUSE_SEC:.0f} s")
                self.pause(_PAUSE_SEC)
            except Interrupted:
                # It has left its lock, and ours says that no other Pulumi is at work.
                self.cancel()
                raise
            except StepFailed as reason:
                if events.failures:
                    raise UpdateFailed(self.name, events.failures) from reason
                raise


def _with_events(preview: Callable[[], automation.PreviewResult]) -> automation.PreviewResult:
    """Do a preview whose events matter: the library complains in its own way where they got lost."""
    try:
        return preview()
    except RuntimeError as error:
        raise StepFailed(f"Pulumi did not report what would change ({error}): try again.") from error
