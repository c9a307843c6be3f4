"""Both ends report one flow: which records are left out, since another record has their bytes, and what is noted of the rest.

A log that is written at interfaces has a flow between two of them twice. The decision about a record depends on the record and
the options alone, so that the order and the grouping of files change nothing.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from pipeline.formats.networks import networks
from pipeline.formats.record import Endpoint, Record, Reporter, numbers_of, texts_of
from pipeline.options import ReadOptions
from pipeline.schema import MAX_RECORD_BYTES
from pipeline.syntax.batch import OTHER_REPORTER, Batch, Integers, Mask
from pipeline.syntax.dictionary import first_of, rows_where

#: The columns of `Batch.marks`: whether a row's bytes were multiplied by a sampling factor; at which end it was reported, as a
#: number; and the addresses of both ends.
SCALED, REPORTED_BY, SRC, DST = "scaled", "reported_by", "src", "dst"
SENDER, RECEIVER = 1, 2
#: What is noted of rows of which `--logged` cannot decide, as those of AWS before version 5, or of OCSF of an unknown direction.
_NO_END = "do not say at which end they were reported, so that --logged leaves none of them out"


def reported_once(batch: Batch, record: Record, options: ReadOptions) -> tuple[Batch, Record]:
    """The batch and the record without the rows whose bytes another record has."""
    if record.reporter is None or options.both_ends == "count":
        return batch, record
    if options.logged:
        batch = batch.note({_NO_END: record.reporter.without_end(batch.table.num_rows)})
    batch, other = _others(batch, record, record.reporter, options)
    if other is None or not other.any():
        return batch, record
    return batch.ignore({OTHER_REPORTER: other}, sizes_of(record.sent, record.received)), record.of_rows(~other)


def _others(batch: Batch, record: Record, reporter: Reporter, options: ReadOptions) -> tuple[Batch, Mask | None]:
    """The batch with the hops that it has met, and the rows whose bytes another record has; None where there are none."""
    found = []
    if reporter.other is not None:
        found.append(reporter.other)
    if options.logged and reporter.receiver is not None and reporter.receiver.any():
        found.append(reporter.receiver & networks(options.logged).have(_addresses(batch, record.src)))
    if options.hop and reporter.interface is not None:
        hops = {name.casefold() for name in options.hop}  # MAC addresses are written in either case
        found.append(rows_where(reporter.interface, lambda name: name.casefold() in hops))
        if found[-1].any():
            names = reporter.interface.filter(pa.array(found[-1])).unique().to_pylist()
            batch = replace(batch, hops=batch.hops.union(name.casefold() for name in names))
    return batch, np.logical_or.reduce(found) if found else None


def _addresses(batch: Batch, end: Endpoint) -> pa.DictionaryArray:
    """The addresses of an end."""
    return first_of(*(texts_of(batch, name) for name in end.addresses))


def sizes_of(sent: pa.Array, received: pa.Array | None = None) -> Integers:
    """The bytes of each row, in both directions together; 0 for a direction whose number is missing, or none that counts."""
    sizes = np.zeros(len(sent), np.int64)
    for column in (sent, received):
        if column is not None:
            numbers = numbers_of(column)
            sizes += np.where((numbers >= 0) & (numbers <= MAX_RECORD_BYTES), numbers, 0)
    return sizes


def marked(batch: Batch, record: Record, options: ReadOptions) -> Batch:
    """The batch with what a run tells of its rows, once they have proved to be valid: see `counting.reports`."""
    marks = {}
    if record.scaled is not None and record.scaled.any():
        marks[SCALED] = pa.array(record.scaled)
    if (reporter := record.reporter) is not None and options.both_ends == "once":
        ends = np.zeros(len(record.sent), np.int8)
        for number, mask in ((SENDER, reporter.sender), (RECEIVER, reporter.receiver)):
            if mask is not None:
                ends[mask] = number
        if ends.any():
            marks |= {
                REPORTED_BY: pa.array(ends),
                SRC: _addresses(batch, record.src),
                DST: _addresses(batch, record.dst),
            }
    return replace(batch, marks=pa.table(marks)) if marks else batch
