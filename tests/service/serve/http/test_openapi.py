from __future__ import annotations

import io

import pytest
from flask.testing import FlaskClient

from service.serve.http.openapi import document
from tests.conftest import coloured

PICTURE = coloured((0, 255, 0))


def check(instance: object, schema: str) -> None:
    """Validate against one of the document's schemas."""
    import jsonschema  # takes seconds, which only whoever runs this file shall spend
    from referencing import Registry, Resource
    from referencing.jsonschema import DRAFT202012

    registry = Registry().with_resource("doc:", Resource.from_contents(document(), default_specification=DRAFT202012))
    reference = {"$ref": f"doc:#/components/schemas/{schema}"}
    jsonschema.Draft202012Validator(reference, registry=registry).validate(instance)


def test_the_document_is_valid_and_served(client: FlaskClient) -> None:
    from openapi_spec_validator import validate

    validate(document())
    assert client.get("/openapi.json").json == document()


def test_answers_are_what_the_document_says(client: FlaskClient) -> None:
    check(client.post("/predict", data=PICTURE).json, "Prediction")
    files = [(io.BytesIO(data), "a") for data in (PICTURE, b"no picture")]
    check(client.post("/predict", data={"file": files}).json, "Predictions")
    check(client.post("/predict", data=b"hello").get_json(force=True), "Problem")


def test_the_check_can_fail() -> None:
    from jsonschema import ValidationError

    label = {"label": "x", "index": 0, "probability": 1.5}
    with pytest.raises(ValidationError):
        check({"predictions": [label], "model": {}, "timing_ms": {}}, "Prediction")


def test_every_route_for_programs_is_in_the_document(client: FlaskClient) -> None:
    for_people = {"/", "/docs", "/openapi.json", "/samples/<name>", "/static/<path:filename>"}
    routes = {rule.rule for rule in client.application.url_map.iter_rules()} - for_people
    assert routes == set(document()["paths"])
