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
# Google's metadata server: it gives the machine account's token to whoever asks, and resolves any name, by which data
# can leave. Docker leaves the chain DOCKER-USER to such rules (Docker: "Packet filtering and firewalls").
# A machine on which the rule cannot be set serves all the same and says so in its journal.
METADATA_SERVER = "169.254.169.254"
_RULE = f"DOCKER-USER -d {METADATA_SERVER} -j DROP"
_BLOCK_METADATA = f"iptables -w -C {_RULE} || iptables -w -I {_RULE}"


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
# The container asks Google's metadata server for nothing, neither for the machine's token nor for a name.
ExecStartPre=-/bin/sh -c {quote(_BLOCK_METADATA)}
ExecStart={run}
# -t, since --time is deprecated from Docker 28 on and --timeout is unknown before.
ExecStop=/usr/bin/docker stop -t {stop_sec} classifier
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
