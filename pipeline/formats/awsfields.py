"""The names of the fields of AWS's flow logs, of VPCs and of Transit Gateways, and what a user may write for them.

From the AWS documentation, "Flow log records" by the version that brought them, and "Transit Gateway Flow Log records". Exports
also have `transit-gateway-` where AWS has `tgw-`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from pipeline.errors import UsageError
from pipeline.formats.format import Setting
from pipeline.scalars import column_named_twice

_BY_VERSION = {
    2: "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status",
    3: "vpc-id subnet-id instance-id tcp-flags type pkt-srcaddr pkt-dstaddr",
    4: "region az-id sublocation-type sublocation-id",
    5: "pkt-src-aws-service pkt-dst-aws-service flow-direction traffic-path",
    7: "ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id ecs-container-id "
    "ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id",
    8: "reject-reason",
    9: "resource-id",
    10: "encryption-status",
}
_OF_GATEWAY = (
    "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id tgw-dst-vpc-account-id "
    "tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id tgw-src-eni tgw-dst-eni tgw-src-az-id "
    "tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr srcport dstport protocol packets bytes start end log-status "
    "type packets-lost-no-route packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags "
    "region flow-direction pkt-src-aws-service pkt-dst-aws-service"
)
#: What a flow log without a chosen format has, and CloudWatch without a header, in this order.
DEFAULT_FIELDS = tuple(_BY_VERSION[2].split())
#: Of all versions.
FIELDS = frozenset(" ".join(_BY_VERSION.values()).split())
#: What a Transit Gateway's flow log has where nobody chose its fields, in this order: all fields, which version 6 brought.
DEFAULT_GATEWAY_FIELDS = tuple(_OF_GATEWAY.split())
#: Of both logs.
ALL_FIELDS = FIELDS.union(DEFAULT_GATEWAY_FIELDS)
#: Without one of these a record says nothing that can be counted.
REQUIRED_FIELDS = ("srcaddr", "dstaddr", "bytes", "start")
_LONG_PREFIX = re.compile(r"^transit-gateway-")


def hyphened(name: str) -> str:
    """A field's name as AWS writes it in text; in Parquet, and in many exports, it has underscores."""
    return _LONG_PREFIX.sub("tgw-", name.replace("_", "-"))


def names_gateway(names: Iterable[str]) -> bool:
    """Whether some names, with hyphens, are those of fields that a Transit Gateway's flow log has, and a VPC's has not."""
    return any(name.startswith("tgw-") for name in names)


def is_header(names: Sequence[str]) -> bool:
    """Whether some words are the names of a log's fields, with hyphens: no record has two of them for values."""
    return len(ALL_FIELDS.intersection(names)) >= 2


def fields_given(names: Sequence[str]) -> tuple[str, ...]:
    """The fields that a user names, as AWS writes them: also from `account_id`, and from `${account-id}`.

    Raises:
        UsageError: No version of AWS's VPC flow logs has one of them, one is there twice, or one is missing that is needed.
    """
    fields = _spelt(names)
    if names_gateway(fields):
        raise UsageError(
            f"--set {OWN_FIELDS.name} names fields of a Transit Gateway flow log: set {OWN_GATEWAY_FIELDS.name}"
        )
    return _checked(OWN_FIELDS, fields, FIELDS, REQUIRED_FIELDS, "VPC")


def gateway_fields_given(names: Sequence[str]) -> tuple[str, ...]:
    """The same for the fields of a Transit Gateway's flow log."""
    required = (*REQUIRED_FIELDS, "flow-direction")
    return _checked(OWN_GATEWAY_FIELDS, _spelt(names), ALL_FIELDS, required, "Transit Gateway")


def _spelt(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(hyphened(name.removeprefix("${").removesuffix("}")) for name in names)


def _checked(
    setting: Setting, fields: tuple[str, ...], known: AbstractSet[str], required: Sequence[str], log: str
) -> tuple[str, ...]:
    option = f"--aws-fields (--set {setting.name})"  # the user has written the one or the other
    for field in fields:
        if field not in known:
            near = difflib.get_close_matches(field, known, 1)
            meant = f"; is {near[0]} meant?" if near else ""
            raise UsageError(f"{option}: {field!r} is not a field of AWS {log} flow logs{meant}")
    if problem := column_named_twice(fields, fields):
        raise UsageError(f"{option} {problem}")
    if missing := [field for field in required if field not in fields]:
        raise UsageError(f"{option}: {' and '.join(missing)} must be there, too")
    return fields


#: The fields of AWS text without a header line, in order, split by spaces.
OWN_FIELDS = Setting("aws-vpc.fields", lambda text: fields_given(text.split()))
#: The same of a Transit Gateway's records.
OWN_GATEWAY_FIELDS = Setting("aws-tgw.fields", lambda text: gateway_fields_given(text.split()))
