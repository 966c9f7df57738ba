"""What is known of an engine stands in one row, and everything else follows from it."""

from __future__ import annotations

import importlib
import re

import pytest

from loadtest.bench.contenders import contenders
from service.model.engines import table
from service.settings import Settings
from tests.conftest import REPOSITORY


@pytest.mark.parametrize("name", table.ENGINES)
def test_every_row_names_what_is_there(name: str) -> None:
    """A class in a module beside the table, a package of the same requirements, and networks that bundles may hold."""
    spec = table.ENGINES[name]
    module, class_name = spec.opener
    engine = getattr(importlib.import_module(f"service.model.engines.{module}"), class_name)
    assert engine.name == name
    assert spec.networks.keys() <= set(table.PRECISIONS)
    for files in spec.networks.values():
        assert set(files) <= table.NETWORK_FILES.keys()


def test_every_network_is_some_engines() -> None:
    assert {file for spec in table.ENGINES.values() for names in spec.networks.values() for file in names} == set(
        table.NETWORK_FILES
    )


def test_auto_has_a_choice_for_every_precision() -> None:
    assert table.PREFERRED.keys() == set(table.PRECISIONS)
    for precision, names in table.PREFERRED.items():
        assert all(precision in table.ENGINES[name].networks for name in names)


def test_what_is_packed_is_what_auto_may_take() -> None:
    """For FP32 OpenVINO's network too: where ncnn's answers are wrong, the remedy is another engine."""
    assert table.networks_to_serve("int8") == {"int8"}
    assert table.networks_to_serve("fp32") == {"fp32", "ncnn", "ncnn_graph"}


def test_settings_benchmark_and_readme_name_every_engine() -> None:
    """Of a new row nothing else has to be told."""
    sentence = next(text for name, _, text in Settings.table() if name == "ENGINE")
    assert re.findall(r"`(\w+)`", sentence) == [*table.ENGINES, "auto"]
    measured = {item.name for item in contenders(REPOSITORY)}
    assert {f"{name} {precision}" for name, spec in table.ENGINES.items() for precision in spec.networks} <= measured
