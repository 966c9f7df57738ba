"""The names of the HTTP interface that more than one part of the service speaks of."""

from __future__ import annotations

PREDICT = "/predict"
DEFAULT_TOP_K = 3
TIMEOUT_HEADER = "X-Request-Timeout-Ms"

# Asked every few seconds by machines.
HEALTHZ, READYZ, METRICS, VERSION = "/healthz", "/readyz", "/metrics", "/version"
