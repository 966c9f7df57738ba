"""One JSON log line for each event, on standard output and, where LOG_FILE says so, in a file.

The lines have the names that Cloud Logging understands (`severity`, `message`, `time`); everything else is a field of
its own. No picture, no label and no file name is ever logged: pictures are private.
"""

from __future__ import annotations

from typing import Any

from service.settings import Settings


def logging_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of all logging for logging.config.dictConfig."""
    handlers: dict[str, Any] = {
        "stdout": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "json"}
    }
    if settings.log_file:
        # Watched, so that logrotate may move the file away.
        handlers["file"] = {
            "class": "logging.handlers.WatchedFileHandler",
            "filename": settings.log_file,
            "formatter": "json",
            "encoding": "utf-8",
        }
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": "pythonjsonlogger.json.JsonFormatter",
                "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
                "rename_fields": {"asctime": "time", "levelname": "severity", "name": "logger"},
                "json_ensure_ascii": False,
                "datefmt": "%Y-%m-%dT%H:%M:%S%z",
            }
        },
        "handlers": handlers,
        "root": {"level": settings.log_level.upper(), "handlers": list(handlers)},
    }
