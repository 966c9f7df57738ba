"""gunicorn's settings, each with its reason. Read by `python -m service serve`; facts from gunicorn 27's sources."""

import resource
from pathlib import Path

from service.cpus import available_cpus
from service.settings import Settings

_settings = Settings.from_environment()

# An IPv6 address stands in brackets.
bind = f"[{_settings.host}]:{_settings.port}" if ":" in _settings.host else f"{_settings.host}:{_settings.port}"

# One worker: one copy of the model, one count of admitted requests, one set of metrics. Threads suffice, because
# decoding and inference release the GIL.
workers = 1
worker_class = "service.worker.DrainingWorker"

# More threads than admitted requests, or probes and refusals would wait behind work. Idle ones are never started.
_SPARE_THREADS = 64
threads = (_settings.threads or available_cpus()) + _settings.queue_size + _SPARE_THREADS

# At this number gunicorn stops accepting, and probes would wait behind whoever holds connections open in silence. Each
# is a file, of which a process may have 1,024 in many places unless it asks for more.
_CONNECTIONS, _SPARE_FILES = 10_000, 256
_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
_files = _CONNECTIONS + _SPARE_FILES if _hard == resource.RLIM_INFINITY else min(_hard, _CONNECTIONS + _SPARE_FILES)
if _soft != resource.RLIM_INFINITY and _soft < _files:
    resource.setrlimit(resource.RLIMIT_NOFILE, (_files, _hard))
worker_connections = _files - _SPARE_FILES

# The heartbeat file: on a disk it stalls the worker whenever the disk does.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108  # a mount point, not a file in /tmp

# Since 25.1 gunicorn opens a control socket under HOME, which a read-only container does not have.
control_socket_disable = True

keepalive = _settings.keepalive_sec
max_requests = 0  # a worker that restarts under load costs more than any leak it would hide
timeout = 30  # the main loop's heartbeat; requests run in threads and do not count
graceful_timeout = _settings.drain_sec + _settings.request_timeout_sec + 1
logger_class = "service.worker.JSONLogger"
