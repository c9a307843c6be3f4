"""Flowlog: raw network flow logs in, trusted hourly totals out.

    from pipeline import FlowStore
    FlowStore("data/store").frame(hour="2026-11-24T08")

Names are loaded when they are first used, so that `flowlog --help` and a query do not pay for the whole package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.flowstore import FlowStore
    from pipeline.options import IngestOptions
    from pipeline.query.query import Query

__all__ = ["FlowStore", "IngestOptions", "Query", "__version__"]

_HOMES = {"FlowStore": "pipeline.flowstore", "IngestOptions": "pipeline.options", "Query": "pipeline.query.query"}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from pipeline.scalars import version  # seldom asked for

        return version()
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
