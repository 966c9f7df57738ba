"""The service under a path of its host, whether the proxy before it takes the path off or not."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class BasePath:
    """A WSGI application that serves another one at `base_path` and at the root, with addresses below `base_path`.

    The root must answer too: a proxy may have taken the path off, and who asks for the health knows no proxy.
    """

    def __init__(self, application: WSGIApplication, base_path: str) -> None:
        self._application = application
        self._base_path = base_path

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        environ["SCRIPT_NAME"] = self._base_path
        path = environ["PATH_INFO"]
        if f"{path}/".startswith(f"{self._base_path}/"):
            # Without a slash too: Flask would send elsewhere, to the scheme and host under which a proxy asked.
            environ["PATH_INFO"] = path[len(self._base_path) :] or "/"
        return self._application(environ, start_response)
