"""Google's VPC Flow Logs: entries of Cloud Logging, in JSON.

Facts from Google's documentation, "About VPC Flow Logs records", "About traffic flows" and "Access flow logs":

- An entry has the flow in `jsonPayload`, and its log in `logName`: `projects/P/logs/compute.googleapis.com%2Fvpc_flows`, or
  `…/networkmanagement.googleapis.com%2Fvpc_flows` of newer configurations. Log Analytics has `json_payload`, `log_name`, `log_id`.
- A record covers one direction of a connection. `bytes_sent` is what src sent to dest, without headers, so that it is 0 for
  packets of headers alone; Google has extrapolated it from a sample. `start_time` and `end_time` are those of the first and the
  last packet of an interval.
- `reporter` says who measured: SRC or DEST, a VM or pod at that end; SRC_GATEWAY or DEST_GATEWAY, a gateway (an Interconnect
  attachment, a VPN tunnel) at that end. Between two VMs that are logged, each direction is reported by both.
- `disposition` DROPPED says that a firewall dropped the packets; such a record has `bytes_dropped`, and no `bytes_sent`.
- What is known of an end stands in `src_…` and `dest_…`; nothing, where the end is outside or the metadata are left out.

BigQuery writes integers as texts, and ports as floating-point numbers: in JSON, and in Parquet, where the names are those of columns
within columns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import OtherLog, UnknownFormat, UsageError
from pipeline.formats.format import Format, Piece, ReadContext, Reader, Setting
from pipeline.formats.head import HEAD_BYTES, Container, Head
from pipeline.formats.record import Endpoint, Record, Reporter, column_of, integers_of, is_answer, rule_of_words, texts_of
from pipeline.formats.syntaxes import Log, json, parquet
from pipeline.options import ReadOptions
from pipeline.syntax.batch import DENIED, OTHER_EVENT, Batch, Fault, Mask
from pipeline.syntax.cells import Column, Kind
from pipeline.syntax.dictionary import Renaming, choose, codes_of, first_of, is_text, renamed, rows_where

_FLOWS = "vpc_flows"
_LOG = re.compile(r"(?:projects|folders|organizations|billingAccounts)/([^/]+)/logs/.+")
_PROJECT = re.compile(r"projects/([^/]+)/")
_NOTHING_ELSE = "flowlog reads flow logs only"

_REPORTERS = ("SRC", "DEST", "SRC_GATEWAY", "DEST_GATEWAY")
_NO_REPORTER = "do not say who reported them (reporter), so that their flows may be in other records, too"

_SIDES = ("src", "dest")
#: What may be known of an end, behind `src_` or `dest_`: the app of a pod or a VM, of which the first that is there counts;
_APPS = (
    ("gke_details", "pod", "pod_workload", "workload_name"),
    ("gke_details", "service", "service_name"),
    ("instance", "managed_instance_group", "name"),
    ("instance", "vm_name"),
)
#: what else tells that a pod or a VM is there, which reports what it sends;
_REPORTS = (("gke_details", "cluster", "cluster_name"), ("instance", "project_id"))
_GOOGLE_SERVICE, _GATEWAY = ("google_service", "service_name"), ("gateway", "name")
_VPCS = (("vpc", "vpc_name"), ("gateway", "vpc", "vpc_name"))
_ENDS = (*_APPS, *_REPORTS, _GOOGLE_SERVICE, _GATEWAY, *_VPCS)


def _reporter_setting(text: str) -> str:
    if text not in ("auto", "src", "dest", "all"):
        raise UsageError(f"--set gcp.reporter: {text!r} must be auto, src, dest or all")
    return text


#: Whose records count: auto, each flow once; src, those reported at the source's end; dest, those at the destination's; all.
REPORTER = Setting("gcp.reporter", _reporter_setting)


@dataclass(frozen=True)
class _Entries:
    """Entries under the names that one of Google's exports gives them.

    Attributes:
        payload: What has the flow.
        logs: What names the log.
    """

    payload: str
    logs: tuple[str, ...]

    def json(self, name: str) -> Format:
        return Format(
            name, "gcp", Container.JSON, self._recognises, _with_flows(json(self._flows()), self.logs), (REPORTER,)
        )

    def parquet(self, name: str) -> Format:
        def is_table(head: Head) -> bool:
            return {self.payload, *self.logs} <= set(head.parquet_columns)

        return Format(
            name,
            "gcp",
            Container.PARQUET,
            is_table,
            _with_flows(parquet(self._flows(), null_texts=()), self.logs),
            (REPORTER,),
        )

    def _flows(self) -> Log:
        ends = [self._column("end_time", kind=Kind.SECONDS)]
        return Log(self._columns(), self._record, self._ignored, prepared=self._reported, ends=ends)

    def _columns(self) -> list[Column]:
        of = self._column
        return [
            *(Column(name, Kind.TEXT) for name in self.logs),
            *(of(name) for name in ("reporter", "disposition")),
            of("start_time", kind=Kind.SECONDS, required=True),
            of("bytes_sent", kind=Kind.INTEGER, required=True),
            of("bytes_dropped", kind=Kind.INTEGER, instead_of=self._name("bytes_sent")),
            *(of("connection", f"{side}_ip", required=True) for side in _SIDES),
            *(of("connection", f"{side}_port", kind=Kind.INTEGER) for side in _SIDES),
            *(of(f"{side}_{first}", *rest) for side in _SIDES for first, *rest in _ENDS),
        ]

    def _column(self, *path: str, kind: Kind = Kind.TEXT, required: bool = False, instead_of: str | None = None) -> Column:
        is_integer = kind is Kind.INTEGER
        return Column.at(
            self.payload,
            *path,
            kind=kind,
            required=required,
            instead_of=instead_of,
            in_text=is_integer,
            in_float=is_integer,
        )

    def _name(self, *path: str) -> str:
        return ".".join((self.payload, *path))

    def _of_end(self, batch: Batch, side: str, *paths: tuple[str, ...]) -> pa.DictionaryArray:
        """What is known of an end: what stands at the first of these paths that has something."""
        return first_of(*(texts_of(batch, self._name(f"{side}_{first}", *rest)) for first, *rest in paths))

    def _log(self, batch: Batch) -> pa.DictionaryArray:
        return first_of(*(texts_of(batch, name) for name in self.logs))

    def _ignored(self, batch: Batch) -> Mapping[str, Mask]:
        return {
            OTHER_EVENT: rows_where(self._log(batch), lambda name: not name.endswith(_FLOWS)),
            DENIED: is_text(texts_of(batch, self._name("disposition")), "DROPPED"),
        }

    def _reported(self, batch: Batch, options: ReadOptions) -> Batch:
        """The records whose reporter is known, where it decides: of another nobody can tell whether the same bytes are reported again."""
        if options.both_ends == "count" or REPORTER.of(options) == "all":
            return batch
        reporter = texts_of(batch, self._name("reporter"))
        unknown = rows_where(reporter, lambda word: word not in _REPORTERS)
        batch = batch.note({_NO_REPORTER: ~_is_there(reporter)})
        return batch.reject(Fault(self._name("reporter"), rule_of_words(_REPORTERS), unknown, reporter))

    def _record(self, batch: Batch, options: ReadOptions) -> Record:
        start, sent = self._name("start_time"), self._name("bytes_sent")
        src, dest = (self._name("connection", f"{side}_ip") for side in _SIDES)
        src_app, dest_app = (self._of_end(batch, side, *_APPS) for side in _SIDES)
        src_vpc, dest_vpc = (self._of_end(batch, side, *_VPCS) for side in _SIDES)
        src_service, dest_service = (self._of_end(batch, side, _GOOGLE_SERVICE) for side in _SIDES)
        ports = (integers_of(batch, self._name("connection", f"{side}_port"), -1) for side in _SIDES)
        reporters = _Reporters.of(texts_of(batch, self._name("reporter")))
        return Record(
            start=start,
            src=Endpoint((src,), first_of(src_app, src_service)),
            dst=Endpoint((dest,), first_of(dest_app, dest_service)),
            sent=self._bytes(batch),
            required=(start, src, dest, sent),
            vpc=choose(reporters.dest | reporters.dest_gateway, dest_vpc, src_vpc),
            owner=_projects(self._log(batch)),
            answer=is_answer(*ports),
            end=self._name("end_time"),
            reporter=reporters.reporter(
                REPORTER.of(options) or "auto",
                src=_is_there(src_app) | _is_there(self._of_end(batch, "src", *_REPORTS)),
                dest=_is_there(dest_app) | _is_there(self._of_end(batch, "dest", *_REPORTS)),
                src_gateway=_is_there(self._of_end(batch, "src", _GATEWAY)),
            ),
        )

    def _bytes(self, batch: Batch) -> pa.Array:
        """What was sent; of what was dropped, which counts for nothing, how much."""
        sent, dropped = (column_of(batch, self._name(name), pa.int64()) for name in ("bytes_sent", "bytes_dropped"))
        return pc.coalesce(sent, dropped) if sent.null_count else sent

    def _recognises(self, head: Head) -> bool:
        logs = [log for record in head.json_objects if (log := self._log_of(record)) is not None]
        if not logs:
            return False
        payloads = [record.get(self.payload) for record in head.json_objects]
        if any(isinstance(payload, str) for payload in payloads) and not any(isinstance(one, dict) for one in payloads):
            advice = f"make objects of the texts, as with jq -c '.{self.payload} |= fromjson'"
            raise UnknownFormat(f"a Google VPC flow log whose {self.payload} is text", advice)
        if not any(log.endswith(_FLOWS) for log in logs) and len(head.data) < HEAD_BYTES:
            log = logs[0].replace("%2F", "/").rpartition("/")[2]
            raise OtherLog(f"a Google Cloud log, {log}", _NOTHING_ELSE)
        return True  # other logs may stand before the flows

    def _log_of(self, record: Mapping[str, Any]) -> str | None:
        """The log that an entry is of; None if it is no entry."""
        name = next((value for log in self.logs if isinstance(value := record.get(log), str)), "")
        payload = record.get(self.payload)
        is_flow = name.endswith(_FLOWS) and self.payload in record
        if not name and isinstance(payload, dict) and payload.keys() >= {"connection", "reporter"}:
            return _FLOWS
        return name if is_flow or _LOG.fullmatch(name) or (name and self.payload in record) else None


@dataclass(frozen=True)
class _Reporters:
    """Which records each kind of reporter reports."""

    src: Mask
    dest: Mask
    src_gateway: Mask
    dest_gateway: Mask

    @classmethod
    def of(cls, column: pa.DictionaryArray) -> _Reporters:
        return cls(*(is_text(column, reporter) for reporter in _REPORTERS))

    def reporter(self, whose: str, src: Mask, dest: Mask, src_gateway: Mask) -> Reporter:
        """Which records are left out as another one has their bytes.

        What a pod or a VM sends, it reports itself, so that all other reports of it are left out. So is a gateway's report of what
        a pod or a VM receives, which has its own; and of two gateways' that of the second.

        Args:
            whose: The value of the setting.
            src: Where a pod or a VM is the source, as far as the record tells.
            dest: The same of the destination.
            src_gateway: Where the source is behind a gateway.
        """
        if whose == "src":
            return Reporter(other=self.dest | self.dest_gateway)
        if whose == "dest":
            return Reporter(other=self.src | self.src_gateway)
        if whose == "all":
            return Reporter()
        other = (self.dest & src) | (self.src_gateway & dest) | (self.dest_gateway & (src | src_gateway))
        # Where the log has no metadata, only the user knows whether the source reports, too.
        return Reporter(other, sender=self.src & ~src, receiver=self.dest & ~src & ~dest)


def _with_flows(reader: Reader, logs: Sequence[str]) -> Reader:
    """The reader, which refuses a stream of entries that has no flow.

    Args:
        reader: Reads the entries.
        logs: What names their log. Where nothing does, they are not known to be of another one.
    """
    others = [f'"{log}"'.encode() for log in logs]

    def read(stream: BinaryIO, context: ReadContext) -> Iterator[Piece]:
        has_flows, is_empty = False, True
        for piece in reader(stream, context):
            has_flows, is_empty = has_flows or _may_have_flows(piece, others), False
            yield piece
            del piece  # and its text, before more is read
        if not (has_flows or is_empty):
            raise OtherLog("Google Cloud logs without a VPC flow log", _NOTHING_ELSE)

    return read


def _may_have_flows(piece: Piece, others: Sequence[bytes]) -> bool:
    if isinstance(piece, Batch):
        return piece.read > len(piece.left_out.get(OTHER_EVENT, ()))
    data = piece[1].data
    return any(mark in data for mark in (_FLOWS.encode(), b'"reporter"')) or not any(name in data for name in others)


def _projects(logs: pa.DictionaryArray) -> pa.DictionaryArray:
    """The projects that the names of logs have; null where one has none."""
    found = [_PROJECT.match(name) for name in logs.dictionary.to_pylist()]
    return renamed(logs, Renaming.of([match and match[1] for match in found]))[0]


def _is_there(column: pa.DictionaryArray) -> Mask:
    return codes_of(column) >= 0


_SINK = _Entries("jsonPayload", ("logName",))
FORMATS = (
    _SINK.json("Google VPC Flow Logs, JSON"),
    _SINK.parquet("Google VPC Flow Logs, Parquet"),
    _Entries("json_payload", ("log_name", "log_id")).json("Google VPC Flow Logs, Log Analytics"),
)
