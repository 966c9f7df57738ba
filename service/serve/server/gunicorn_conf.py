"""gunicorn's settings, each with its reason. Read by `python -m service serve`; facts from gunicorn 27's sources."""

import os
import resource
from pathlib import Path

from service.serve.capacity import Capacity, connections
from service.serve.server.supervision import child_exit, when_ready
from service.settings import current

__all__ = ["child_exit", "when_ready"]  # gunicorn's hooks, with what is set below

_settings = current()

bind = _settings.bind_address

# One worker: one copy of the model, one count of admitted requests, one set of metrics. Threads suffice, because
# decoding and inference release the GIL.
workers = 1
worker_class = "service.serve.server.supervision.SupervisedWorker"
threads = Capacity.of(_settings).request_threads

try:
    _soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
except OSError:  # a sandbox forbids to ask; POSIX's smallest limit that systems still have
    _soft = _hard = 1024
worker_connections, _files = connections(_soft, _hard)
if _files != _soft:
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _hard))
    except (OSError, ValueError):  # forbidden too, or macOS, whose "unlimited" is a number that it does not take
        worker_connections, _ = connections(_soft, _soft)

# The heartbeat file: on a disk it stalls the worker whenever the disk does.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a mount point, not a file in /tmp

# Since 25.1 gunicorn opens a control socket under HOME, which a read-only container does not have.
control_socket_disable = True

keepalive = _settings.keepalive_sec
limit_request_field_size = _settings.max_header_bytes

# BASE_PATH says where the service is. gunicorn would answer 500 to what does not begin with these, probes included.
os.environ.pop("SCRIPT_NAME", None)
forwarder_headers = ""

max_requests = 0  # a worker that restarts under load costs more than any leak it would hide
timeout = 30  # the main loop's heartbeat; requests run in threads and do not count
graceful_timeout = _settings.drain_sec + _settings.request_timeout_sec + 1
logger_class = "service.serve.server.json_logger.JSONLogger"
