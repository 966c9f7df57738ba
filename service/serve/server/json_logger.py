"""gunicorn's log in the service's own form."""

from __future__ import annotations

import logging.config
import threading
from typing import Any

from gunicorn.config import Config
from gunicorn.glogging import Logger

from service.serve.logs import logging_config
from service.settings import current


class JSONLogger(Logger):
    """gunicorn's logger class; lines for requests come from service.serve.http.request_log, with their ids."""

    def setup(self, _cfg: Config) -> None:
        """Configure all logging of this process."""
        logging.config.dictConfig(logging_config(current()))
        for logger in (self.error_log, self.access_log):
            logger.propagate = True
        threading.excepthook = _log_uncaught

    def access(self, *_args: Any, **_kwargs: Any) -> None:
        """Write nothing: the application logs its requests."""


def _log_uncaught(caught: threading.ExceptHookArgs) -> None:
    """Log what ended a thread as everything else is logged; Python's own hook writes plain text."""
    name = caught.thread.name if caught.thread else "unknown"
    logging.getLogger("service").critical("the thread %s ended", name, exc_info=caught.exc_value)
