"""Asks registries of images for digests: one request for one tag, signed in as nobody in particular.

Speaks as much of the registries' common interface (OCI Distribution, Docker's "Registry HTTP API V2") as that takes. No
Docker is needed, nothing is pulled, and Docker Hub does not count who only asks for the head of a manifest.
"""

from __future__ import annotations

import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request

from pipeline.errors import StepFailed

# What a tag may stand for: a list of an image's variants for several processors, or one image; of OCI's or Docker's own
# kind. Who does not accept the lists is told the digest of one variant.
_ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DOCKER_HUB = "registry-1.docker.io"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TIMEOUT_SEC = 30


class _Unknown(Exception):
    """The registry does not say; the message has the reason."""


def address(name: str) -> tuple[str, str]:
    """Return the registry's host, and the repository there, of an image's name without tag and digest.

    A name says a host where its first part looks like one; otherwise it is Docker Hub's, whose own images are below
    `library`.
    """
    first, _, rest = name.partition("/")
    if rest and ("." in first or ":" in first or first == "localhost"):
        return (_DOCKER_HUB, rest) if first == "docker.io" else (first, rest)
    return _DOCKER_HUB, name if rest else f"library/{name}"


def digest(name: str, tag: str) -> str:
    """Return the digest that a tag stands for now.

    Raises:
        StepFailed: the registry cannot be reached, does not know the tag, or does not say.
    """
    host, repository = address(name)
    try:
        return _request_digest(host, repository, tag)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            reason = _refusal(host, error.code)
    except (OSError, http.client.HTTPException) as error:
        reason = f"{host} does not answer ({getattr(error, 'reason', error)}): try again later"
    except _Unknown as error:
        reason = str(error)
    raise StepFailed(f"the digest of {name}:{tag} cannot be had. {reason}.")


def _request_digest(host: str, repository: str, tag: str) -> str:
    request = urllib.request.Request(  # noqa: S310  # _scheme() says which
        f"{_scheme(host)}://{host}/v2/{repository}/manifests/{tag}",
        headers={"Accept": ", ".join(_ACCEPTED)},
        method="HEAD",
    )
    try:
        answer = _head(request)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        error.close()  # it holds the connection
        token = _token(error.headers.get("WWW-Authenticate", ""), host, repository)
        request.add_unredirected_header("Authorization", f"Bearer {token}")
        answer = _head(request)
    if not _DIGEST.fullmatch(answer):
        raise _Unknown(f"{host} answers {answer!r}, which is none")
    return answer


def _head(request: urllib.request.Request) -> str:
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SEC) as response:  # noqa: S310  # _scheme() says which
        return str(response.headers.get("Docker-Content-Digest", ""))


def _token(challenge: str, host: str, repository: str) -> str:
    """Return the token that the place which a registry names in its challenge gives to everybody."""
    scheme, _, rest = challenge.partition(" ")
    asked = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    realm = urllib.parse.urlsplit(asked.get("realm", ""))
    if scheme.lower() != "bearer" or not realm.hostname or realm.scheme != _scheme(realm.hostname):
        raise _Unknown(f"{host} asks for a sign-in that is not for everybody ({challenge!r})")
    query = urllib.parse.urlencode(
        {"service": asked.get("service", ""), "scope": asked.get("scope") or f"repository:{repository}:pull"}
    )
    with urllib.request.urlopen(f"{realm.geturl()}?{query}", timeout=_TIMEOUT_SEC) as response:  # noqa: S310  # checked
        try:
            document = json.load(response)
            return str(document.get("token") or document["access_token"])
        except (ValueError, KeyError, AttributeError) as error:
            raise _Unknown(f"{realm.hostname} gives no token for it ({error!r})") from error


def _scheme(host: str) -> str:
    """Return how a host is spoken to: in the clear on this machine alone."""
    return "http" if host.partition(":")[0] in ("localhost", "127.0.0.1") else "https"


def _refusal(host: str, code: int) -> str:
    match code:
        case 401 | 403:
            return f"{host} shows it to nobody who is not signed in ({code}): check its name"
        case 404:
            return f"{host} has no such image or tag (404): choose one that exists"
        case 429:
            return f"{host} has been asked too often from here (429): try again later"
    return f"{host} answers {code}: try again later"
