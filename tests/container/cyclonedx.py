"""What CycloneDX's own validator says of a list of contents."""

from __future__ import annotations


def complaint(document: str) -> object:
    """Return what is wrong by the schema of CycloneDX 1.6, or None."""
    # Loading it takes seconds, which every process of a test run would spend to know which tests there are.
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    return JsonStrictValidator(SchemaVersion.V1_6).validate_str(document)
