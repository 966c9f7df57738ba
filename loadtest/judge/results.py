"""A run as a document: what was asked, of whom, what came of it, and the verdicts. Written as JSON and JUnit XML.

The reports are drawn from this and the records, and two such documents can be compared.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from loadtest.errors import LoadTestError
from loadtest.judge import metrics
from loadtest.judge.metrics import Metrics
from loadtest.judge.targets import Target, Verdict, check
from loadtest.measure import percentiles
from loadtest.measure.answers import Outcome
from loadtest.measure.machine import Machine
from loadtest.measure.records import Records, request_kind_number
from loadtest.measure.session import Plan
from loadtest.plan.mix import REQUEST_KINDS, main_request_kind
from loadtest.plan.scenarios import Scenario

FORMAT = 1
JSON, JUNIT, HTML, PNG, REQUESTS = "results.json", "junit.xml", "report.html", "report.png", "requests.csv.gz"
# A window of the time line has at least so many requests, or its percentiles are the noise of a few.
_WINDOW_REQUESTS = 30
_MOST_WINDOWS = 60


@dataclass(frozen=True)
class Conditions:
    """What a run was made under, each part ready for JSON."""

    when: str
    host: str
    local: bool
    service: dict[str, Any]  # what /version says
    process: dict[str, float]  # processor seconds and bytes of the service, where it runs here
    machine: Machine  # this machine
    generator: dict[str, Any]
    pictures: dict[str, Any]
    target_file: str


@dataclass(frozen=True)
class Run:
    """A run's document and its records: what reports are drawn from."""

    result: dict[str, Any]
    records: Records


def build(plan: Plan, records: Records, seconds: float, targets: list[Target], conditions: Conditions) -> Run:
    """Hold a run against its targets and return everything about it."""
    scenario = plan.scenario
    steps = [metrics.compute(records, scenario, n) for n, phase in enumerate(scenario.phases) if phase.measured]
    knee = metrics.knee(steps) if scenario.name == "steps" else None
    knee_per_sec = steps[knee].goodput_per_sec if knee is not None else None
    verdicts = judge(records, scenario, targets, knee_per_sec)
    result = {
        "format": FORMAT,
        "met": all(verdict.met for verdict in verdicts),
        "only_late": only_late(verdicts),
        "verdicts": [verdict_dict(verdict) for verdict in verdicts],
        "scenario": scenario.to_dict(),
        "mix": dict(plan.mix),
        "main_kind": main_request_kind(plan.mix),
        "seconds": round(seconds, 1),
        "conditions": dataclasses.asdict(conditions),
        "figures": {
            "all": dataclasses.asdict(metrics.compute(records, scenario)),
            "kinds": {
                request_kind: dataclasses.asdict(metrics.compute(records, scenario, request_kind=request_kind))
                for request_kind in plan.mix
            },
            "phases": [
                {
                    **dataclasses.asdict(phase),
                    "all": dataclasses.asdict(metrics.compute(records, scenario, n)),
                    "main": dataclasses.asdict(metrics.compute(records, scenario, n, main_request_kind(plan.mix))),
                }
                for n, phase in enumerate(scenario.phases)
                if phase.measured
            ],
        },
        "knee": knee,
        "curves": {
            request_kind: metrics.curve(metrics.latencies_ms(records, scenario, request_kind=request_kind))
            for request_kind in plan.mix
        },
        "timeline": timeline(records, scenario, main_request_kind(plan.mix)),
        "errors": metrics.errors(records, scenario),
        "lag_ms": _lag(records),
    }
    return Run(result, records)


def judge(
    records: Records, scenario: Scenario, targets: list[Target], knee_per_sec: float | None = None
) -> list[Verdict]:
    """Hold records against targets."""
    numbers = {phase.name: n for n, phase in enumerate(scenario.phases)}

    def look(phase: str | None, request_kind: str | None) -> Metrics:
        return metrics.compute(records, scenario, numbers[phase] if phase else None, request_kind)

    return check(targets, look, knee_per_sec)


def only_late(verdicts: list[Verdict]) -> bool:
    """Return whether something is missed, and nothing but times: all that was asked was answered as it should be.

    How long answers take depends on the network and the machine that asks, too; what they are does not.
    """
    missed = [verdict for verdict in verdicts if not verdict.met]
    return bool(missed) and all(verdict.late for verdict in missed)


def verdict_dict(verdict: Verdict) -> dict[str, Any]:
    """Return a verdict as JSON has it; `text` is the sentence that people read."""
    return {
        "metric": verdict.target.metric,
        "operator": verdict.target.operator,
        "limit": verdict.target.limit,
        "phase": verdict.target.phase,
        "kind": verdict.target.request_kind,
        "name": verdict.target.name,
        "condition": verdict.target.condition,
        "measured": verdict.measured,
        "met": verdict.met,
        "why": verdict.why,
        "text": str(verdict),
    }


def timeline(records: Records, scenario: Scenario, request_kind: str) -> list[dict[str, Any]]:
    """Return windows of equal length: answers of every outcome, and percentiles of one request kind."""
    due = records.column("due_sec")
    end = max(scenario.seconds, float(due.max()) if len(due) else 0.0)
    count = int(min(_MOST_WINDOWS, max(1, len(due) // _WINDOW_REQUESTS)))
    numbers = np.minimum((due / end * count).astype(int), count - 1) if end else np.zeros(len(due), dtype=int)
    outcomes, request_kinds, latency_ms = (
        records.column("outcome"),
        records.column("request_kind"),
        records.column("latency_us") / 1000,
    )
    windows = []
    for number in range(count):
        inside = numbers == number
        ordered = np.sort(
            latency_ms[inside & (outcomes == Outcome.GOOD) & (request_kinds == request_kind_number(request_kind))]
        )
        windows.append(
            {
                "begin_sec": round(number * end / count, 2),
                "end_sec": round((number + 1) * end / count, 2),
                **{o.name.lower(): int((outcomes[inside] == o).sum()) for o in Outcome},
                **{
                    name: round(percentiles.percentile(ordered, q), 1) if len(ordered) else None
                    for name, q in metrics.PERCENTILES.items()
                },
            }
        )
    return windows


def _lag(records: Records) -> dict[str, float]:
    """Return how much later than due the requests were sent: the load generator's own share of the latency."""
    lag = np.sort(records.column("lag_us") / 1000)
    if not len(lag):
        return {}
    return {name: round(percentiles.percentile(lag, q), 1) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))}


def save(run: Run, folder: Path) -> None:
    """Write results.json, junit.xml and requests.csv.gz."""
    result = run.result
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JSON).write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    (folder / JUNIT).write_bytes(junit(result))
    run.records.save(folder / REQUESTS, [phase["name"] for phase in result["scenario"]["phases"]])


def load(path: Path) -> dict[str, Any]:
    """Read a saved run: its results.json, or the folder that holds it.

    Raises:
        LoadTestError: there is none, or it is of something else or of another version.
    """
    file = path / JSON if path.is_dir() else path
    try:
        document = json.loads(file.read_text("utf-8"))
        version = document["format"]
    except OSError as error:
        raise LoadTestError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise LoadTestError(f"{file} is no saved run of this load test.") from error
    if version != FORMAT:
        raise LoadTestError(f"{file} has the format {version!r}, this version reads {FORMAT}: run the test again.")
    result: dict[str, Any] = document
    return result


def junit(result: dict[str, Any]) -> bytes:
    """Return JUnit XML: a test case for each target, failed where it was missed."""
    verdicts = result["verdicts"]
    failures = str(sum(not verdict["met"] for verdict in verdicts))
    suites = ET.Element("testsuites", tests=str(len(verdicts)), failures=failures)
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=f"loadtest.{result['scenario']['name']}",
        tests=str(len(verdicts)),
        failures=failures,
        errors="0",
        skipped="0",
        time=str(result["seconds"]),
        timestamp=result["conditions"]["when"],
    )
    names = {request_kind: words for request_kind, words in REQUEST_KINDS.items() if request_kind in result["mix"]}
    for verdict in verdicts:
        case = ET.SubElement(
            suite,
            "testcase",
            classname=f"loadtest.{result['scenario']['name']}",
            name=f"{verdict['name']} {verdict['condition']}",
            time="0",
        )
        if not verdict["met"]:
            failure = ET.SubElement(case, "failure", type="missed", message=verdict["text"])
            failure.text = verdict["text"]
    out = ET.SubElement(suite, "system-out")
    out.text = f"{result['conditions']['host']}: {', '.join(names.values())}"
    ET.indent(suites)
    xml: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return xml
