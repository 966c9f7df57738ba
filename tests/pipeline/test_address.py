"""Which address this machine has outside, asked of a name server on this machine that answers as Google's does."""

from __future__ import annotations

import socketserver
from collections.abc import Iterator

import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import pytest

from pipeline import address
from pipeline.errors import StepFailed
from tests.answering import answering


class NameServer(socketserver.UDPServer):
    texts: tuple[str, ...] = ()


class Handler(socketserver.BaseRequestHandler):
    server: NameServer

    def handle(self) -> None:
        data, socket = self.request
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        if self.server.texts:
            texts = [f'"{text}"' for text in self.server.texts]
            answer.answer.append(
                dns.rrset.from_text_list(query.question[0].name, 60, dns.rdataclass.IN, dns.rdatatype.TXT, texts)
            )
        socket.sendto(answer.to_wire(), self.client_address)


@pytest.fixture
def server() -> Iterator[NameServer]:
    with answering(NameServer(("127.0.0.1", 0), Handler)) as running:
        yield running


def ask(server: NameServer) -> str:
    return address.public_ipv4("", "127.0.0.1", server.server_address[1])


def test_the_name_server_says_who_asks(server: NameServer) -> None:
    server.texts = ("203.0.113.9",)
    assert ask(server) == "203.0.113.9"


def test_what_a_resolver_adds_is_passed_over(server: NameServer) -> None:
    server.texts = ("edns0-client-subnet 198.51.100.0/24", "203.0.113.9")
    assert ask(server) == "203.0.113.9"


def test_a_stated_address_comes_first() -> None:
    assert address.public_ipv4("203.0.113.10") == "203.0.113.10"


def test_a_stated_address_of_ipv6_is_refused() -> None:
    """The tests through the balancer go by IPv4, and so does what is admitted."""
    with pytest.raises(StepFailed, match="'2001:db8::7' is no IPv4 address"):
        address.public_ipv4("2001:db8::7")


@pytest.mark.parametrize("texts", [(), ("nonsense",), ("0.0.0.0/0",)], ids=["nothing", "no address", "everybody"])
def test_anything_else_is_not_admitted(texts: tuple[str, ...], server: NameServer) -> None:
    server.texts = texts
    with pytest.raises(StepFailed, match="give it as BUILD_ADDRESS"):
        ask(server)
