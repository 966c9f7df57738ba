"""The Locust users: one that lets requests arrive on schedule, and one that waits for each answer.

Locust's users are closed loops, and `constant_throughput` is one too: a user that waits for a slow answer sends later.
An open loop is therefore one user for each process, which lets every arrival go into a greenlet of its own at the
moment at which it is due. What Locust shows is counted from that moment too.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import Any, cast

import gevent
import gevent.ssl
from gevent.pool import Pool
from geventhttpclient.client import HTTPClient, HTTPClientPool
from locust import FastHttpUser, task
from locust.env import Environment
from locust.exception import StopUser

from loadtest.measure import answers
from loadtest.measure.answers import Judgement, Outcome
from loadtest.measure.session import Session

# Longer than the balancer's 30 s: what it gives up, it says itself.
ANSWER_LIMIT_SEC = 35.0
CONNECT_LIMIT_SEC = 10.0
# Below the 1,024 file descriptors up to which geventhttpclient can see whether a kept connection is still alive.
MOST_IN_FLIGHT = 900
# The first attempt and those after refusals.
MOST_ATTEMPTS = 3
_REFUSED = "refused (429)"


class SessionEnvironment(Environment):
    """Locust's environment, in which users find their session."""

    def __init__(self, session: Session, **options: Any) -> None:
        self.session = session
        super().__init__(host=session.endpoint.url, **options)


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


class PictureUser(FastHttpUser):
    """Sends pictures. FastHttpUser, because Locust's other client costs several times the processor time."""

    abstract = True
    network_timeout = ANSWER_LIMIT_SEC
    connection_timeout = CONNECT_LIMIT_SEC
    concurrency = MOST_IN_FLIGHT

    def __init__(self, environment: SessionEnvironment) -> None:
        self.session: Session = environment.session
        endpoint = self.session.endpoint
        self.insecure = endpoint.insecure
        if endpoint.authorities:
            self.ssl_context_factory = partial(_trusting, endpoint.authorities)
        super().__init__(environment)
        if endpoint.connect_to:
            agent = self.client.client
            agent.clientpool = _PinnedPool(endpoint.connect_to, **agent.clientpool.client_args)
        # A redirect is no answer of the service, and following one could carry the token to another host.
        self.client.client.redirect_response_codes = frozenset()  # type: ignore[misc]  # this client's alone

    def send(self, request_kind: str, phase: int, due: float, attempt: int = 1) -> Judgement:
        """Post one picture and note what came of it; `due` is on `time.perf_counter()`'s clock."""
        session = self.session
        body = session.bodies.next(request_kind)
        lag_sec = time.perf_counter() - due
        # The whole address, because Locust's page lets people change the host: the token is for this one.
        with self.client.post(
            session.endpoint.url + answers.PATH,
            name=request_kind,
            data=cast(Any, body.data),
            headers={"Content-Type": body.content_type, **session.endpoint.headers},
            catch_response=True,
        ) as response:
            latency_sec = time.perf_counter() - due
            if response.status_code:
                content = cast(bytes, response.content or b"")
                judgement = answers.judge(
                    request_kind, body.pictures, response.status_code, cast(Any, response.headers or {}), content
                )
            else:
                judgement = answers.judge_error(cast(BaseException | None, getattr(response, "error", None)))
            response.request_meta["response_time"] = 1000 * latency_sec
            if judgement.outcome is Outcome.FAILED:
                response.failure(judgement.reason)
            else:
                if judgement.outcome is Outcome.REFUSED:
                    response.request_meta["name"] = _REFUSED
                response.success()
        session.records.add(request_kind, phase, attempt, due - session.began, lag_sec, latency_sec, judgement)
        return judgement


class OpenUser(PictureUser):
    """Lets this process's share of the arrivals go when they are due, whatever the server does."""

    @task
    def follow_the_schedule(self) -> None:
        """Send every request when it is due; ends when every answer is there."""
        session = self.session
        pool = Pool(MOST_IN_FLIGHT)
        try:
            for arrival, request_kind in session.take_schedule() or ():
                if (wait := arrival.due_sec - session.second()) > 0:
                    gevent.sleep(wait)
                pool.spawn(self._answer, request_kind, arrival.phase, session.began + arrival.due_sec)
            pool.join()
        finally:
            pool.kill()  # nothing, unless the test was interrupted
        raise StopUser

    def _answer(self, request_kind: str, phase: int, due: float) -> None:
        for attempt in range(1, MOST_ATTEMPTS + 1):
            judgement = self.send(request_kind, phase, due, attempt)
            if judgement.outcome is not Outcome.REFUSED or not self.session.scenario.retries:
                return
            if attempt < MOST_ATTEMPTS:
                # As long as the server asks for, and a little more by chance: those refused together return apart.
                due = time.perf_counter() + judgement.retry_after_sec + random.random()  # noqa: S311
                gevent.sleep(due - time.perf_counter())


class ClosedUser(PictureUser):
    """A client that sends again as soon as it has its answer, and waits when it was asked to."""

    @task
    def send_the_next(self) -> None:
        """Send the next picture; after a refusal, wait as long as it asks."""
        session = self.session
        phase = session.scenario.phase_at(session.second())
        if phase is None:
            raise StopUser
        judgement = self.send(next(session.request_kinds), phase, time.perf_counter())
        if judgement.outcome is Outcome.REFUSED and session.scenario.retries:
            gevent.sleep(judgement.retry_after_sec)
