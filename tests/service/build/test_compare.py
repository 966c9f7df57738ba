"""`service compare`: every network a line, what cannot be built too; what no other beats; one recommendation."""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from PIL import Image

from infra import machines
from infra.cost import prices
from service.build.compare import chart, command, run
from service.build.compare.result import MACHINES, Result, comparable, recommend, table, unbeaten
from service.build.compare.run import Built, compare, rows, title
from service.build.compare.worker import Turn, Worker
from service.errors import BuildError, EngineError
from service.model.bundle import Bundle
from service.model.networks import ARCHITECTURES, Network, find
from tests.conftest import REPOSITORY, QuietReporter


def result(network: str, speed: float, accuracy: float | None, **more: object) -> Result:
    values = {"precision": "int8", "engine": "openvino", "weights_here": True, "refused": False, "lone_ms": 5.0}
    values |= {"memory_mb": 100.0, "size_mb": 5.0, "measured": False, "processors": 2, **more}
    return Result(network=network, pictures_per_sec=speed, accuracy=accuracy, **values)  # type: ignore[arg-type]


QUICK, RIGHT = result("quick", 400, 0.70), result("right", 250, 0.75)
SLOW, WORSE = result("slow", 40, 0.80), result("worse", 240, 0.74)


def test_unbeaten_is_what_no_other_is_as_good_as_in_both() -> None:
    assert unbeaten([WORSE, SLOW, RIGHT, QUICK]) == [SLOW, RIGHT, QUICK]
    same = dataclasses.replace(QUICK, network="same")
    assert unbeaten([QUICK, same]) == [QUICK, same]


def test_what_was_measured_is_not_compared_with_what_was_published() -> None:
    measured = dataclasses.replace(WORSE, measured=True)
    assert comparable([QUICK, measured]) == [measured]
    assert comparable([QUICK, result("unknown", 900, None)]) == [QUICK]


@pytest.mark.parametrize(
    ("results", "sentence"),
    [
        (
            [QUICK, RIGHT, WORSE],
            "Take right INT8 on this machine: 250 pictures a second at 75.0% (published), the most",
        ),
        ([QUICK, RIGHT, SLOW], "; slow INT8 is right in 5.0 points more, at 0.16 times the speed."),
        ([QUICK, dataclasses.replace(RIGHT, refused=True)], "Take quick INT8"),
        ([QUICK, dataclasses.replace(RIGHT, weights_here=False)], "Take quick INT8"),
        ([dataclasses.replace(RIGHT, weights_here=False)], "fastest, though its weights cannot be had here."),
        ([dataclasses.replace(RIGHT, refused=True)], "No network can be recommended"),
        ([], "No network can be recommended"),
    ],
)
def test_one_is_recommended_in_one_sentence(results: list[Result], sentence: str) -> None:
    said = recommend(results)
    assert sentence in said
    assert said.endswith(".")
    assert "\n" not in said


def test_prices_and_machine_types_are_the_stacks() -> None:
    """A price an hour as infra's table has it: dev's machines are Spot, prod's are there on demand."""
    for stack, spot in (("dev", True), ("prod", False)):
        config = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text("utf-8"))["config"]
        machine = machines.parse(config["own-cloud-classifier:machineType"])
        rate = prices.machine_rate(machine.series, spot)
        assert rate is not None
        hour = machine.billed_cpus * rate.cpu + machine.memory_gb * rate.gb
        assert MACHINES[machine.name + (" Spot" if spot else "")] == pytest.approx((machine.billed_cpus, hour))
    assert len(MACHINES) == 2


def test_a_million_pictures_cost_the_hours_that_they_take() -> None:
    assert result("one", 100, None).dollars_per_million("t2d-standard-2") == pytest.approx(1e6 / 100 / 3600 * 0.084492)
    assert result("one", 100, None).dollars_per_million("e2-medium Spot") == pytest.approx(1e6 / 50 / 3600 * 0.020106)


def test_rows_are_the_tables_networks_for_imagenet() -> None:
    assert {"lite0", "official resnet18", "official resnet50"} <= {title(row) for row in rows()}
    assert {row.architecture for row in rows()} == set(ARCHITECTURES)


@pytest.fixture(scope="module")
def compared(tiny_bundle: Bundle) -> tuple[list[Result], list[tuple[str, str]], QuietReporter]:
    """A real comparison of tiny networks: one with its weights, one without, one that cannot be built or opened."""
    broken = dataclasses.replace(tiny_bundle, path=Path("no-such-folder"))
    found = {"lite0": Built(tiny_bundle, True), "official": Built(tiny_bundle, False), "digits": Built(broken, True)}

    def build(network: Network) -> Built:
        if network.weights not in found:
            raise BuildError("there is no such network")
        return found[network.weights]

    report = QuietReporter()
    networks = [find("lite0"), find("untrained"), find("official"), find("digits")]
    results, failures = compare(networks, build, 2, 0.05, report)
    return results, failures, report


def test_every_network_is_measured_or_a_line_with_its_reason(
    compared: tuple[list[Result], list[tuple[str, str]], QuietReporter],
) -> None:
    results, failures, report = compared
    assert [one.name for one in results] == [
        f"{name} {precision}" for name in ("lite0", "official resnet18") for precision in ("FP32", "INT8")
    ]
    for one in results:
        assert one.pictures_per_sec > 0
        assert one.lone_ms > 0
        assert 20 < one.memory_mb < 1000
        assert one.size_mb > 0
        assert one.engine == "openvino"
    assert [name for name, _ in failures] == ["untrained resnet18", "digits resnet18 FP32", "digits resnet18 INT8"]
    assert failures[0][1] == "there is no such network"
    assert "no-such-folder" in failures[1][1]
    assert report.steps["Measuring"] == report.totals["Measuring"] == 8


def test_the_table_and_the_picture_show_them_all(
    compared: tuple[list[Result], list[tuple[str, str]], QuietReporter], tmp_path: Path
) -> None:
    results, failures, _ = compared
    lines = table(results, failures).splitlines()
    for one in results:
        (line,) = [line for line in lines if one.name in line]
        assert ("(random)" in line) is not one.weights_here
        assert "74.8% p" in line if one.network == "lite0" else "69.8% p" in line
    assert "  untrained resnet18: there is no such network" in lines
    assert any(line.startswith("* ") for line in lines)
    chart.draw(results, "2 processors", tmp_path / "compare.png")
    with Image.open(tmp_path / "compare.png") as picture:
        assert picture.size[0] > 800


def test_a_process_that_ends_is_an_error_of_one_line(tiny_bundle: Bundle) -> None:
    with Worker(tiny_bundle, "fp32") as worker:
        assert worker._process.pid
        os.kill(worker._process.pid, signal.SIGINT)  # Ctrl-C, which is its parent's to obey
        assert worker.turn(0.05).pictures_per_sec > 0
        worker._process.kill()
        with pytest.raises(EngineError, match="its process ended"):
            worker.turn(0.05)


def test_a_network_that_fails_in_its_turn_is_a_line_and_the_others_go_on(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: dict[str, int] = {"fp32": 0, "int8": 0}

    class Failing(Worker):
        def __init__(self, _bundle: Bundle, precision: str) -> None:
            self.engine, self.precision = "openvino", precision

        def close(self) -> None:
            pass

        def turn(self, seconds: float) -> Turn:
            turns[self.precision] += 1
            if self.precision == "fp32" and turns["fp32"] == 2:
                raise EngineError("its process ended")
            return Turn(1.0, seconds)

        def memory_mb(self) -> float:
            return 1.0

    monkeypatch.setattr(run, "Worker", Failing)
    results, failures = compare([find("lite0")], lambda _: Built(tiny_bundle, True), 3, 0.05, QuietReporter())
    assert [one.name for one in results] == ["lite0 INT8"]
    assert failures == [("lite0 FP32", "its process ended")]
    assert turns == {"fp32": 2, "int8": 3}


@pytest.mark.parametrize("measured", [True, False])
def test_pictures_that_measured_nothing_are_said(
    measured: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = [dataclasses.replace(QUICK, measured=measured)]
    monkeypatch.setattr(run, "compare", lambda *_: (results, []))
    monkeypatch.setattr(command, "tidy_when_terminated", lambda: None)
    said = CliRunner().invoke(command.compare, ["--pictures", str(tmp_path), "--output", str(tmp_path)]).stdout
    assert "Take quick INT8" in said
    assert ("Accuracy is as published: no network ran" in said) is not measured
