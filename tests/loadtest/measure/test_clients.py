"""The cheap clients count every request once, whatever comes back; what waited to be sent has waited too."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loadtest.measure.answers import Outcome
from loadtest.measure.clients import Connection, Samples, closed_loop, open_loop, request_bytes
from tests.loadtest.scripted import GOOD, Answer, Scripted, serving
from tests.server import Server

REQUEST = request_bytes(b"\xff\xd8 not much of a picture")


class Peer:
    """Answers each request on a real socket with the next of `answers`; an empty one hangs up."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                while self._answers and self._read(connection):
                    if not (answer := self._answers.pop(0)):
                        break
                    connection.sendall(answer)
                    if b"Content-Length" not in answer:
                        break

    @staticmethod
    def _read(connection: socket.socket) -> bool:
        left = len(REQUEST)
        while left:
            if not (chunk := connection.recv(left)):
                return False
            left -= len(chunk)
        return True

    def close(self) -> None:
        self._listener.close()


def answer(status: int, body: bytes = b"{}") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


@pytest.fixture
def peer() -> Iterator[Callable[..., Peer]]:
    made: list[Peer] = []

    def make(*answers: bytes) -> Peer:
        made.append(Peer(*answers))
        return made[-1]

    yield make
    for item in made:
        item.close()


def test_one_connection_is_kept_for_all_requests(peer: Callable[..., Peer]) -> None:
    other = peer(answer(200), answer(415), answer(200, b"x" * 200_000), answer(200))
    connection = Connection(other.port, REQUEST)
    assert [connection() for _ in range(4)] == [200, 415, 200, 200]
    assert other.connections == 1
    connection.close()


def test_a_broken_connection_counts_as_0_and_is_made_anew(peer: Callable[..., Peer]) -> None:
    other = peer(b"", b"no HTTP at all\r\n\r\n", answer(200))
    connection = Connection(other.port, REQUEST)
    assert [connection() for _ in range(3)] == [0, 0, 200]
    connection.close()


def test_an_answer_without_a_length_ends_with_its_connection(peer: Callable[..., Peer]) -> None:
    """As a proxy says that the server behind it is not there yet."""
    other = peer(b"HTTP/1.1 503 X\r\n\r\nlater", answer(200))
    connection = Connection(other.port, REQUEST)
    assert [connection() for _ in range(2)] == [503, 200]
    connection.close()


def test_a_refused_client_waits_before_it_comes_again(peer: Callable[..., Peer]) -> None:
    other = peer(*[answer(429)] * 1000)
    connection = Connection(other.port, REQUEST)
    samples = closed_loop([connection], 0.5)
    connection.close()
    assert samples.statuses() == {429: 1}


def test_the_clock_starts_after_the_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch imported it takes a good part of a second, in which nothing is sent."""
    monkeypatch.setattr("loadtest.measure.clients.gc.collect", lambda: time.sleep(0.5))
    samples = closed_loop([lambda: 200], 0.2)
    assert len(samples.sent) > 0
    assert samples.seconds < 0.5


def test_an_open_loop_sends_all_that_is_due_and_gets_an_answer_to_each(service: Server, jpeg: bytes) -> None:
    samples = open_loop(service.port, request_bytes(jpeg), [n / 50 for n in range(50)], 1.0)
    assert len(samples.sent) == 50
    assert set(samples.statuses()) <= {200, 429}
    assert samples.of(Outcome.GOOD)


def test_who_is_never_answered_is_counted_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loadtest.measure.clients.TIMEOUT_SEC", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        samples = open_loop(silent.getsockname()[1], REQUEST, [0.0, 0.05], 0.1)
    assert samples.statuses() == {0: 2}


def test_a_request_that_is_sent_late_counts_from_when_it_was_due() -> None:
    """Here the first was due a second before the loop began, as after a stall of this process."""
    with serving(lambda _: GOOD) as server:
        samples = open_loop(server.port, REQUEST, [-1.0, 0.0], 0.1)
    at_once, late = sorted(samples.of(Outcome.GOOD))
    assert at_once < 1.0 < late


class TestAStallOfOneSecond:
    """A server that does nothing for a second, in the middle of a stream of 100 a second ("coordinated omission")."""

    @pytest.fixture
    def stalling(self) -> Iterator[Scripted]:
        began: list[float] = []

        def script(_: int) -> Answer:
            began.append(time.monotonic())
            if (left := began[0] + 1.5 - time.monotonic()) > 0 and left < 1.0:
                time.sleep(left)
            return GOOD

        with serving(script) as server:
            yield server

    def test_shows_in_the_99th_percentile_of_an_open_loop(self, stalling: Scripted) -> None:
        """All who were due in that second waited for its end: half of them, evenly from a second to nothing."""
        samples = open_loop(stalling.port, REQUEST, [n / 100 for n in range(200)], 2.0)
        assert len(samples.of(Outcome.GOOD)) == 200
        assert samples.quantile_ms(0.99) > 900
        waited = sorted(samples.of(Outcome.GOOD), reverse=True)[:90]
        assert all(sec > 0.95 - n / 100 for n, sec in enumerate(waited))

    def test_is_one_slow_request_to_a_closed_loop(self, stalling: Scripted) -> None:
        """Which is why a closed loop says how many answers there are, and an open loop how long people wait."""
        connection = Connection(stalling.port, REQUEST)

        def call() -> int:
            time.sleep(0.005)
            return connection()

        samples = closed_loop([call], 2.0)
        connection.close()
        assert max(samples.of(Outcome.GOOD)) > 0.9
        assert sum(sec > 0.5 for sec in samples.of(Outcome.GOOD)) <= 2


def test_everyone_sends_once_however_short_the_time_is() -> None:
    """A thread may start when a short round is over already: on a busy machine no round may be empty."""
    samples = closed_loop([lambda: 200] * 4, 0.0)
    assert len(samples.sent) == 4


def test_rates_and_quantiles_are_of_one_outcome() -> None:
    samples = Samples(
        2.0, [(429, 0.001)] * 100 + [(200, 0.3), (503, 1.0), (200, 0.1), (200, 0.4), (0, 2.0), (200, 0.2)]
    )
    assert samples.rate() == 2.0
    assert samples.quantile_ms(0.5) == 200.0  # the nearest rank, as load tests have it
    assert samples.quantile_ms(0.99, Outcome.REFUSED) == 1.0
    assert samples.of(Outcome.FAILED) == [1.0, 2.0]
    assert Samples(1.0, [(200, float(n)) for n in range(1, 101)]).quantile_ms(0.99) == 99_000.0
    assert len(samples.sent) == 106
