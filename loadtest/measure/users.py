"""The Locust user that sends pictures, and the shape that starts as many of them as a scenario needs.

An open loop, by `wait_time`: whichever user is free takes the next arrival of the process's schedule and waits until it
is due. There are so many users that one is free; where none is (all wait for a slow service), the request goes out
late, and its time counts from when it was due all the same, in Locust's statistics, too. `constant_throughput` forgets
that wait ("coordinated omission").
"""

from __future__ import annotations

import math
import random
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import gevent
import gevent.ssl
from gevent import GreenletExit
from geventhttpclient.client import HTTPClient, HTTPClientPool
from locust import FastHttpUser, LoadTestShape, task
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest.measure import answers
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.session import Session, session_of
from loadtest.plan.schedule import Scenario

# Longer than the balancer's 30 s: what it gives up, it says itself.
ANSWER_LIMIT_SEC = 35.0
CONNECT_LIMIT_SEC = 10.0
# Below the 1,024 file descriptors up to which geventhttpclient can see whether a kept connection is still alive.
MOST_IN_FLIGHT = 900
# The first attempt and those after refusals.
MOST_ATTEMPTS = 3
# So long may every answer take, Retry-After included, and there is still a user free for the next arrival.
_USER_BUSY_SEC = 10.0
# Locust warns of more a second.
_SPAWN_PER_SEC = 100
# After the last arrival: its answer, and its attempts after refusals with a Retry-After of ten seconds.
_DRAIN_LIMIT_SEC = MOST_ATTEMPTS * (ANSWER_LIMIT_SEC + 10)
_WATCH_SEC = 0.05
_USUAL = (("phase", 0), ("attempt", 1), ("lag_sec", 0.0))  # of a request that no PictureUser sent
_REFUSED = "refused (429)"
_RAISED = "exceptions of tasks"


class _PinnedPool(HTTPClientPool):
    """Makes clients that connect to one IP address; requests and TLS keep the host name of the URL."""

    def __init__(self, address: str, **options: Any) -> None:
        super().__init__(**options)
        self._address = address

    def get_client(self, url: Any) -> HTTPClient:
        """Return the client for a URL's host."""
        client = super().get_client(url)
        # The one place that is asked where to connect to; all else that names a host has been set by now.
        client._connection_pool._connection_host = self._address  # noqa: SLF001  # there is no other way in
        return client


def _trusting(authorities: Path, cafile: str | None = None) -> gevent.ssl.SSLContext:  # noqa: ARG001  # the usual ones
    """Return what connections need that trust these authorities and no others."""
    place = "capath" if authorities.is_dir() else "cafile"
    return gevent.ssl.create_default_context(**{place: str(authorities)})


class _ChargedRequests:
    """Locust's request event as a user fires it: how late a request was sent is part of its time."""

    def __init__(self, environment: Environment) -> None:
        self._event = environment.events.request

    def fire(self, **meta: Any) -> None:
        """Fire the event, to Locust's statistics and our record alike."""
        meta["response_time"] += 1000 * meta["context"]["lag_sec"]
        self._event.fire(**meta)


class PictureUser(FastHttpUser):
    """Someone who sends pictures. Subclass it to add tasks: each takes its share of the arrivals.

    FastHttpUser, because Locust's other client costs several times the processor time. A subclass with an `on_start` of
    its own ends it with this one's.
    """

    abstract = True
    network_timeout = ANSWER_LIMIT_SEC
    connection_timeout = CONNECT_LIMIT_SEC
    concurrency = MOST_IN_FLIGHT

    def __init__(self, environment: Environment) -> None:
        self.session: Session = session_of(environment)
        endpoint = self.session.endpoint
        assert endpoint is not None  # noqa: S101  # known before the first start
        self.host, self.insecure, self.default_headers = endpoint.url, endpoint.insecure, dict(endpoint.headers)
        if endpoint.authorities:
            self.ssl_context_factory = partial(_trusting, endpoint.authorities)
        self.client_pool = self.session.connections  # one for all: reading the authorities takes a while
        super().__init__(environment)
        agent = self.client.client
        if self.session.connections is None:
            if endpoint.connect_to:
                agent.clientpool = _PinnedPool(endpoint.connect_to, **agent.clientpool.client_args)
            self.session.connections = agent.clientpool
        # A redirect is no answer of the service, and following one could carry the token to another host.
        agent.redirect_response_codes = frozenset()  # type: ignore[misc]  # this client's alone
        self.client.request_event = _ChargedRequests(environment)
        self._due: float | None = None  # of the next request; None where it is due when it is sent
        self._phase, self._request_kind, self._attempt = 0, "", 1

    def on_start(self) -> None:
        """Wait for the first arrival."""
        gevent.sleep(self.wait_time())

    def wait_time(self) -> float:
        """Take the next arrival and return how long it is until then; end this user where none is left."""
        arrival = self.session.next()
        if arrival is None:
            raise GreenletExit  # Locust complains of a StopUser while a user starts
        self._due, self._phase, self._request_kind = arrival
        self._attempt = 1
        return max(0.0, self._due - time.perf_counter())

    def context(self) -> dict[str, Any]:
        """Return what the record needs to know of the request that is about to be sent."""
        now = time.perf_counter()
        due, self._due = now if self._due is None else self._due, None
        return {"phase": self._phase, "attempt": self._attempt, "due": due, "lag_sec": max(0.0, now - due)}

    @task(9)
    def send_a_picture(self) -> None:
        """Post what is next in the mix; come back after a refusal as soon as it allows, and no sooner."""
        scenario = self.session.plan.scenario if self.session.plan else None
        request_kind, self._request_kind = self._request_kind or self.session.next_kind(), ""
        for self._attempt in range(1, MOST_ATTEMPTS + 1):
            judgement = self.post(request_kind)
            last = self._attempt == MOST_ATTEMPTS or not scenario or not scenario.retries
            if judgement.outcome is not Outcome.REFUSED or last:
                return
            # A little more than it asks for, by chance: those refused together return apart.
            wait_sec = judgement.retry_after_sec + random.random()  # noqa: S311
            self._due = time.perf_counter() + wait_sec
            gevent.sleep(wait_sec)

    def post(self, request_kind: str) -> Judgement:
        """Post the next picture of a kind to /predict, and say what the answer is worth."""
        bodies = self.session.bodies
        assert bodies is not None  # noqa: S101  # made before the first start
        body = bodies.next(request_kind)
        with self.client.post(
            answers.PATH,
            name=request_kind,
            data=cast(Any, body.data),
            headers={"Content-Type": body.content_type},
            catch_response=True,
        ) as response:
            if response.status_code:
                content = cast(bytes, response.content or b"")
                headers = cast(Any, response.headers or {})
                judgement = answers.judge(request_kind, body.pictures, response.status_code, headers, content)
            else:
                judgement = answers.judge_error(cast(BaseException | None, getattr(response, "error", None)))
            response.request_meta["context"].update(request_kind=request_kind, judgement=judgement)
            if judgement.outcome is Outcome.FAILED:
                response.failure(judgement.reason)
            else:
                if judgement.outcome is Outcome.REFUSED:
                    response.request_meta["name"] = _REFUSED
                response.success()
        return judgement


def record_requests(environment: Environment) -> None:
    """Note every request in the session's record: pictures by kind, one's own tasks by name, and what they raise."""
    session = session_of(environment)

    def note(
        name: str, response_time: float, exception: BaseException | None, context: dict[str, Any], **_: Any
    ) -> None:
        latency_sec = response_time / 1000
        judgement = context.get("judgement")
        if judgement is None:
            judgement = answers.judge_error(exception) if exception else Judgement(Outcome.GOOD, "")
        due_sec = context["due"] - session.began if "due" in context else session.second() - latency_sec
        phase, attempt, lag_sec = (context.get(key, usual) for key, usual in _USUAL)
        session.records.add(context.get("request_kind", name), phase, attempt, due_sec, lag_sec, latency_sec, judgement)

    def note_exception(exception: BaseException, **_: Any) -> None:
        assert session.plan is not None  # noqa: S101  # users run
        scenario, second = session.plan.scenario, session.second()
        phase = scenario.phase_at(second) if session.shaped else 0
        judgement = Judgement(Outcome.FAILED, f"a task raised {type(exception).__name__}", str(exception))
        last = len(scenario.phases) - 1
        session.records.add(_RAISED, last if phase is None else phase, 1, second, 0.0, 0.0, judgement)

    environment.events.request.add_listener(note)
    environment.events.user_error.add_listener(note_exception)


def watch_lateness(session: Session) -> gevent.Greenlet:
    """Note, for as long as the greenlet that is returned lives, how late this process does what is due."""

    def watch() -> None:
        while True:
            due = time.perf_counter() + _WATCH_SEC
            gevent.sleep(_WATCH_SEC)
            session.late_ms.append(1000 * (time.perf_counter() - due))

    return gevent.spawn(watch)


class ScenarioShape(LoadTestShape):
    """Follows the scenario: so many users that one is always free for the next arrival, or a phase's clients."""

    abstract = True

    def tick(self) -> tuple[int, float] | None:
        """Return how many users, and how many of them to start a second; None when every answer is there."""
        assert self.runner is not None  # noqa: S101  # Locust asks once it has one
        session = session_of(self.runner.environment)
        if self.runner.shape_last_tick is None:  # the first of a start; the next may come before the test has begun
            session.began = 0.0
            session.prepare()
        if session.plan is None:
            return None  # something is wrong, which has been said
        scenario, second = session.plan.scenario, session.second()
        phase = scenario.phase_at(second)
        # Users end by themselves when their last answer is there.
        done = phase is None and not self.runner.user_count
        if done or second > scenario.seconds + _DRAIN_LIMIT_SEC:
            return None
        processes = max(1, self.runner.worker_count) if isinstance(self.runner, MasterRunner) else 1
        users = _clients(scenario, phase) if scenario.closed else _users(scenario, processes)
        return users, float(min(users, _SPAWN_PER_SEC * processes))


def _clients(scenario: Scenario, phase: int | None) -> int:
    return scenario.phases[-1 if phase is None else phase].clients


def _users(scenario: Scenario, processes: int) -> int:
    fastest = max(phase.per_sec for phase in scenario.phases)
    enough = min(math.ceil(_USER_BUSY_SEC * fastest), scenario.arrivals, MOST_IN_FLIGHT * processes)
    return max(processes, enough)
