"""Azure VNet flow logs (version 4) and NSG flow logs (version 2), in JSON.

Facts from Microsoft's documentation of Network Watcher, "Virtual network flow logs" and "Flow logging for network security
groups": a tuple covers both directions of a flow, whose opener is its source; a continuing flow (C) and one that ends (E) have
the packets and bytes since the flow's last tuple, one that begins (B) has none, and a denied one (D) neither; the time is when
the tuple was written, in seconds or milliseconds; direction says whether the interface that reports it received the flow (I) or
sent it (O). NSG flow logs of version 1 have no byte counts. Category tells a flow log from all other logs of Azure, whose blobs
have the same name (PT1H.json).

Records that stand twice in a blob are known of both kinds, as in the issue 26 of microsoft/AzureNetworkWatcherNSGFlowLogsConnector.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial, reduce
from itertools import compress
from typing import BinaryIO

import numpy as np
import pyarrow as pa

from pipeline.formats.azurerecord import AnyRecord, FlowRecord, Layout, OtherRecord, UnfitRecord, layout_of
from pipeline.formats.azurerecords import records_in, records_of
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, Reporter, column_of, integers_of, rule_of_words, texts_of
from pipeline.formats.repeats import Repeats
from pipeline.formats.reporters import sizes_of
from pipeline.formats.syntaxes import Log
from pipeline.options import ReadOptions
from pipeline.syntax.batch import DENIED, NO_TRAFFIC, OTHER_EVENT, REPEATED, Batch, Fault, LeftOut, Mask, Reject
from pipeline.syntax.blocks import NumberedLines
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import DelimitedParser, Dialect
from pipeline.syntax.dictionary import is_text, rows_where, with_dictionary

_STARTS = "time source destination source_port destination_port protocol direction"
_ENDS = "packets_sent bytes_sent packets_received bytes_received"
#: The fields of a tuple.
_FIELDS = {
    Layout.VNET: f"{_STARTS} state encryption {_ENDS}".split(),
    Layout.NSG: f"{_STARTS} decision state {_ENDS}".split(),
}
_COLUMNS = [
    Column("time", Kind.INTEGER),
    Column("source", Kind.TEXT),
    Column("destination", Kind.TEXT),
    Column("direction", Kind.TEXT),
    Column("decision", Kind.TEXT, required=False),
    Column("state", Kind.TEXT),
    Column("bytes_sent", Kind.INTEGER),
    Column("bytes_received", Kind.INTEGER),
]
_COMMAS = Dialect(",", null="")
#: The fields of a tuple of version 1 of NSG flow logs.
_OLD_FIELDS = 8
_NO_BYTES = "must have byte counts, which the tuples of version 1 of NSG flow logs lack"


def _ignored(batch: Batch) -> dict[str, Mask]:
    count = integers_of(batch, "bytes_sent", 0) | integers_of(batch, "bytes_received", 0)
    return {DENIED: _is_denied(batch), NO_TRAFFIC: is_text(texts_of(batch, "state"), "B") & (count == 0)}


def _is_denied(batch: Batch) -> Mask:
    return is_text(texts_of(batch, "decision" if "decision" in batch.table.column_names else "state"), "D")


def _record(batch: Batch, _options: ReadOptions) -> Record:
    direction = texts_of(batch, "direction")
    return Record(
        start="time",
        src=Endpoint(("source",)),
        dst=Endpoint(("destination",)),
        sent=column_of(batch, "bytes_sent", pa.int64()),
        received=column_of(batch, "bytes_received", pa.int64()),
        required=("time", "source", "destination", "bytes_sent", "bytes_received"),
        vpc=texts_of(batch, "network"),
        reporter=Reporter(
            sender=is_text(direction, "O"), receiver=is_text(direction, "I"), interface=texts_of(batch, "interface")
        ),
    )


_LOG = Log(_COLUMNS, _record, _ignored)


class _Tuples:
    """Parses the tuples of a kind of flow log. Not for several threads at once.

    Args:
        layout: How they are written.
        context: What is known beside the file.
    """

    def __init__(self, layout: Layout, context: ReadContext) -> None:
        self.layout = layout
        self._context = context
        self._parser = DelimitedParser(_FIELDS[layout], _COLUMNS, _COMMAS)

    def parse(self, records: Sequence[tuple[int, AnyRecord]]) -> Iterator[Batch]:
        """Flow records of the tuples of those records that are of the kind, each with the row number of its first tuple."""
        own = [(row, record) for row, record in records if isinstance(record, FlowRecord) and record.layout is self.layout]
        if not own:
            return
        groups = [group for _, record in own for group in record.groups]
        counts = [group.count for group in groups]
        said = {
            name: _for_each_tuple([getattr(group, name) for group in groups], counts) for name in ("network", "interface")
        }
        rows = np.concatenate([np.arange(row, row + record.count) for row, record in own])
        for block in NumberedLines(b"".join(group.lines for group in groups), own[0][0], rows).pieces():
            batch = self._parser.parse(block)
            places = pa.array(np.searchsorted(rows, batch.rows))
            for name, column in said.items():
                batch = batch.with_table(batch.table.append_column(name, column.take(places)))
            batch = replace(batch, rejects=[self._explained(reject) for reject in batch.rejects])
            yield _LOG.flows(batch.reject(*_unknown_states(batch)), self._context)

    def _explained(self, reject: Reject) -> Reject:
        is_old = self.layout is Layout.NSG and not reject.field and reject.value == str(_OLD_FIELDS)
        return replace(reject, rule=_NO_BYTES, value="") if is_old else reject


def _for_each_tuple(texts: Sequence[str], counts: Sequence[int]) -> pa.DictionaryArray:
    """A column of what groups say: the text of each as often as the group has tuples; null for ""."""
    numbers = {text: i for i, text in enumerate(dict.fromkeys(filter(None, texts)))}
    codes = np.array([numbers.get(text, -1) for text in texts], np.int32)
    return with_dictionary(np.repeat(codes, counts), pa.array(numbers, pa.string()))


def _unknown_states(batch: Batch) -> Iterator[Fault]:
    """The faults of the tuples that do not say whether they count, or at which end."""
    has_decision = "decision" in batch.table.column_names
    if has_decision:
        yield _other_than(("A", "D"), batch, "decision")
    for known, name in ((("B", "C", "E") if has_decision else ("B", "C", "D", "E"), "state"), (("I", "O"), "direction")):
        fault = _other_than(known, batch, name)
        yield replace(fault, bad=fault.bad & ~_is_denied(batch))


def _other_than(known: Sequence[str], batch: Batch, name: str) -> Fault:
    texts = texts_of(batch, name)
    bad = rows_where(texts, lambda text: text not in known, null=True)
    return Fault(name, rule_of_words(known), bad, texts)


def _as_repeats(batch: Batch) -> Batch:
    """A batch all of whose rows are left out, as earlier ones of the file say the same."""
    counted = LeftOut(batch.rows, sizes_of(batch.table.column("bytes_tx"), batch.table.column("bytes_rx")))
    rejected = LeftOut.of(np.array([reject.row for reject in batch.rejects], np.int64))
    repeated = reduce(LeftOut.and_of, (rejected, *batch.left_out.values()), counted)
    return Batch.without_rows(left_out={REPEATED: repeated})


def _without_tuples(records: Sequence[tuple[int, AnyRecord]]) -> Iterator[Batch]:
    """The records of other logs, and those that are unfit, each with its row number."""
    others = np.array([row for row, record in records if isinstance(record, OtherRecord)], np.int64)
    rejects = [
        Reject(row, record.field, record.rule, "", record.raw) for row, record in records if isinstance(record, UnfitRecord)
    ]
    if len(others) or rejects:
        left_out = {OTHER_EVENT: LeftOut.of(others)} if len(others) else {}
        yield Batch.without_rows(rejects, left_out)


def _read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    """A tuple's row number is its place among the file's tuples, from 1 on; a record that is of no flow log takes one place."""
    repeats, row = Repeats(), 1
    for found in records_of(stream):
        rows = np.cumsum([row, *(record.count for record in found)]).tolist()
        records, row = list(zip(rows[:-1], found, strict=True)), rows[-1]
        is_new = repeats.are_new([record.key if isinstance(record, FlowRecord) else None for record in found])
        for layout in Layout:
            parser = context.parser(_Tuples, layout)
            yield from parser.parse(list(compress(records, is_new)))
            yield from map(_as_repeats, parser.parse(list(compress(records, ~is_new))))
        yield from _without_tuples(records)


def _has(layout: Layout, head: Head) -> bool:
    """Whether the first record of a flow log is of that kind. Some other records may be before it."""
    records = (record for document in head.json_objects for record in records_in(document) if isinstance(record, dict))
    return next(filter(None, map(layout_of, records)), None) is layout


#: A file may have the records of both.
VNET = Format("Azure VNet flow log", "azure", Container.JSON, partial(_has, Layout.VNET), _read)
NSG = Format("Azure NSG flow log", "azure", Container.JSON, partial(_has, Layout.NSG), _read)
FORMATS = (VNET, NSG)
