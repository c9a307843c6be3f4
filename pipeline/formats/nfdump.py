"""NetFlow as nfdump prints it: CSV of all its versions, JSON and ndjson.

Facts from nfdump's sources (output_csv.c, output_csv_fast.c, output_json.c, output_ndjson.c, nfdump.c) of the versions 1.6.13 to
1.7.8, and nfcapd(1):

- `-o csv` is `ts,te,td,sa,da,…` up to 1.7.4, and `firstSeen,duration,proto,…` from 1.7.5 on; `-o csv-fast` has milliseconds since
  1970, `-o csv:%tsr,…` the columns that the user lists, under fixed names. Other times are local, without an offset.
- The CSV from 1.7.5 on has `bytes`, from source to destination, unless the user lists `inBytes` and `outBytes`: what a flow of
  both directions brought back is not there. The older CSV (`ibyt`, `obyt`) and JSON (`in_bytes`, `out_bytes`) have both.
- A record without a time has `0000-00-00 00:00:00.000`, 1970 or 0; one without addresses has 0.0.0.0 or nothing.
- nfcapd has multiplied by the sampling rate; `sampled` only says that it did.
- TCP flags are OR-ed over a flow, so that both ends show SYN and ACK: the ports say which is the server.
- The type EVENT is a firewall's event (NSEL), and no flow.
- Where there are no flows, as in most files of an idle night, a line says so: behind the header, in the array, or alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import EmptySource
from pipeline.formats.format import Format, Parser, Piece, ReadContext
from pipeline.formats.head import Container, Head, split_cells
from pipeline.formats.nfdumpsummary import NOTHING, NOTHING_BEGINS, read_sections
from pipeline.formats.record import Endpoint, Record, column_of, is_answer, ports_of, texts_of
from pipeline.formats.syntaxes import FlowParser, Log, json
from pipeline.options import ReadOptions
from pipeline.syntax.batch import MISSING, OTHER_EVENT, Batch, Fault, Mask
from pipeline.syntax.blocks import TextBlock
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.delimited import CsvParser, read_csv
from pipeline.syntax.dictionary import codes_of, is_text, rows_where

_NO_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - nothing is bound to it
_NO_ADDRESS_RULE = "must be an address, of which the record has none"
_ONE_WAY = (
    "have no bytes of the other direction, which this output of nfdump leaves out;"
    " -o ndjson prints them, and so does -o 'csv:%tsr,%ter,%pr,%sa,%sp,%da,%dp,%ibyt,%obyt'"
)


@dataclass(frozen=True)
class _Layout:
    """The names of an output's columns.

    Attributes:
        start: The time of the first packet; end: of the last.
        src: The columns that may have the sender's address; dst: the receiver's.
        src_port: The sender's port; dst_port: the receiver's.
        sent: The columns that may have the bytes from the sender to the receiver, of which the first counts; received: back.
        duration: In seconds, where the output has that instead of the end.
    """

    start: str
    end: str
    src: tuple[str, ...]
    dst: tuple[str, ...]
    src_port: str
    dst_port: str
    sent: tuple[str, ...]
    received: str
    duration: str = ""

    def record(self, batch: Batch, _options: ReadOptions) -> Record:
        sent = [column_of(batch, name, pa.int64()) for name in self.sent if name in batch.table.column_names]
        received = column_of(batch, self.received, pa.int64()) if self.received in batch.table.column_names else None
        return Record(
            start=self.start,
            src=Endpoint(self.src),
            dst=Endpoint(self.dst),
            sent=sent[0],
            received=received.fill_null(0) if received is not None and received.null_count else received,
            required=(self.start, *(name for name in self.sent if name in batch.table.column_names)),
            answer=is_answer(ports_of(batch, self.src_port), ports_of(batch, self.dst_port)),
            end=self.end if self.end in batch.table.column_names else None,
            duration=self.duration or None,
        )

    def prepared(self, batch: Batch, _options: ReadOptions) -> Batch:
        """The rows that have addresses."""
        return batch.reject(*self._without_address(batch, self.src), *self._without_address(batch, self.dst))

    def one_way(self, batch: Batch, options: ReadOptions) -> Batch:
        """The same of an output that has the bytes of one direction alone."""
        prepared = self.prepared(batch, options)
        return prepared.note({_ONE_WAY: np.ones(prepared.table.num_rows, bool)})

    @staticmethod
    def _without_address(batch: Batch, names: tuple[str, ...]) -> Iterator[Fault]:
        columns = {name: texts_of(batch, name) for name in names}
        if all(column.null_count for column in columns.values()):
            missing = np.logical_and.reduce([codes_of(column) < 0 for column in columns.values()])
            if missing.any():
                yield Fault(names[0], MISSING, missing, columns[names[0]])
        for name, column in columns.items():
            if pc.any(pc.is_in(column.dictionary, value_set=pa.array(_NO_ADDRESS))).as_py():
                yield Fault(name, _NO_ADDRESS_RULE, rows_where(column, lambda text: text in _NO_ADDRESS), column)


def _pass_over_nothing(head: Head) -> None:
    """Passes over an output of JSON that says that there are no flows: it is neither JSON nor of any other format.

    Raises:
        EmptySource: It is that.
    """
    if NOTHING.fullmatch(head.data.strip(b"[] \t\r\n")):
        raise EmptySource


# --- CSV ---------------------------------------------------------------------------------------------------------

_OLD = _Layout("ts", "te", ("sa",), ("da",), "sp", "dp", ("ibyt",), "obyt")
_NEW = _Layout(
    "firstSeen", "lastSeen", ("srcAddr",), ("dstAddr",), "srcPort", "dstPort", ("inBytes", "bytes"), "outBytes", "duration"
)
_OLD_LOG = Log(
    [
        *(Column(name, Kind.TEXT) for name in ("ts", "sa", "da")),
        *(Column(name, Kind.TEXT, required=False) for name in ("sp", "dp")),
        *(Column(name, Kind.INTEGER) for name in ("ibyt", "obyt")),
    ],
    _OLD.record,
    local=("ts", "te"),
    ends=(Column("te", Kind.TEXT, required=False),),
    prepared=_OLD.prepared,
)


def _new_log(header: list[str]) -> Log:
    """What the columns of CSV say that has one of the newer headers."""
    is_fast = header[:2] == ["cnt", "af"]  # of which all times are numbers, and all ports
    times, ports = (Kind.INTEGER, Kind.INTEGER) if is_fast else (Kind.TEXT, Kind.TEXT)
    columns = [
        Column("firstSeen", times),
        *(Column(name, Kind.TEXT) for name in ("srcAddr", "dstAddr")),
        *(Column(name, ports, required=False) for name in ("srcPort", "dstPort")),
        Column("inBytes" if "inBytes" in header else "bytes", Kind.INTEGER),
        Column("outBytes", Kind.INTEGER, required=False),
    ]
    ends = [Column("lastSeen", times, required=False), Column("duration", Kind.SECONDS, required=False)]
    prepared = _NEW.prepared if "outBytes" in header else _NEW.one_way
    return Log(columns, _NEW.record, local=() if is_fast else ("firstSeen", "lastSeen"), ends=ends, prepared=prepared)


def _is_old(names: list[str]) -> bool:
    return {"ts", "sa", "da", "ibyt"} <= set(names)


class _NewRows(CsvParser):
    """Parses the rows of one of the newer headers, among which a line may say of a file that it has none."""

    def parse(self, block: TextBlock) -> Batch:
        if NOTHING_BEGINS in block.data:
            block = replace(block, data=NOTHING.sub(b"", block.data))
        return super().parse(block)


def _is_csv(head: Head) -> bool:
    _pass_over_nothing(head)
    names = head.split_first_line(",")
    is_new = {"firstSeen", "srcAddr", "dstAddr"} <= set(names) and bool({"bytes", "inBytes"} & set(names))
    return _is_old(names) or is_new


def _read_csv(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return read_csv(stream, lambda header: context.parser(_parser_of, header))


def _parser_of(header: bytes, context: ReadContext) -> Parser:
    log = _new_log(split_cells(header.decode("utf-8", "replace"), ","))
    return FlowParser(_NewRows(header, log.wanted(context.options)), log, context)


def _read_old_csv(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
    return read_sections(stream, _OLD_LOG, context)


# --- JSON --------------------------------------------------------------------------------------------------------

_JSON = _Layout(
    "first",
    "last",
    ("src4_addr", "src6_addr"),
    ("dst4_addr", "dst6_addr"),
    "src_port",
    "dst_port",
    ("in_bytes",),
    "out_bytes",
)
_TYPES = ("FLOW", "EVENT")


def _events(batch: Batch) -> dict[str, Mask]:
    return {OTHER_EVENT: is_text(texts_of(batch, "type"), "EVENT")}


_JSON_LOG = Log(
    [
        Column("type", Kind.TEXT),
        Column("first", Kind.TEXT, others=(("t_first",),), varied=True),  # as 1.6 calls it
        *(Column(name, Kind.TEXT) for name in (*_JSON.src, *_JSON.dst)),
        *(
            Column(name, Kind.INTEGER, in_text=True, in_float=True)
            for name in ("src_port", "dst_port", "in_bytes", "out_bytes")
        ),
    ],
    _JSON.record,
    _events,
    local=("first", "last"),
    ends=(Column("last", Kind.TEXT, others=(("t_last",),), varied=True),),
    prepared=_JSON.prepared,
)


def _is_json(head: Head) -> bool:
    _pass_over_nothing(head)
    return any(record.get("type") in _TYPES and "export_sysid" in record for record in head.json_objects)


FORMATS = (
    Format(
        "nfdump, CSV before 1.7.5", "nfdump", Container.TEXT, lambda head: _is_old(head.split_first_line(",")), _read_old_csv
    ),
    Format("nfdump, CSV", "nfdump", Container.TEXT, _is_csv, _read_csv),
    Format("nfdump, JSON", "nfdump", Container.JSON, _is_json, json(_JSON_LOG)),
)
