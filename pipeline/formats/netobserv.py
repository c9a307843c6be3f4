"""Flow logs of NetObserv, the network observability of Kubernetes and OpenShift.

Facts from the operator's docs/flows-format.adoc and internal/controller/flp/flp_pipeline_builder.go, from the eBPF agent's
bpf/utils.h, and from cmd/flow_capture.go of its command-line client, which writes one object a line, a comma behind each:

- A record has one direction of a flow, over some seconds. `Bytes` is left out where the number is 0, as of dropped packets alone.
- `Sampling` says that one packet of so many was looked at; `Bytes` is not multiplied. 0, 1 or none: each packet was.
- `FlowDirection` is 0 at the interface of the receiver (ingress), 1 at that of the sender (egress), 2 within a node. Of a flow
  between two nodes there is one of each. By NetObserv's own rule, a record of the sender is left out where the receiver has an
  owner in the cluster, and so reports the flow as well. Old agents marked further reports with `Duplicate`.
- `_RecordType` is `flowLog`; the other types sum up connections, and repeat bytes that flow logs have.
- `Flags` is a number or a list of names. A SYN with its ACK is a flag of its own, 256, so that flags tell who opened.
- Loki has the fields by which it is asked, as `FlowDirection` and the owners, in the labels of a stream.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from functools import reduce
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UnknownFormat
from pipeline.formats.format import Format, Piece, ReadContext
from pipeline.formats.head import Container, Head
from pipeline.formats.loki import answers, printed
from pipeline.formats.record import Endpoint, Record, Reporter, integers_of, is_answer, texts_of
from pipeline.formats.syntaxes import FlowParser, Log
from pipeline.formats.syntaxes import json as json_reader
from pipeline.kernel.texts import index_of
from pipeline.options import ReadOptions
from pipeline.schema import MAX_RECORD_BYTES
from pipeline.syntax.batch import OTHER_EVENT, Batch, Fault, Integers, Mask
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import Codes, Renaming, arrow_of, codes_of, first_of, is_text, renamed, with_dictionary
from pipeline.syntax.jsonlines import JsonParser
from pipeline.syntax.jsonobjects import integer_of

_INTEGERS = ("TimeFlowStartMs", "SrcPort", "DstPort", "Bytes", "Sampling", "FlowDirection")
_NAMES = tuple(
    f"{end}{name}" for end in ("Src", "Dst") for name in ("K8S_Namespace", "K8S_OwnerName", "SubnetLabel", "K8S_NetworkName")
)
_TEXTS = ("SrcAddr", "DstAddr", *_NAMES, "K8S_ClusterName", "_RecordType")
_VALUES = ("Flags", "Duplicate", "Udns")  # of several types
_COLUMNS = [
    *(Column(name, Kind.INTEGER, in_text=True, in_float=True) for name in _INTEGERS),
    *(Column(name, Kind.TEXT) for name in _TEXTS),
    *(Column(name, Kind.TEXT, as_json=True) for name in _VALUES),
]
_ENDS = [Column("TimeFlowEndMs", Kind.INTEGER, in_text=True, in_float=True)]
_FIELDS = {column.name for column in (*_COLUMNS, *_ENDS)}

#: A table with so many entries for each row takes less time than to sort the rows.
_FEW = 16
_EGRESS, _WITHIN = 1, 2
_SYN, _SYN_ACK = 0x02, 0x100
_FLAGS = {"SYN": _SYN, "SYN_ACK": _SYN_ACK}
#: The flags that tell who opened a connection, as TCP has them (see `record.is_answer`).
_TCP_SYN, _TCP_SYN_ACK = 0x02, 0x12


def _record(batch: Batch, _options: ReadOptions) -> Record:
    sent, is_scaled = _scaled(integers_of(batch, "Bytes", 0), integers_of(batch, "Sampling", 1))
    return Record(
        start="TimeFlowStartMs",
        end="TimeFlowEndMs",
        src=Endpoint(("SrcAddr",), app=_app(batch, "Src")),
        dst=Endpoint(("DstAddr",), app=_app(batch, "Dst")),
        sent=arrow_of(sent),
        required=("TimeFlowStartMs", "SrcAddr", "DstAddr"),
        vpc=_network(batch),
        answer=is_answer(integers_of(batch, "SrcPort", -1), integers_of(batch, "DstPort", -1), _tcp_flags(batch)),
        reporter=Reporter(other=_is_reported_elsewhere(batch)),
        scaled=is_scaled,
    )


def _scaled(sent: Integers, sampling: Integers) -> tuple[Integers, Mask]:
    """The bytes of all packets, and which rows were multiplied. What is no number of bytes stays none, and is rejected as that."""
    is_scaled: Mask = (sampling != 0) & (sampling != 1)
    if not is_scaled.any():
        return sent, is_scaled
    factor = np.where(sampling == 0, 1, sampling)
    sent = np.where(factor < 0, -1, sent)  # two numbers below 0 must not make one above
    too_large = np.abs(sent.astype(float)) * np.abs(factor.astype(float)) > 2 * MAX_RECORD_BYTES
    product = np.where(too_large, MAX_RECORD_BYTES + 1, sent) * np.where(too_large, 1, np.abs(factor))
    return product, is_scaled


def _app(batch: Batch, end: str) -> pa.DictionaryArray:
    """The owner, within its namespace; else the label of the subnet."""
    return first_of(_owner(batch, end), _filled(batch, f"{end}SubnetLabel"))


def _owner(batch: Batch, end: str) -> pa.DictionaryArray:
    owners, namespaces = (_filled(batch, f"{end}K8S_{name}") for name in ("OwnerName", "Namespace"))
    if len(batch.table) in (owners.null_count, namespaces.null_count):
        return owners
    owner, namespace = codes_of(owners), codes_of(namespaces)
    # Of each pair one number; -1, which is no namespace, is one of them.
    count = len(namespaces.dictionary) + 1
    numbers = np.multiply(np.maximum(owner, 0) if owners.null_count else owner, count, dtype=np.int64)
    numbers += namespace
    numbers += 1
    pairs, codes = _distinct(numbers, count * len(owners.dictionary))
    prefixes = pa.concat_arrays([pa.array([""]), pc.binary_join_element_wise(namespaces.dictionary, "", "/")])
    parts = prefixes.take(arrow_of(pairs % count)), owners.dictionary.take(arrow_of(pairs // count))
    codes = np.where(owner < 0, np.int32(-1), codes) if owners.null_count else codes
    return with_dictionary(codes, pc.binary_join_element_wise(*parts, ""))


def _distinct(numbers: Integers, below: int) -> tuple[Integers, Codes]:
    """The distinct numbers of some from 0 to below a limit, in order, and which of them each number is."""
    if below > _FEW * len(numbers):
        distinct, which = np.unique(numbers, return_inverse=True)
        return distinct, which.astype(np.int32)
    places = np.zeros(below, np.int32)  # a table is several times as fast as to sort
    places[numbers] = 1
    distinct = np.flatnonzero(places)
    places[distinct] = np.arange(len(distinct), dtype=np.int32)
    return distinct, places[numbers]


def _filled(batch: Batch, name: str) -> pa.DictionaryArray:
    """A column of text, null where the text is empty, too."""
    column = texts_of(batch, name)
    return _renamed(column, lambda text: text or None) if index_of(column.dictionary, "") >= 0 else column


def _renamed(column: pa.DictionaryArray, name: Callable[[str], str | None]) -> pa.DictionaryArray:
    return renamed(column, Renaming.of([name(text) for text in column.dictionary.to_pylist()]))[0]


def _network(batch: Batch) -> pa.DictionaryArray:
    """The cluster; else the network of an end; else the first of the networks that the record crossed."""
    names = [_filled(batch, name) for name in ("K8S_ClusterName", "SrcK8S_NetworkName", "DstK8S_NetworkName")]
    return reduce(first_of, [*names, _renamed(texts_of(batch, "Udns"), _first_name)])


def _first_name(networks: str) -> str | None:
    found = json.loads(networks, parse_int=integer_of)
    names = found if isinstance(found, list) else [found]
    return next((name for name in names if isinstance(name, str) and name), None)


def _tcp_flags(batch: Batch) -> Integers:
    """The flags that tell which end opened the connection, as TCP has them."""
    column = texts_of(batch, "Flags")
    flags = np.array([*map(_opening, column.dictionary.to_pylist()), 0], np.int64)
    return flags[codes_of(column)]  # the code -1, of a null, takes the last


def _opening(flags: str) -> int:
    found = json.loads(flags, parse_int=integer_of)
    if isinstance(found, list):
        number = sum(_FLAGS.get(name, 0) for name in {name for name in found if isinstance(name, str)})
    else:
        number = int(found) if str(found).isdecimal() and len(str(found)) < 10 else 0
    return _TCP_SYN_ACK if number & _SYN_ACK else _TCP_SYN if number & _SYN else 0


def _is_reported_elsewhere(batch: Batch) -> Mask:
    has_owner = codes_of(_filled(batch, "DstK8S_OwnerName")) >= 0
    is_duplicate = is_text(texts_of(batch, "Duplicate"), "true") | is_text(texts_of(batch, "Duplicate"), '"true"')
    return ((integers_of(batch, "FlowDirection", -1) == _EGRESS) & has_owner) | is_duplicate


def _ignored(batch: Batch) -> dict[str, Mask]:
    types = _filled(batch, "_RecordType")
    return {OTHER_EVENT: (codes_of(types) >= 0) & ~is_text(types, "flowLog")}


def _with_direction(batch: Batch, options: ReadOptions) -> Batch:
    """The records whose direction is known, or not there: of another nobody can tell whether the other end reports the same."""
    if options.both_ends == "count":
        return batch
    direction = integers_of(batch, "FlowDirection", _EGRESS)
    unknown = (direction < 0) | (direction > _WITHIN)
    return batch.reject(Fault("FlowDirection", "must be 0, 1 or 2", unknown, batch.table.column("FlowDirection")))


LOG = Log(_COLUMNS, _record, _ignored, prepared=_with_direction, ends=_ENDS)


def _is_netobserv(head: Head) -> bool:
    return any(map(_is_record, head.json_objects))


def _is_record(record: dict[str, Any]) -> bool:
    """Whether an object is a record: none of those that its pipeline makes of NetFlow, which have no `TimeFlowStartMs`."""
    return record.keys() >= {"SrcAddr", "DstAddr", "TimeFlowStartMs"}


def _is_answer(head: Head) -> bool:
    data = next((found for record in head.json_objects if isinstance(found := record.get("data"), dict)), {})
    result = data.get("result")
    if not isinstance(result, list) or not (data.get("resultType") == "streams" or any(map(_is_stream, result))):
        return False
    lines = [value[1] for stream in filter(_is_stream, result) for value in stream["values"] if _is_value(value)]
    if lines and not any(map(_is_line, lines)):
        raise _other_logs("an answer of Loki")
    return True


def _is_stream(stream: Any) -> bool:
    return isinstance(stream, dict) and isinstance(stream.get("stream"), dict) and isinstance(stream.get("values"), list)


def _is_value(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1


def _is_printed(head: Head) -> bool:
    entries = [record for record in head.json_objects if record.keys() >= {"labels", "line", "timestamp"}]
    if entries and not any(_is_line(entry["line"]) for entry in entries):
        raise _other_logs("what logcli prints")
    return bool(entries)


def _is_line(line: Any) -> bool:
    return isinstance(line, str) and '"TimeFlowStartMs"' in line


def _other_logs(found: str) -> UnknownFormat:
    return UnknownFormat(f"{found}, of other logs than NetObserv's", 'ask Loki for {app="netobserv-flowcollector"}')


def _of_loki(records: Callable[[BinaryIO, Collection[str]], Iterator[TextBlock]]) -> Callable[..., Iterator[Piece]]:
    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        parser = context.parser(_parser_of, None)
        return ((parser, block) for block in records(stream, _FIELDS))

    return read


def _parser_of(told: None, context: ReadContext) -> FlowParser[JsonParser]:
    del told  # all files have the same columns
    return FlowParser(JsonParser(LOG.wanted(context.options)), LOG, context)


FORMATS = (
    Format("NetObserv, JSON", "netobserv", Container.JSON, _is_netobserv, json_reader(LOG)),
    Format("NetObserv, answers of Loki", "netobserv", Container.JSON, _is_answer, _of_loki(answers)),
    Format("NetObserv, logcli", "netobserv", Container.JSON, _is_printed, _of_loki(printed)),
)
