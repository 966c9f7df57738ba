"""The search for the rated requests a second: one open-loop run after the other, with the users of every load test."""

from __future__ import annotations

import dataclasses
import itertools
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import gevent
from locust.env import Environment
from locust.event import Events

from loadtest.errors import make_folder, writing
from loadtest.judge import rating, results
from loadtest.judge.rating import Search, Step
from loadtest.locustfile import Everyone, Scenarios
from loadtest.measure.session import Session, attach
from loadtest.measure.users import record_requests, watch_lateness
from loadtest.options import Options
from loadtest.plan.schedule import Plan
from loadtest.rig import stand_ready
from loadtest.show import rated


def search(options: Options, host: str, wanted: Search, file: Path, quiet: bool) -> bool:
    """Find the rated requests a second and write `file`, with a PNG beside it; returns whether any rate held.

    Raises:
        LoadTestError: the service is not there, a step would take too long, or `file` cannot be written.
    """
    rig = stand_ready(options, host)
    make_folder(file.parent)  # or nobody is told for minutes that it cannot be made
    session = Session(rig.endpoint, rig.bodies)
    send = _sender(session)
    seeds = itertools.count(options.seed)

    def measure(per_sec: float, repeat: int) -> Step:
        scenario = rating.scenario(per_sec, rig.targets, rig.mix, wanted.step_sec, wanted.spacing)
        send(dataclasses.replace(rig.plan(scenario), seed=next(seeds)))
        late = results.generator_was_late(rig.conditions(session, {}).generator)
        step = Step(per_sec, results.judge(session.records, scenario, rig.targets, late_generator=late), repeat)
        if not quiet:
            click.echo(f"{repeat + 1} of {wanted.repeats}: {step}", err=True)
        return step

    before = rig.process()
    if wanted.warm_up_sec:
        send(rig.plan(rating.scenario(wanted.first, [], rig.mix, wanted.warm_up_sec, "constant")))
    searched = rating.rate(measure, wanted.first, wanted.most, wanted.precision, wanted.repeats)
    result = {
        **searched.to_dict(),
        "precision": wanted.precision,
        "arrivals": wanted.spacing,
        "targets": [f"{target.name} {target.condition}" for target in rig.targets],
        "mix": dict(rig.mix),
        "conditions": dataclasses.asdict(rig.conditions(session, before)),
    }
    click.echo(rated.terminal(searched, result))
    if not searched.per_sec:
        return False
    picture = file.with_suffix(".png")
    with writing(file):
        file.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
        picture.write_bytes(rated.plot(searched, rig.targets, result))
    click.echo(f"\n  {file}  (also {picture.name})")
    return True


def _sender(session: Session) -> Callable[[Plan], None]:
    """Return what carries out one plan after the other, with Locust as a library."""
    shape = Scenarios()  # type: ignore[no-untyped-call]  # Locust's
    environment = Environment(user_classes=[Everyone], shape_class=shape, events=Events())
    attach(environment, session)
    record_requests(environment)
    runner = environment.create_local_runner()

    def begin(**_: Any) -> None:
        if session.plan:
            session.begin(session.plan)

    environment.events.test_start.add_listener(begin)
    main = gevent.getcurrent()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # gevent would raise it in whichever greenlet runs.
        gevent.signal_handler(number, lambda: gevent.kill(main, KeyboardInterrupt))

    def send(plan: Plan) -> None:
        session.plan = plan
        watch = watch_lateness(session)
        runner.start_shape()
        if runner.shape_greenlet is not None:
            runner.shape_greenlet.join()
        watch.kill()

    return send
