"""What a machine does when it starts: cloud-init for Container-Optimized OS, with a systemd unit for the container.

Container-Optimized OS writes /etc anew at every start and runs cloud-init each time, so a restarted machine does the
same as a new one. Google's own agent that started containers from metadata is no longer supported.
"""

from __future__ import annotations

import shlex
import textwrap

from infra import container
from infra.settings import Settings

UNIT = "classifier.service"
# Writable, unlike root's own home: Docker's client and the credential helper keep their configuration there.
_HOME = "/var/lib/classifier"


def render(settings: Settings) -> str:
    """Return the machine's user-data."""
    return f"""\
#cloud-config
write_files:
- path: /etc/systemd/system/{UNIT}
  permissions: "0644"
  owner: root
  content: |
{textwrap.indent(unit(settings), "    ")}
runcmd:
- [systemctl, daemon-reload]
- [systemctl, start, --no-block, {UNIT}]
"""


def unit(settings: Settings) -> str:
    """Return the systemd unit that keeps the container running.

    `docker run` pulls the image where it is missing; a digest never changes, so a restart needs no registry.
    """
    host = settings.image.split("/", 1)[0]
    stop_sec = container.stop_timeout_sec()
    options = [
        "--name=classifier",
        "--rm",
        f"--publish={settings.port}:{container.PORT}",
        # The system's logging agent reads these files; without a limit they would fill the disk.
        "--log-driver=json-file",
        "--log-opt=max-size=10m",
        "--log-opt=max-file=3",
        *(f"--env={name}={value}" for name, value in settings.environment.items()),
        *container.read(),
    ]
    run = " \\\n  ".join(["/usr/bin/docker run", *map(quote, options), quote(settings.image)])
    return f"""\
[Unit]
Description=Image classifier
Wants=network-online.target
After=network-online.target docker.service
Requires=docker.service
StartLimitIntervalSec=0

[Service]
Environment=HOME={_HOME}
StateDirectory=classifier
ExecStartPre=/usr/bin/docker-credential-gcr configure-docker --registries={host}
ExecStartPre=-/usr/bin/docker rm --force classifier
ExecStart={run}
ExecStop=/usr/bin/docker stop --time={stop_sec} classifier
# The container's output is in Docker's log already; the journal gets what Docker itself has to say.
StandardOutput=null
StandardError=journal
Restart=always
RestartSec=5
TimeoutStopSec={stop_sec + 1}
"""


def quote(text: str) -> str:
    """Quote for systemd, which expands % and $ even inside quotes."""
    return shlex.quote(text.replace("%", "%%").replace("$", "$$"))
