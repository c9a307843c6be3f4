"""AWS Transit Gateway flow logs, which flowlog does not read: how they are told from a VPC's, and refused.

Their records have the fields of a VPC's, and more; a file may hold records of both side by side.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pipeline.errors import OtherLog, UnknownFormat

_FOUND, _ADVICE = "an AWS Transit Gateway flow log", "flowlog reads VPC flow logs only"
#: What a record has that a VPC's has not: its type, or a gateway's or an attachment's id.
_OF_GATEWAY = re.compile(r"(?<!\S)(?:TransitGateway|tgw-(?:attach-)?[0-9a-f]{8,17})(?!\S)")


def gateway_log() -> OtherLog:
    """The error of a log that has nothing else: a folder may hold it."""
    return OtherLog(_FOUND, _ADVICE)


def gateway_records() -> UnknownFormat:
    """The error of a log that has records of a VPC, too: no other log, which a folder may hold, or these would be lost."""
    return UnknownFormat(_FOUND, _ADVICE)


def is_of_gateway(line: str) -> bool:
    """Whether a record is a Transit Gateway's."""
    return _OF_GATEWAY.search(line) is not None


def names_gateway(names: Iterable[str]) -> bool:
    """Whether some names, with hyphens, are those of fields that a Transit Gateway's flow log has, and a VPC's has not."""
    return any(name.startswith("tgw-") or name == "transit-gateway-id" for name in names)
