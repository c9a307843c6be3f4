"""pmacct's flows, in JSON.

Facts from CONFIG-KEYS and the sources of pmacct: an object has the fields alone that `aggregate` asks for. Times are texts:
`timestamp_start` is the flow's own, `stamp_inserted` the start of the time bin (`*_history`) into which pmacct put the flow; both are
seconds since 1970 (`timestamps_since_epoch`), RFC 3339, or what the collector's clock showed. `bytes` are multiplied by the sampling
rate only where `*_renormalize` is set, which the output does not tell. A record covers one direction, and its flags are those of all
its packets. Objects with an `event_type` of `purge_init` and `purge_close` stand around what was written at once
(`print_markers`).
"""

from __future__ import annotations

import pyarrow as pa

from pipeline.errors import UnknownFormat
from pipeline.formats.format import Format
from pipeline.formats.head import Container, Head
from pipeline.formats.record import Endpoint, Record, column_of, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import Log, json
from pipeline.options import ReadOptions
from pipeline.syntax.batch import OTHER_EVENT, Batch, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import rows_where

_TIMES = ("timestamp_start", "stamp_inserted")
_COLUMNS = [
    Column("ip_src", Kind.TEXT),
    Column("ip_dst", Kind.TEXT),
    *(Column(name, Kind.INTEGER, in_text=True, in_float=True) for name in ("port_src", "port_dst", "bytes")),
    Column("timestamp_start", Kind.TEXT, others=(("stamp_inserted",),), in_text=True, varied=True),
    Column("event_type", Kind.TEXT),
]
_ENDS = (Column("timestamp_end", Kind.TEXT, in_text=True, varied=True),)
_MARKERS = ("purge_init", "purge_close")


def _ignored(batch: Batch) -> dict[str, Mask]:
    return {OTHER_EVENT: rows_where(texts_of(batch, "event_type"), lambda event: event in _MARKERS)}


def _record(batch: Batch, _options: ReadOptions) -> Record:
    return Record(
        start="timestamp_start",
        src=Endpoint(("ip_src",)),
        dst=Endpoint(("ip_dst",)),
        sent=column_of(batch, "bytes", pa.int64()),
        required=("timestamp_start", "ip_src", "ip_dst", "bytes"),
        answer=is_answer(integers_of(batch, "port_src", -1), integers_of(batch, "port_dst", -1)),
        end="timestamp_end",
    )


def _is_pmacct(head: Head) -> bool:
    flows = [record for record in head.json_objects if "ip_src" in record and "ip_dst" in record]
    if not flows:  # where nothing came in, there are the markers alone
        return any(record.get("event_type") in _MARKERS for record in head.json_objects)
    keys = set[str]().union(*flows)
    if not keys.intersection(_TIMES):
        raise UnknownFormat(
            "a pmacct flow log without times", "have pmacct write them: timestamp_start among its aggregate, or a *_history"
        )
    if "bytes" not in keys:
        raise UnknownFormat("a pmacct flow log without byte counts", "have pmacct write its bytes")
    return True


_LOG = Log(_COLUMNS, _record, _ignored, local=("timestamp_start", "timestamp_end"), ends=_ENDS)
FORMATS = (Format("pmacct, JSON", "pmacct", Container.JSON, _is_pmacct, json(_LOG)),)
