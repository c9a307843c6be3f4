"""AWS's flow logs, of VPCs and of Transit Gateways, as JSON objects: what Athena, pipelines and forwarders make of them.

Their keys are the names of Parquet's columns, with underscores; hyphens have been seen. Numbers may be floating-point numbers, or
texts; "-" is "no value", as in text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pipeline.errors import UnknownFormat
from pipeline.formats import aws, awsgateway
from pipeline.formats.awsfields import hyphened, names_gateway
from pipeline.formats.awstext import NULL
from pipeline.formats.format import Format
from pipeline.formats.head import Container, Head
from pipeline.formats.record import texts_of
from pipeline.formats.syntaxes import Log, json
from pipeline.syntax.batch import Batch, Mask
from pipeline.syntax.cells import Column, Kind

_TELLING = {"srcaddr", "dstaddr", "bytes"}
_GATEWAY_ID = Column("tgw-id", Kind.TEXT, required=False)


def _in_json(column: Column) -> Column:
    """The same column in objects."""
    underscored = column.name.replace("-", "_")
    others = () if underscored == column.name else ((column.name,),)
    is_number = column.kind is Kind.INTEGER
    return replace(column, path=(underscored,), others=others, in_text=is_number, in_float=is_number, null=NULL)


def _ignored(batch: Batch) -> Mapping[str, Mask]:
    """What is left out of a VPC's log.

    Raises:
        UnknownFormat: A Transit Gateway's records are among a VPC's.
    """
    gateways = texts_of(batch, _GATEWAY_ID.name)
    if gateways.null_count < len(gateways):
        raise UnknownFormat(
            f"{awsgateway.FOUND} among a VPC's records, as JSON objects", "give flowlog the two kinds as files of their own"
        )
    return aws.LOG.ignored(batch) if aws.LOG.ignored else {}


_LOG = Log(
    [_in_json(column) for column in (*aws.LOG.columns, *aws.LOG.interfaces, _GATEWAY_ID)],
    aws.LOG.record,
    _ignored,
    ends=list(map(_in_json, aws.LOG.ends)),
    prepared=aws.LOG.prepared,
)
_GATEWAY_LOG = Log(
    [_in_json(column) for column in (*awsgateway.LOG.columns, *awsgateway.LOG.interfaces)],
    awsgateway.LOG.record,
    awsgateway.LOG.ignored,
    ends=list(map(_in_json, awsgateway.LOG.ends)),
    prepared=awsgateway.LOG.prepared,
)


def _names(head: Head) -> list[str]:
    """The keys of the first objects as names of fields; none where they are not those of a flow log."""
    names = list(map(hyphened, head.json_keys))
    return names if set(names) >= _TELLING else []


def _is_vpc_s(head: Head) -> bool:
    if names_gateway(_names(head)):
        raise awsgateway.taken_for_a_vpc_s()
    return bool(_names(head))


def _is_gateway_s(head: Head) -> bool:
    names = _names(head)
    if not names_gateway(names):
        return False
    awsgateway.require_direction(names)
    return True


FORMATS = (
    Format("AWS Transit Gateway Flow Logs, JSON", awsgateway.OPTION, Container.JSON, _is_gateway_s, json(_GATEWAY_LOG)),
    Format("AWS VPC Flow Logs, JSON", "aws-vpc", Container.JSON, _is_vpc_s, json(_LOG)),
)
