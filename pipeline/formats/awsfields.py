"""The names of the fields of AWS VPC flow logs, and what a user may write for them.

From the AWS documentation, "Flow log records", by the version that brought them.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from pipeline.errors import UsageError
from pipeline.formats.awsgateway import names_gateway
from pipeline.formats.format import Setting

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
#: What a flow log without a chosen format has, and CloudWatch without a header, in this order.
DEFAULT_FIELDS = tuple(_BY_VERSION[2].split())
#: Of all versions.
FIELDS = frozenset(" ".join(_BY_VERSION.values()).split())
#: Without one of these a record says nothing that can be counted.
REQUIRED_FIELDS = ("srcaddr", "dstaddr", "bytes", "start")


def hyphened(name: str) -> str:
    """A field's name as AWS writes it in text; in Parquet, and in many exports, it has underscores."""
    return name.replace("_", "-")


def is_header(names: Sequence[str]) -> bool:
    """Whether some words are the names of a log's fields, with hyphens: no record has two of them for values."""
    return len(FIELDS.intersection(names)) >= 2


def fields_given(names: Sequence[str]) -> tuple[str, ...]:
    """The fields that a user names, as AWS writes them: also from `account_id`, and from `${account-id}`.

    Raises:
        UsageError: No version of AWS's VPC flow logs has one of them, one is there twice, or one is missing that is needed.
    """
    fields = tuple(hyphened(name.removeprefix("${").removesuffix("}")) for name in names)
    if names_gateway(fields):
        raise UsageError("--aws-fields names fields of a Transit Gateway flow log; flowlog reads VPC flow logs only")
    for field in fields:
        if field not in FIELDS:
            near = difflib.get_close_matches(field, FIELDS, 1)
            meant = f"; is {near[0]} meant?" if near else ""
            raise UsageError(f"--aws-fields: {field!r} is not a field of AWS VPC flow logs{meant}")
        if fields.count(field) > 1:
            raise UsageError(f"--aws-fields: {field} is there {fields.count(field)} times")
    if missing := [field for field in REQUIRED_FIELDS if field not in fields]:
        raise UsageError(f"--aws-fields: {' and '.join(missing)} must be there, too")
    return fields


#: What `--set` has of AWS's formats.
OWN_FIELDS = Setting(
    "aws-vpc.fields",
    "The fields of AWS text without a header line, in order, split by spaces.",
    lambda text: fields_given(text.split()),
)
