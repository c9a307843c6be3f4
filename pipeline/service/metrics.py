"""What `/metrics` says, in Prometheus's text format (version 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that is watched: its name, whether it only grows, and what it is."""

    name: str
    value: float
    is_counter: bool
    help: str


def render(requests: Counter[tuple[str, int]], metrics: Iterable[Metric]) -> str:
    """The page.

    Args:
        requests: How many requests there were, by method and status. No text of a client stands in it.
        metrics: The rest.
    """
    lines = ["# HELP flowlog_requests_total Requests answered.", "# TYPE flowlog_requests_total counter"]
    for (method, status), count in sorted(requests.items()):
        lines.append(f'flowlog_requests_total{{method="{method}",status="{status}"}} {count}')
    for metric in metrics:
        kind = "counter" if metric.is_counter else "gauge"
        lines += [
            f"# HELP {metric.name} {metric.help}",
            f"# TYPE {metric.name} {kind}",
            f"{metric.name} {metric.value:.15g}",
        ]
    return "\n".join(lines) + "\n"
