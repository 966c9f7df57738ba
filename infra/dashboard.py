"""The dashboard, as the document that Cloud Monitoring takes: what a person looks at first, in reading order."""

from __future__ import annotations

from typing import Any

_WIDTH = 48
_TILE_WIDTH, _TILE_HEIGHT = 24, 14


def of_fleet(url_map: str, groups: list[str]) -> dict[str, Any]:
    """Return the dashboard of a fleet.

    Args:
        url_map: the URL map's name, by which the balancer's metrics are told apart.
        groups: the base names of the groups, with which their own names and those of their machines begin.
    """
    requests = f'resource.type="https_lb_rule" resource.label.url_map_name="{url_map}"'
    machines = _any_of('metric.label."instance_name"', groups)
    sizes = _any_of('resource.label."instance_group_name"', groups)
    count = f'metric.type="loadbalancing.googleapis.com/https/request_count" {requests}'
    latency = f'metric.type="loadbalancing.googleapis.com/https/backend_latencies" {requests}'
    size = f'metric.type="compute.googleapis.com/instance_group/size" resource.type="instance_group" {sizes}'
    cpu = f'metric.type="compute.googleapis.com/instance/cpu/utilization" resource.type="gce_instance" {machines}'
    return _dashboard(
        "Classifier",
        [
            _lines(
                "Requests a second, by class of answer", [(count, "ALIGN_RATE", ["metric.label.response_code_class"])]
            ),
            _lines(
                "Latency of the machines, ms: p50, p95, p99",
                [(latency, f"ALIGN_PERCENTILE_{percentile}", []) for percentile in ("50", "95", "99")],
                reducer="REDUCE_MEAN",
            ),
            _lines(
                "Machines, by group",
                [
                    (
                        size,
                        "ALIGN_MEAN",
                        ["resource.label.instance_group_name"],
                    )
                ],
            ),
            _lines(
                "Processors in use, by machine",
                [
                    (
                        cpu,
                        "ALIGN_MEAN",
                        ["metric.label.instance_name"],
                    )
                ],
                reducer="REDUCE_MEAN",
            ),
        ],
    )


def of_single(group: str) -> dict[str, Any]:
    """Return the dashboard of one machine without a balancer."""
    machine = _any_of('metric.label."instance_name"', [group])
    panels = {
        "Processors in use": ("compute.googleapis.com/instance/cpu/utilization", "ALIGN_MEAN"),
        "Received, bytes a second": ("compute.googleapis.com/instance/network/received_bytes_count", "ALIGN_RATE"),
        "Sent, bytes a second": ("compute.googleapis.com/instance/network/sent_bytes_count", "ALIGN_RATE"),
        "Up": ("compute.googleapis.com/instance/uptime", "ALIGN_RATE"),
    }
    return _dashboard(
        "Classifier, one machine",
        [
            _lines(title, [(f'metric.type="{metric}" resource.type="gce_instance" {machine}', aligner, [])])
            for title, (metric, aligner) in panels.items()
        ],
    )


def _any_of(label: str, base_names: list[str]) -> str:
    return "(" + " OR ".join(f'{label}=starts_with("{name}-")' for name in base_names) + ")"


def _lines(title: str, series: list[tuple[str, str, list[str]]], reducer: str = "REDUCE_SUM") -> dict[str, Any]:
    return {
        "title": title,
        "xyChart": {
            "dataSets": [
                {
                    "plotType": "LINE",
                    "timeSeriesQuery": {
                        "timeSeriesFilter": {
                            "filter": metric,
                            "aggregation": {
                                "alignmentPeriod": "60s",
                                "perSeriesAligner": aligner,
                                "crossSeriesReducer": reducer,
                                **({"groupByFields": labels} if labels else {}),
                            },
                        }
                    },
                }
                for metric, aligner, labels in series
            ]
        },
    }


def _dashboard(title: str, widgets: list[dict[str, Any]]) -> dict[str, Any]:
    tiles = [
        {
            **_position(index),
            "width": _TILE_WIDTH,
            "height": _TILE_HEIGHT,
            "widget": widget,
        }
        for index, widget in enumerate(widgets)
    ]
    return {"displayName": title, "mosaicLayout": {"columns": _WIDTH, "tiles": tiles}}


def _position(index: int) -> dict[str, int]:
    """Return a tile's place without zeros: Google leaves them out, and what is written otherwise differs for ever."""
    position = {"xPos": index % 2 * _TILE_WIDTH, "yPos": index // 2 * _TILE_HEIGHT}
    return {key: value for key, value in position.items() if value}
