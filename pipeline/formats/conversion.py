"""The way from a log's record to a flow record, once for all formats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.formats.apps import AppMap
from pipeline.formats.record import Endpoint, Record, column_of, numbers_of, texts_of
from pipeline.formats.reporters import marked, reported_once
from pipeline.formats.spans import too_long, with_span
from pipeline.kernel.records import exchanged_numbers
from pipeline.options import ReadOptions
from pipeline.schema import FLOW_SCHEMA
from pipeline.syntax.batch import MISSING, Batch, Fault, Integers, Mask
from pipeline.syntax.dictionary import arrow_of, codes_of, constant, exchanged, first_of, with_dictionary, without_text
from pipeline.syntax.times import OUT_OF_RANGE, hours_of, not_times, seconds_of

NOT_ADDRESS = "must be an IP address"
#: The VPC of a record for which nothing names one.
_NO_VPC = "-"


def to_flows(batch: Batch, record: Record, options: ReadOptions, apps: AppMap) -> Batch:
    """Makes flow records of a log's records.

    Args:
        batch: The columns of the log, without the rows that are ignored.
        record: What the columns say, for the same rows.
        options: The VPC of records that name none, which reports of one flow count, and whether bytes are spread over hours.
        apps: Names the app of an address.

    Returns:
        The batch with `schema.FLOW_SCHEMA`, unvalidated. Rejected are the rows that lack a required value, have no time of a
        flow, or have a text in place of an address; a reject names the log's own column.
    """
    hours = hours_of(_times(batch, record))
    counted, record = reported_once(*_without_faulty(batch, record, hours, options), options)
    if hours is None or counted.table is not batch.table:
        hours = hours_of(_times(counted, record))
    if hours is None:
        raise AssertionError(f"a {record.start} that is no time of a flow was not rejected")
    batch = marked(counted, record, options)
    vpc_ids = _vpc_ids(record, options, batch.table.num_rows)
    src_apps, bad_src = _apps(batch, record.src, vpc_ids, hours, apps)
    dest_apps, bad_dest = _apps(batch, record.dst, vpc_ids, hours, apps)
    sent, received = record.sent, record.received
    if received is None:
        received = arrow_of(np.zeros(len(sent), np.int64))
    if (answer := record.answer) is not None:
        src_apps, dest_apps = exchanged(answer, src_apps, dest_apps)
        sent, received = _exchanged_numbers(answer, sent, received)
    flows = pa.table([arrow_of(hours), src_apps, dest_apps, vpc_ids, sent, received], schema=FLOW_SCHEMA)
    if options.spread == "hours":
        batch = with_span(batch, record)
    return batch.with_table(flows).reject(*bad_src, *bad_dest)


def _without_faulty(batch: Batch, record: Record, hours: Integers | None, options: ReadOptions) -> tuple[Batch, Record]:
    """The batch and the record without the rows that lack a required value or have no time of a flow, for which there are no hours."""
    faults = _missing(batch, record.required)
    if hours is None and (unfit := not_times(seconds_of(_times(batch, record)))) is not None:
        faults.append(Fault(record.start, OUT_OF_RANGE, unfit, batch.table.column(record.start)))
    if options.spread == "hours":
        faults += too_long(batch, record)
    if not faults:
        return batch, record
    return batch.reject(*faults), record.of_rows(~np.logical_or.reduce([fault.bad for fault in faults]))


def _times(batch: Batch, record: Record) -> npt.NDArray[Any]:
    """The times at which the flows started; 0, which is no time of a flow, for null."""
    return numbers_of(column_of(batch, record.start, pa.int64()))


def _missing(batch: Batch, names: Iterable[str]) -> list[Fault]:
    """The faults of the rows that lack a column's value."""
    columns = {name: batch.table.column(name) for name in names}
    return [
        Fault(name, MISSING, column.is_null().to_numpy(), column) for name, column in columns.items() if column.null_count
    ]


def _vpc_ids(record: Record, options: ReadOptions, count: int) -> pa.DictionaryArray:
    """The VPC that the record names; else the user's; else the owner, within whose networks addresses are mostly unique."""
    fallback = constant(options.vpc_id or _NO_VPC, count)
    if not options.vpc_id and record.owner is not None:
        fallback = first_of(without_text(record.owner, ""), fallback)
    return fallback if record.vpc is None else first_of(without_text(record.vpc, ""), fallback)


def _apps(
    batch: Batch, end: Endpoint, vpc_ids: pa.DictionaryArray, hours: Integers, known: AppMap
) -> tuple[pa.DictionaryArray, list[Fault]]:
    """The apps of an endpoint, and the faults of its addresses."""
    columns = {name: texts_of(batch, name) for name in end.addresses}
    apps, invalid = known.apps_of(first_of(*columns.values()), vpc_ids, hours, _named(end))
    faults = []
    if invalid.any():
        for name, addresses in columns.items():
            has_address = codes_of(addresses) >= 0
            faults.append(Fault(name, NOT_ADDRESS, invalid & has_address, addresses))
            invalid = invalid & ~has_address
    return apps, faults


def _named(end: Endpoint) -> pa.DictionaryArray | None:
    """The apps that the log names; None if it names none. An empty text names nothing."""
    app = None if end.app is None else without_text(end.app, "")
    if app is None or end.named is None:
        return app
    return with_dictionary(np.where(end.named, codes_of(app), np.int32(-1)), app.dictionary)


def _exchanged_numbers(mask: Mask, these: pa.Array, others: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Both columns, with their cells exchanged where the mask says so."""
    if these.null_count or others.null_count:
        chosen = pa.array(mask)
        return pc.if_else(chosen, others, these), pc.if_else(chosen, these, others)
    first, second = exchanged_numbers(mask, these.to_numpy(), others.to_numpy())
    return arrow_of(first), arrow_of(second)
