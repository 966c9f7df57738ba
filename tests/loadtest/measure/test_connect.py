"""--connect-to: a service is tested under a name that leads nowhere yet, by the address that it has."""

from __future__ import annotations

import datetime as dt
import shutil
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from loadtest.errors import LoadTestError
from loadtest.measure.endpoint import AUTHORITIES, endpoint
from loadtest.measure.service import Service
from loadtest.plan.bodies import Body
from tests.loadtest.runs import LENIENT, Ended, command, results, targets
from tests.loadtest.scripted import Scripted, serving
from tests.server import free_port

NAME = "classify.invalid"  # a name that never has an address (RFC 6761)

pytestmark = pytest.mark.slow


class Authority(NamedTuple):
    """Who signs certificates here, and the file by which others trust them."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path


def certificate(subject: str, key: ec.EllipticCurvePrivateKey, issuer: Authority | None) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(subject)]), critical=False)
    )
    return builder.sign(issuer.key if issuer else key, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    made = certificate("the tests' authority", key, None)
    file = tmp_path_factory.mktemp("authority") / "authority.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return Authority(key, made, file)


def context(authority: Authority, name: str) -> ssl.SSLContext:
    """Return what a server needs that has a certificate for `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    file = authority.file.with_name(f"{name}.pem")
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate(name, key, authority).public_bytes(serialization.Encoding.PEM)
    )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(file)
    return made


def smoke(folder: Path, server: Scripted, *arguments: object, scheme: str = "https", **settings: object) -> Ended:
    """Send five pictures to NAME, at the address of this machine."""
    file = targets(folder, smoke=LENIENT)
    options = ("--mix", "small", "--rate", 10, "--seconds", 0.5, "--targets", file, "--output", folder, "--no-charts")
    where = ("--host", f"{scheme}://{NAME}:{server.port}", "--connect-to", "127.0.0.1")
    return command("run", *where, *options, *arguments, **settings)


def test_everything_goes_to_the_address_under_the_name(authority: Authority, tmp_path: Path) -> None:
    """The check beforehand and the test: Host header, TLS server name, certificate."""
    tls = context(authority, NAME)
    asked: set[str | None] = set()
    tls.sni_callback = lambda _socket, name, _context: asked.add(name)
    with serving(tls=tls) as server:
        ended = smoke(tmp_path, server, "--ca", authority.file, LOADTEST_TOKEN="s3cret")  # noqa: S106  # sent nowhere else
    assert ended.code == 0, ended.complained
    assert {headers.get("Authorization") for _, headers in server.seen} == {"Bearer s3cret"}
    assert asked == {NAME}
    assert server.hosts == {f"{NAME}:{server.port}"}
    assert len(server.seen) == 6
    assert results(tmp_path)["conditions"]["host"] == f"https://{NAME}:{server.port} at 127.0.0.1"


def test_it_works_without_tls(tmp_path: Path) -> None:
    with serving() as server:
        ended = smoke(tmp_path, server, scheme="http")
    assert ended.code == 0, ended.complained
    assert server.hosts == {f"{NAME}:{server.port}"}
    assert len(server.seen) == 6


def test_a_certificate_for_another_name_is_not_trusted(authority: Authority) -> None:
    with serving(tls=context(authority, "other.invalid")) as server, pytest.raises(LoadTestError) as caught:
        trusted(server, authority.file)
    assert str(caught.value).startswith(
        f"https://{NAME}:{server.port} at 127.0.0.1 has a certificate that is not trusted"
    )


def test_any_certificate_is_accepted_where_that_is_asked_for(authority: Authority, tmp_path: Path) -> None:
    with serving(tls=context(authority, "other.invalid")) as server:
        ended = smoke(tmp_path, server, "--insecure")
    assert ended.code == 0, ended.complained
    assert len(server.seen) == 6


def trusted(server: Scripted, ca: Path | None = None, environ: Mapping[str, str] | None = None) -> None:
    where = endpoint(f"https://{NAME}:{server.port}", connect_to="127.0.0.1", ca=ca, environ=environ or {})
    Service(where).check(Body(b"picture", "image/jpeg", 1))


def test_an_authority_of_ones_own_is_named_by_an_option_or_by_the_usual_variables(
    authority: Authority, tmp_path: Path
) -> None:
    """The first counts; a folder of certificates, named by their hashes, will do where OpenSSL takes one."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    said = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", authority.file], capture_output=True, text=True, check=True
    )
    shutil.copy(authority.file, folder / f"{said.stdout.strip()}.0")
    other = tmp_path / "other.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    other.write_bytes(certificate("another authority", key, None).public_bytes(serialization.Encoding.PEM))
    own = str(authority.file)
    with serving(tls=context(authority, NAME)) as server:
        trusted(server, authority.file)
        trusted(server, authority.file, {"SSL_CERT_FILE": str(other)})
        trusted(server, folder)
        for variable in AUTHORITIES:
            trusted(server, environ={variable: own})
        trusted(server, environ={"REQUESTS_CA_BUNDLE": str(other), "SSL_CERT_FILE": own})
        for environ in ({}, {"SSL_CERT_FILE": str(other)}, {"REQUESTS_CA_BUNDLE": own, "SSL_CERT_FILE": str(other)}):
            with pytest.raises(LoadTestError, match=r"not trusted: --ca FILE names who signed it"):
                trusted(server, environ=environ)


def test_the_test_itself_checks_the_certificate_too(authority: Authority, tmp_path: Path) -> None:
    """The server shows the right one to the check, which has one connection, and another one ever after."""
    tls, other = context(authority, NAME), context(authority, "other.invalid")
    connections: list[str | None] = []

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        connections.append(name)
        if len(connections) > 1:
            connection.context = other

    tls.sni_callback = choose
    with serving(tls=tls) as server:
        ended = smoke(tmp_path, server, SSL_CERT_FILE=authority.file)
    assert ended.code == 1, ended.complained
    assert {error["reason"] for error in results(tmp_path)["errors"]} == {"certificate not trusted"}
    assert len(server.seen) == 1


def test_workers_go_there_too(authority: Authority, tmp_path: Path) -> None:
    with serving(tls=context(authority, NAME)) as server:
        port = free_port()
        ended = smoke(
            tmp_path,
            server,
            "--processes",
            1,
            "--master-bind-port",
            port,
            "--master-port",
            port,
            SSL_CERT_FILE=authority.file,
        )
    assert ended.code == 0, ended.complained
    assert server.hosts == {f"{NAME}:{server.port}"}
    assert len(server.seen) == 6
