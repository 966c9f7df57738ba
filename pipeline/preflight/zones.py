"""Whether each zone has the machine type: not every zone has every series, and a group without it never settles."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.preflight.findings import Finding, Questions, good, stop


def check(questions: Questions) -> Iterator[Finding]:
    """Look in which zones of the region the machine type is."""
    settings = questions.settings
    machine_type, region = settings.machine_type, settings.region
    listed = questions.json(
        *("compute", "machine-types", "list", f"--filter=name={machine_type} AND zone~^{region}-"),
        f"--project={settings.project}",
    )
    # The zone's name, or its address.
    having = sorted({str(item["zone"]).rsplit("/", 1)[-1] for item in listed if item["name"] == machine_type})
    without = [zone for zone in settings.zone_names if zone not in having]
    if not having:
        yield stop(f"there is no {machine_type} in {region}: choose another machineType, or another region.")
    elif without:
        commands = "; ".join(f"pulumi config set --path 'zones[{i}]' {zone}" for i, zone in enumerate(having[:3]))
        yield stop(
            f"there is no {machine_type} in {', '.join(without)}, only in {', '.join(having)}: choose another "
            f"machineType, or these zones with `{commands}`."
        )
    else:
        yield good(f"{machine_type} is in {', '.join(settings.zone_names)}")
