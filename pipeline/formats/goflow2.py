"""NetFlow, IPFIX and sFlow as goflow2 writes them in JSON.

Facts from goflow2's README.md, docs/protocols.md, docs/mapping.md, pb/flow.proto and producer/proto/render.go:

- Version 2 writes `time_received_ns`, `src_addr` and so on; version 1, and what is built upon it, `TimeReceived` in seconds,
  `SrcAddr`. What protobuf's own JSON makes of the messages has `timeReceivedNs`, 64 bits as text, and addresses in base64.
- Names and numbers stand for each other, by the mapping: `etype` IPv4 or 2048. A time may be RFC 3339, as in the mapping file that
  comes with goflow2.
- `bytes` and `packets` are as the router sampled them, and not multiplied by `sampling_rate` (issue 21); 0 is "unknown".
- A router may not know when a flow started (0), or say so before 1990: the time of reception takes its place.
- A record goes one way, and says nothing of its direction. What is no IP has no addresses, or another `etype`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection
from ipaddress import ip_address

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.formats.format import Format, Setting
from pipeline.formats.head import Container, Head
from pipeline.formats.localcolumns import nullable
from pipeline.formats.networks import packed_address
from pipeline.formats.record import Endpoint, Record, integers_of, is_answer, ports_of, texts_of
from pipeline.formats.syntaxes import Log, json
from pipeline.options import ReadOptions
from pipeline.scalars import INT64_MAX
from pipeline.syntax.batch import OTHER_EVENT, OTHER_REPORTER, Batch, Fault, Integers, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import Renaming, arrow_of, renamed, rows_where
from pipeline.syntax.localtimes import Seconds, local_times
from pipeline.syntax.times import not_times
from pipeline.zones import DEFAULT_ZONE, zone_of

_START, _END, _RECEIVED = "time_flow_start_ns", "time_flow_end_ns", "time_received_ns"
_SAMPLER, _RATE, _ETYPE = "sampler_address", "sampling_rate", "etype"
_SRC, _DST = "src_addr", "dst_addr"
_TYPES = ("SFLOW_5", "NETFLOW_V5", "NETFLOW_V9", "IPFIX", "1", "2", "3", "4")
_IP = ("IPv4", "IPv6", "2048", "34525", "0x0800", "0x86dd")  # IEEE 802 numbers
_UNKNOWN = ("", "0", "unknown")

_NO_TIME = "must be a time between 1990 and 2200, as the record was received at none either"
_NEGATIVE = "must not be negative"
_NOT_STARTED = "have no time of their start, and count in the hour in which they were received"
_UNSAMPLED = "have no sampling rate: their bytes are not multiplied"


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise UsageError(f"--set {SCALE.name}: {text!r} must be yes or no")
    return text == "yes"


def _addresses(text: str) -> frozenset[bytes | None]:
    """Addresses as bytes: in text, each may be spelt in several ways."""
    addresses = {word.strip(): packed_address(word.strip()) for word in text.split(",")}
    if unfit := [word for word, packed in addresses.items() if packed is None]:
        raise UsageError(f"--set {EXPORTER.name}: {unfit[0]!r} must be IP addresses, split by commas")
    return frozenset(addresses.values())


#: Whether bytes are multiplied by the sampling rate: yes, the default, or no.
SCALE = Setting("goflow2.scale", _yes_or_no)
#: The routers whose records count, by their sampler_address; all by default.
EXPORTER = Setting("goflow2.exporter", _addresses)


def _at(name: str, kind: Kind, *others: str, varied: bool = False) -> Column:
    """A column, with the names that it has elsewhere. Integers and texts stand for each other."""
    camel = "".join(word.capitalize() for word in name.removesuffix("_ns").split("_"))
    lower = "".join(word if not i else word.capitalize() for i, word in enumerate(name.split("_")))
    places = dict.fromkeys(name for name in (camel, lower, *others) if name)
    others_of = tuple((place,) for place in places if place != name)
    return Column(name, kind, others=others_of, in_text=True, in_float=kind is Kind.INTEGER, varied=varied)


def _time(name: str) -> Column:
    return _at(name, Kind.TEXT, name.removesuffix("_ns"), varied=True)


_COLUMNS = [
    *map(_time, (_START, _RECEIVED)),
    *(_at(name, Kind.TEXT) for name in (_SAMPLER, _ETYPE, _SRC, _DST)),
    *(_at(name, Kind.INTEGER) for name in (_RATE, "bytes", "src_port", "dst_port")),
]
_ENDS = [_time(_END)]


def _ignored(batch: Batch) -> dict[str, Mask]:
    kinds = texts_of(batch, _ETYPE)
    unknown = _has(kinds, _UNKNOWN)
    if unknown.any():
        is_without = _has(texts_of(batch, _SRC), ("",)) & _has(texts_of(batch, _DST), ("",))
        unknown &= ~(is_without & _is_received(batch))
    return {OTHER_EVENT: ~(_has(kinds, _IP) | unknown)}


def _is_received(batch: Batch) -> Mask:
    """Which records say when, or from whom, they were received: others may be of any log, where the user names the format."""
    given = [batch.table.column(name).is_valid().to_numpy() for name in (_RECEIVED, _SAMPLER)]
    return np.logical_or(*given)


def _has(column: pa.DictionaryArray, texts: Collection[str]) -> Mask:
    """Which rows have one of these texts; null counts as an empty one."""
    return rows_where(column, lambda text: text in texts, null="" in texts)


def _prepared(batch: Batch, options: ReadOptions) -> Batch:
    """The records of the routers that count, with a time and addresses as they should be."""
    for name in (_SRC, _DST, _SAMPLER):
        addresses = texts_of(batch, name)
        if (unpacked := _unpacked(addresses)) is not addresses:
            batch = _replaced(batch, name, unpacked)
    if wanted := EXPORTER.of(options):
        counts = rows_where(texts_of(batch, _SAMPLER), lambda text: packed_address(text) in wanted)
        batch = batch.ignore({OTHER_REPORTER: ~counts})
    batch = batch.reject(
        Fault(_RATE, _NEGATIVE, integers_of(batch, _RATE, 0) < 0, batch.table.column(_RATE)),
        Fault("bytes", _NEGATIVE, integers_of(batch, "bytes", 0) < 0, batch.table.column("bytes")),
    )
    starts = _times(texts_of(batch, _START))
    notes = {_UNSAMPLED: integers_of(batch, _RATE, 0) == 0} if _is_scaled(options) else {}
    if (missing := np.isnan(starts)).any():
        starts = np.where(missing, _times(texts_of(batch, _RECEIVED)), starts)
        notes[_NOT_STARTED] = missing
    batch = batch.note(notes)
    timeless = Fault(_START, _NO_TIME, np.isnan(starts), texts_of(batch, _START))
    batch = _replaced(batch, _START, nullable(starts))
    if _END in batch.table.column_names:
        batch = _replaced(batch, _END, nullable(_times(texts_of(batch, _END))))
    return batch.reject(timeless)


def _replaced(batch: Batch, name: str, column: pa.Array) -> Batch:
    table = batch.table
    return batch.with_table(table.set_column(table.column_names.index(name), name, column))


def _times(column: pa.Array) -> Seconds:
    """The times of a column in seconds since 1970; NaN where there is no time of a flow."""
    seconds = local_times(column, zone_of(DEFAULT_ZONE)).seconds
    outside = not_times(seconds)
    return seconds if outside is None else np.where(outside, np.nan, seconds)


def _unpacked(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """Addresses as text, from what may be base64 of their bytes, which has neither dots nor colons."""
    if pc.all(pc.match_substring_regex(column.dictionary, r"[.:]|^$")).as_py() is not False:
        return column
    return renamed(column, Renaming.of([_address_of(text) for text in column.dictionary.to_pylist()]))[0]


def _address_of(text: str) -> str:
    if "." in text or ":" in text:
        return text
    try:
        return str(ip_address(base64.b64decode(text, validate=True)))
    except (binascii.Error, ValueError):
        return text  # it will be rejected as an address


def _is_scaled(options: ReadOptions) -> bool:
    return SCALE.of(options) is not False


def _record(batch: Batch, options: ReadOptions) -> Record:
    rates = np.maximum(integers_of(batch, _RATE, 1), 1)
    scaled = (rates > 1) & _is_scaled(options)
    return Record(
        start=_START,
        src=Endpoint((_SRC,)),
        dst=Endpoint((_DST,)),
        sent=arrow_of(_product(integers_of(batch, "bytes", 0), np.where(scaled, rates, 1))),
        required=(_SRC, _DST, "bytes"),
        answer=is_answer(ports_of(batch, "src_port"), ports_of(batch, "dst_port")),
        end=_END,
        scaled=scaled,
    )


def _product(bytes_: Integers, rates: Integers) -> Integers:
    """Bytes times sampling rates; what does not fit is the largest number, which is too large for a flow record."""
    if int(bytes_.max(initial=0)) * int(rates.max(initial=1)) <= INT64_MAX:
        return bytes_ * rates
    return np.where(bytes_ > INT64_MAX // rates, INT64_MAX, bytes_ * rates)


_LOG = Log(_COLUMNS, _record, _ignored, ends=_ENDS, prepared=_prepared)


def _is_json(head: Head) -> bool:
    return any(map(_is_record, head.json_objects))


def _is_record(record: dict[str, object]) -> bool:
    if str(record.get("type")) in _TYPES:
        return bool(record.keys() & {_RECEIVED, "timeReceivedNs", "time_received", _SAMPLER, "samplerAddress"})
    return str(record.get("Type")) in _TYPES and {"TimeReceived", "SrcAddr", "DstAddr"} <= record.keys()


FORMATS = (Format("goflow2, JSON", "goflow2", Container.JSON, _is_json, json(_LOG), (SCALE, EXPORTER)),)
