"""Flows in OCSF: events of the class Network Activity (4001), in JSON, and in Parquet as Amazon Security Lake has them.

Facts from the OCSF schema ("Network Activity", "Network Traffic Object") and from its examples of AWS's mappings: the product
"Amazon VPC" is AWS VPC Flow Logs, whose record becomes an event, so that `traffic.bytes` are those of one direction, from
`src_endpoint` to `dst_endpoint`. Only the endpoint of the reporting interface has its VPC and its interface. `direction_id` is 1
where that is the receiver, 2 where it is the sender; `status_code` is the `log-status`. `action` and `disposition` say whether
packets were dropped; producers disagree about `activity_id`. Times are milliseconds in Security Lake; seconds and ISO 8601 have
been seen.

What the counters of other products mean differs: a mapping of Zeek's has the originator's bytes in `bytes_in`. These are refused by
name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OtherLog, UnknownFormat
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, Reporter, column_of, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import Log, some_of
from pipeline.options import ReadOptions
from pipeline.syntax.batch import DENIED, LOST, MISSING, NO_TRAFFIC, OTHER_EVENT, Batch, Fault, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import codes_of, first_of, is_text, rows_where
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonrecords import read_json_batches
from pipeline.syntax.parquet import read_parquet

_CLASS, _PRODUCT = 4001, "Amazon VPC"
_CLASS_NAME = "OCSF network activity (class 4001)"
_NULL = "-"
_NULLS = (_NULL, "None")


def _text(*path: str, others: tuple[tuple[str, ...], ...] = ()) -> Column:
    return Column(".".join(path), Kind.TEXT, required=False, path=path, others=others, null=_NULL)


def _integer(*path: str, required: bool = False) -> Column:
    return Column.at(*path, kind=Kind.INTEGER, required=required, in_text=True, in_float=True, null=_NULL)


#: The members that have a time, the first that has a value counts. An event has several of them at once.
_STARTS, _ENDS = ("start_time", "start_time_dt", "time", "time_dt"), ("end_time", "end_time_dt")
_COLUMNS = [
    _integer("class_uid", required=True),
    *(Column.at(name, kind=Kind.SECONDS, required=name == "time") for name in _STARTS),
    *(Column.at(name, kind=Kind.SECONDS, required=False) for name in _ENDS),
    Column.at("src_endpoint", "ip", kind=Kind.TEXT, null=_NULL),
    Column.at("dst_endpoint", "ip", kind=Kind.TEXT, null=_NULL),
    _integer("traffic", "bytes", required=True),
    _integer("src_endpoint", "port"),
    _integer("dst_endpoint", "port"),
    _integer("connection_info", "tcp_flags"),
    _integer("connection_info", "direction_id"),
    _integer("action_id"),
    _integer("disposition_id"),
    _text("action"),
    _text("disposition"),
    _text("status_code"),
    _text("metadata", "product", "name"),
    _text("src_endpoint", "vpc_uid"),
    _text("dst_endpoint", "vpc_uid"),
    _text("src_endpoint", "interface_uid"),
    _text("dst_endpoint", "interface_uid"),
    _text("cloud", "account", "uid", others=(("cloud", "account_uid"),)),
]
#: How producers write that packets were dropped; their numbers are 2, whatever they call it.
_DENIED = ("Denied", "Blocked", "Dropped", "Rejected", "REJECT")
_DENIED_ID, _INBOUND, _OUTBOUND = 2, 1, 2


def _ignored(batch: Batch) -> Mapping[str, Mask]:
    status = texts_of(batch, "status_code")
    said = [rows_where(texts_of(batch, name), lambda text: text in _DENIED) for name in ("action", "disposition")]
    numbered = [integers_of(batch, name, 0) == _DENIED_ID for name in ("action_id", "disposition_id")]
    return {
        NO_TRAFFIC: is_text(status, "NODATA"),
        LOST: is_text(status, "SKIPDATA"),
        DENIED: np.logical_or.reduce([*said, *numbered]),
    }


def _record(batch: Batch, _options: ReadOptions) -> Record:
    ports = integers_of(batch, "src_endpoint.port", -1), integers_of(batch, "dst_endpoint.port", -1)
    direction = integers_of(batch, "connection_info.direction_id", 0)

    def of_reporter(name: str) -> pa.DictionaryArray:
        return first_of(texts_of(batch, f"src_endpoint.{name}"), texts_of(batch, f"dst_endpoint.{name}"))

    return Record(
        start="time",
        src=Endpoint(("src_endpoint.ip",)),
        dst=Endpoint(("dst_endpoint.ip",)),
        sent=column_of(batch, "traffic.bytes", pa.int64()),
        required=("time", "src_endpoint.ip", "dst_endpoint.ip", "traffic.bytes"),
        vpc=of_reporter("vpc_uid"),
        owner=texts_of(batch, "cloud.account.uid"),
        answer=is_answer(*ports, integers_of(batch, "connection_info.tcp_flags", 0)),
        end="end_time" if "end_time" in batch.table.column_names else None,
        reporter=Reporter(
            sender=direction == _OUTBOUND,
            receiver=direction == _INBOUND,
            interface=of_reporter("interface_uid"),
            untold=(direction != _OUTBOUND) & (direction != _INBOUND),
        ),
    )


def _with_times(batch: Batch, _options: ReadOptions) -> Batch:
    """The batch with the start of each flow in `time`, and the end in `end_time`, wherever the event has them."""
    table = batch.table
    for name, members in (("time", _STARTS), ("end_time", _ENDS)):
        if present := [table.column(member) for member in members if member in table.column_names]:
            times = pc.coalesce(*present)
            place = table.column_names.index(name) if name in table.column_names else table.num_columns
            table = table.set_column(place, name, times) if place < table.num_columns else table.append_column(name, times)
    return batch.with_table(table)


_LOG = Log(_COLUMNS, _record, _ignored, prepared=_with_times)


def _flows(batches: Iterator[Batch], context: ReadContext) -> Iterator[Batch]:
    """The flow records of a stream of events, among which may be those of other classes.

    Raises:
        UnknownFormat: Some are another product's.
    """

    def flows_of(batch: Batch) -> Batch:
        classes = column_of(batch, "class_uid", pa.int64())
        known = batch.reject(Fault("class_uid", MISSING, classes.is_null().to_numpy(zero_copy_only=False), classes))
        own = known.ignore({OTHER_EVENT: integers_of(known, "class_uid", 0) != _CLASS})
        _refuse_products(texts_of(own, "metadata.product.name"))
        return _LOG.flows(own, context)

    return map(flows_of, batches)


def _refuse_products(products: pa.DictionaryArray) -> None:
    codes = codes_of(products)  # the dictionary may have the texts of events of other classes
    for code in np.unique(codes).tolist():
        name = products.dictionary[code].as_py() if code >= 0 else None
        if name != _PRODUCT:
            raise _of_another_product(name)


def _of_another_product(name: object) -> UnknownFormat:
    found = f"{_CLASS_NAME} of {name}" if name else f"{_CLASS_NAME} that names no product"
    return UnknownFormat(
        found,
        f"flowlog reads that of {_PRODUCT}, as each product's counters mean something else; give it the product's own log",
    )


def _of_another_class() -> OtherLog:
    return OtherLog("OCSF events of other classes than network activity", "flowlog reads flow logs only")


def _is_json(head: Head) -> bool:
    events = [event for event in head.json_objects if "class_uid" in event and event.keys() & {"category_uid", "metadata"}]
    for event in events:
        if _is_activity(event["class_uid"]):
            metadata = event.get("metadata")
            product = metadata.get("product") if isinstance(metadata, dict) else None
            name = product.get("name") if isinstance(product, dict) else None
            if name != _PRODUCT and not head.is_named:
                raise _of_another_product(name)
    return bool(events)


def _is_activity(class_uid: object) -> bool:
    try:
        return float(str(class_uid)) == _CLASS
    except ValueError:
        return False


def _read_json(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return some_of(_flows(read_json_batches(stream, JsonParser(_COLUMNS)), context), _of_another_class())


def _is_parquet(head: Head) -> bool:
    names = set(head.parquet_columns)
    if not names >= {"class_uid", "category_uid"}:
        return False
    if not names >= {"src_endpoint", "dst_endpoint", "traffic"}:
        raise _of_another_class()
    return True


def _read_parquet(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return some_of(_flows(read_parquet(stream, _COLUMNS, _NULLS), context), _of_another_class())


FORMATS = (
    Format("OCSF network activity, JSON", "ocsf", Container.JSON, _is_json, _read_json),
    Format("OCSF network activity, Parquet", "ocsf", Container.PARQUET, _is_parquet, _read_parquet),
)
