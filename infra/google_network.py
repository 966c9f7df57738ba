"""Addresses and names of Google's own that the network lets in or out, each with its source."""

from __future__ import annotations

# Where the balancer's traffic and all probes come from (https://cloud.google.com/load-balancing/docs/firewall-rules).
BALANCER_RANGES = ("35.191.0.0/16", "130.211.0.0/22")
# Where Identity-Aware Proxy's tunnel comes from (https://cloud.google.com/iap/docs/using-tcp-forwarding).
TUNNEL_RANGE = "35.235.240.0/20"
# private.googleapis.com: Google's APIs at addresses that are not announced on the internet
# (https://cloud.google.com/vpc/docs/configure-private-google-access).
APIS_RANGE = "199.36.153.8/30"
APIS_ADDRESSES = ("199.36.153.8", "199.36.153.9", "199.36.153.10", "199.36.153.11")
# What the machines ask for: logs, metrics and tokens; our image; the system's own agents, which some of its releases
# run as containers.
DOMAINS = {"googleapis": "googleapis.com.", "images": "pkg.dev.", "system-images": "gcr.io."}
