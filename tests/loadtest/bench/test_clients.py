"""The benchmark's clients count every request once, whatever comes back, and wait where they are told to."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from loadtest.bench.clients import Connection, Samples, closed_loop, request_bytes
from loadtest.bench.open_loop import open_loop
from tests.server import Server

PICTURE = b"\xff\xd8 not much of a picture"


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
        left = len(request_bytes(PICTURE))
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
    connection = Connection(other.port, PICTURE)
    assert [connection() for _ in range(4)] == [200, 415, 200, 200]
    assert other.connections == 1
    connection.close()


def test_a_broken_connection_counts_as_0_and_is_made_anew(peer: Callable[..., Peer]) -> None:
    other = peer(b"", b"no HTTP at all\r\n\r\n", answer(200))
    connection = Connection(other.port, PICTURE)
    assert [connection() for _ in range(3)] == [0, 0, 200]
    connection.close()


def test_an_answer_without_a_length_ends_with_its_connection(peer: Callable[..., Peer]) -> None:
    """As a proxy says that the server behind it is not there yet."""
    other = peer(b"HTTP/1.1 503 X\r\n\r\nlater", answer(200))
    connection = Connection(other.port, PICTURE)
    assert [connection() for _ in range(2)] == [503, 200]
    connection.close()


def test_a_refused_client_waits_before_it_comes_again(peer: Callable[..., Peer]) -> None:
    other = peer(*[answer(429)] * 1000)
    connection = Connection(other.port, PICTURE)
    samples = closed_loop([connection], 0.5)
    connection.close()
    assert {status: len(values) for status, values in samples.latencies.items()} == {429: 1}


def test_the_clock_starts_after_the_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """With PyTorch imported it takes a good part of a second, in which nothing is sent."""
    monkeypatch.setattr("loadtest.bench.clients.gc.collect", lambda: time.sleep(0.5))
    samples = closed_loop([lambda: 200], 0.2)
    assert samples.count > 0
    assert samples.seconds < 0.5


def test_an_open_loop_sends_all_that_is_due_and_gets_an_answer_to_each(service: Server, jpeg: bytes) -> None:
    samples = open_loop(service.port, jpeg, 50, 1.0)
    assert samples.count == 50
    assert set(samples.latencies) <= {200, 429}
    assert samples.latencies[200]


def test_rates_and_quantiles_are_of_the_answers_that_were_good() -> None:
    samples = Samples(2.0, {200: [0.1, 0.2, 0.3, 0.4], 429: [0.001] * 100})
    assert samples.rate() == 2.0
    assert samples.quantile(0.5) == 0.2  # the nearest rank, as load tests have it
    assert Samples(1.0, {200: [float(n) for n in range(1, 101)]}).quantile(0.99) == 99.0
    assert samples.count == 104
