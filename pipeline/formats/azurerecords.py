"""The records of Azure's flow logs: one a minute and interface, each with many flows, of which each is a text (a "tuple").

Azure writes `{"records": […]}`, and writes it anew as it grows. Exports have a record or a document on each line, or in an array.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, BinaryIO

import xxhash

from pipeline.kernel.jsonvalues import CutLines, cut_arrays
from pipeline.scalars import is_utf8
from pipeline.syntax.blocks import TextBlock, raw_text
from pipeline.syntax.jsonlines import DECODER, NOT_OBJECT, ONCE
from pipeline.syntax.jsonobjects import JsonObject
from pipeline.syntax.jsontext import JsonText, elements_in


class Layout(Enum):
    """A kind of flow log, whose tuples are written alike. The value is the category of its records."""

    VNET = "FlowLogFlowEvent"
    NSG = "NetworkSecurityGroupFlowEvent"


@dataclass(frozen=True)
class _Shape:
    """How the records of a kind of flow log are written.

    Attributes:
        around: The key of the object that has the flows.
        within: The key of what each of the flows has: groups of tuples.
        version: The keys that lead to the version of the tuples.
        versions: Those that are known.
    """

    around: str
    within: str
    version: tuple[str, ...]
    versions: tuple[str, ...]


_SHAPES = {
    Layout.VNET: _Shape("flowRecords", "flowGroups", ("flowLogVersion",), ("4",)),
    Layout.NSG: _Shape("properties", "flows", ("properties", "Version"), ("1", "2")),
}
#: What tells a record from all others, beside its time and its tuples.
_IDENTITY = ("flowLogGUID", "systemId", "macAddress", "targetResourceID", "resourceId")
#: What has the tuples; and how a record begins that Azure writes.
_TUPLES, _TIME = "flowTuples", re.compile(rb'\{"time":"([0-9TZ:.+-]+)(?=")')
_MOST_OUTLINES = 1 << 12
#: A record of a firewall that has a thousand new flows a second, each of which begins, goes on and ends.
_LONGEST_RECORD = 16 << 20
_RECORDS_AT_ONCE, _BYTES_AT_ONCE = 1 << 14, 1 << 20
_FORWARDED = re.compile(r"flow\.\d+")
_NETWORK = re.compile(r"/(?:virtualNetworks|networkInterfaces|networkSecurityGroups)/([^/]+)", re.IGNORECASE)
_NOT_TOO_DEEP = "must be less deeply nested"
_LINE_BREAKS = re.compile(r"[\r\n]+")


@dataclass(frozen=True)
class Group:
    """Some tuples of a record.

    Attributes:
        network: What the log is kept for, as a virtual network's name; "" where the record does not say.
        interface: The MAC address of the interface that reports them; "" where the record does not say.
        lines: The tuples, one a line.
        count: How many these are.
    """

    network: str
    interface: str
    lines: bytes
    count: int


@dataclass(frozen=True)
class FlowRecord:
    """A record of a flow log.

    Attributes:
        layout: How its tuples are written.
        groups: The tuples.
        key: A digest of its content; None where the record has no time, without which equal content tells nothing.
    """

    layout: Layout
    groups: list[Group]
    key: bytes | None

    @property
    def count(self) -> int:
        return sum(group.count for group in self.groups)


@dataclass(frozen=True)
class OtherRecord:
    """A record of another log, which counts as one row."""

    count: int = 1


@dataclass(frozen=True)
class UnfitRecord:
    """What is no record that can be read, and counts as one row.

    Attributes:
        field: The key that breaks a rule.
        rule: That rule.
        raw: The record as JSON.
    """

    field: str
    rule: str
    raw: str
    count: int = 1


AnyRecord = FlowRecord | OtherRecord | UnfitRecord


class _Misshapen(Exception):
    """A record is not written as those of its kind.

    Args:
        field: The key of what is unfit.
        rule: The rule that it breaks.
    """

    def __init__(self, field: str, rule: str) -> None:
        super().__init__(field, rule)
        self.field, self.rule = field, rule


def records_of(stream: BinaryIO) -> Iterator[list[AnyRecord]]:
    """The records of a stream, some of them together.

    Args:
        stream: Decompressed text.

    Raises:
        UnreadableSource: It is not whole JSON, as a file that is still being written; where each line has an object, a broken line is
            an unfit record.
    """
    outlines, found, size = _Outlines(), list[AnyRecord](), 0
    for block in JsonText(stream, _LONGEST_RECORD).values(1, around=("records",), keeps_torn=True):
        for record in _records_on(block, outlines):
            found.append(record)
            if len(found) == _RECORDS_AT_ONCE:
                yield found
                found, size = [], 0
        size += len(block.data)
        if size >= _BYTES_AT_ONCE:  # around a broken line, blocks have a record each
            yield found
            found, size = [], 0
    yield found


def _records_on(block: TextBlock, outlines: _Outlines) -> Iterator[AnyRecord]:
    """The records of a block of documents. Nearly all of their text is tuples, of which no Python objects need be made."""
    cut, first = cut_arrays(block.data, _TUPLES), 0
    for number, (line, count) in enumerate(cut.lines, block.first_line):
        if count >= 0:
            tuples = _CutTuples(cut, first)
            records = outlines.records_of(line, tuples)
            first += count
            if (
                records is not None
                and tuples.taken == count
                and not any(isinstance(record, UnfitRecord) for record in records)
            ):
                yield from records
                continue
        yield from _records_of_line(block.line(number))  # whoever looks at the record must see it whole


def _records_of_line(line: bytes) -> list[AnyRecord]:
    try:
        return [_record_of(record) for record in records_in(_decoded(line))]
    except json.JSONDecodeError:
        return [UnfitRecord("", NOT_OBJECT, raw_text(line))]
    except RecursionError:
        return [_alone(record) for record in elements_in(line, ("records",))]


def _alone(line: bytes) -> AnyRecord:
    """A record that may be nested too deeply, of a document whose others are not."""
    try:
        return _record_of(_decoded(line))
    except RecursionError:
        return UnfitRecord("", _NOT_TOO_DEEP, raw_text(line))


class _Outlines:
    """Remembers the outlines of the records on lines of their own. An interface's records say the same each minute, but for the time
    and the tuples.
    """

    def __init__(self) -> None:
        self._known: dict[bytes, _Outline] = {}

    def records_of(self, line: bytes, tuples: _CutTuples) -> list[AnyRecord] | None:
        """The records on a line out of which the tuples were cut; None if the line is torn, or nested too deeply."""
        begun = _TIME.match(line)
        rest = line[begun.end() :] if begun else b""
        if begun and (outline := self._known.get(rest)):
            return [outline.filled(begun[1].decode(), tuples)]
        try:
            value = _decoded(line)
            values = records_in(value)
            records = [_record_of(record, tuples) for record in values]
        except (json.JSONDecodeError, RecursionError):
            return None
        if begun and values == [value] and isinstance(records[0], FlowRecord):
            if len(self._known) == _MOST_OUTLINES:
                self._known.clear()
            self._known[rest] = _outline_of(value, records[0].layout, is_cut=True)
        return records


def _decoded(line: bytes) -> Any:
    return DECODER.decode(line.decode("utf-8", "surrogateescape"))


@dataclass
class _CutTuples:
    """The tuples that were cut out of a line.

    Attributes:
        cut: The lines.
        first: The number of the line's first array among those of all lines.
        taken: How many arrays were asked for.
    """

    cut: CutLines
    first: int
    taken: int = 0

    def take(self, number: int) -> tuple[bytes, int]:
        """The tuples of an array of the line, one a line, and how many they are."""
        self.taken += 1
        place = self.first + number
        return self.cut.texts[self.cut.ends[place] : self.cut.ends[place + 1]], self.cut.counts[place]


def records_in(value: Any) -> list[Any]:
    """The records of a document; of any other value, itself."""
    records = value.get("records") if isinstance(value, dict) else None
    is_ambiguous = isinstance(value, JsonObject) and "records" in value.repeated
    return records if isinstance(records, list) and not is_ambiguous else [value]


def layout_of(record: Mapping[str, Any]) -> Layout | None:
    """The kind of flow log that a record is of: by its category or, where it has none, by its shape. None for other logs."""
    if "category" in record:
        return next((layout for layout in Layout if layout.value == record["category"]), None)
    return next((layout for layout in Layout if _is_shaped(record, layout)), None)


def _is_shaped(record: Mapping[str, Any], layout: Layout) -> bool:
    inner = record.get(_SHAPES[layout].around)
    if isinstance(inner, dict) and isinstance(inner.get("flows"), list):
        return True
    return str(record.get("operationName")).startswith(layout.value) and bool(_forwarded(record))


def _forwarded(record: Mapping[str, Any]) -> list[Any]:
    """The tuples of a record of which a forwarder has made keys of its own: `flow.0`, `flow.1`."""
    return [record[key] for key in record if key.startswith("flow.") and _FORWARDED.fullmatch(key)]


def _record_of(value: Any, cut: _CutTuples | None = None) -> AnyRecord:
    """A record.

    Args:
        value: As JSON has it.
        cut: Has the tuples, where these were cut out: the number of an array stands for it.
    """
    try:
        return _known_record(value, cut)
    except _Misshapen as unfit:
        return UnfitRecord(unfit.field, unfit.rule, raw_text(json.dumps(value).encode()))


def _known_record(record: Any, cut: _CutTuples | None) -> AnyRecord:
    if not isinstance(record, JsonObject):
        raise _Misshapen("", NOT_OBJECT)
    if record.repeated:
        raise _Misshapen(min(record.repeated), ONCE)
    if layout := layout_of(record):
        return _flow_record(record, layout, cut)
    if isinstance(record.get("category"), str):
        return OtherRecord()
    raise _Misshapen("", "must be a record of an Azure flow log")


def _flow_record(record: JsonObject, layout: Layout, cut: _CutTuples | None) -> FlowRecord:
    return _outline_of(record, layout, cut is not None).filled(str(record.get("time")), cut)


@dataclass(frozen=True)
class _Outline:
    """A record of a flow log without its time and its tuples.

    Attributes:
        layout: How its tuples are written.
        has_time: Whether it has a time.
        identity: What tells it from others of that time.
        network: What the log is kept for.
        groups: The interface of each group, what tells the group from others, and its tuples, or the number that stands for them.
    """

    layout: Layout
    has_time: bool
    identity: str
    network: str
    groups: list[tuple[str, bytes, Any]]

    def filled(self, time: str, cut: _CutTuples | None) -> FlowRecord:
        """The record of that time, with its tuples."""
        digest, groups = xxhash.xxh3_128(), []
        digest.update(_encoded(f"{time}\0{self.identity}"))
        for interface, mark, tuples in self.groups:
            lines, count = cut.take(tuples) if cut and isinstance(tuples, int) else (_lines_of(tuples), len(tuples))
            groups.append(Group(self.network, interface, lines, count))
            digest.update(mark)
            digest.update(lines)
        return FlowRecord(self.layout, groups, digest.digest() if self.has_time else None)


def _outline_of(record: JsonObject, layout: Layout, is_cut: bool) -> _Outline:
    identity = "\0".join([str(record.get(name)) for name in _IDENTITY])
    network = _network_of(record)
    groups = [
        (interface, _encoded(f"\0{rules}\0{interface}\0"), tuples)
        for rules, interface, tuples in _tuples_of(record, layout, is_cut)
    ]
    return _Outline(layout, "time" in record, identity, network, groups)


def _network_of(record: Mapping[str, Any]) -> str:
    """The name of what the log is kept for, in small letters: Azure writes one name now in large letters and now in small ones."""
    found = _NETWORK.search(_text(record, "targetResourceID") or _text(record, "resourceId"))
    return found[1].lower() if found else ""


def _tuples_of(record: Mapping[str, Any], layout: Layout, is_cut: bool) -> Iterator[tuple[object, str, Any]]:
    """The tuples of each group, or the number that stands for them, with the names of its rules, and its interface."""
    interface, shape = _text(record, "macAddress"), _SHAPES[layout]
    if forwarded := _forwarded(record):
        yield record.get("rule"), interface, forwarded
        return
    _check_version(record, shape)
    for flow in _array(_cell(record, shape.around), "flows"):
        for group in _array(flow, shape.within):
            number = _cell(group, _TUPLES)
            tuples = number if is_cut and isinstance(number, int) else _array(group, _TUPLES)
            yield (flow.get("aclID"), flow.get("rule"), group.get("rule")), _text(group, "mac") or interface, tuples


def _cell(value: Any, key: str) -> Any:
    """What an object has under a key; None where it has nothing, or is none."""
    if not isinstance(value, JsonObject):
        return None
    if key in value.repeated:
        raise _Misshapen(key, ONCE)
    return value.get(key)


def _check_version(record: Mapping[str, Any], shape: _Shape) -> None:
    """The tuples of an unknown version may look as those of a known one, and say something else."""
    version: Any = record
    for key in shape.version:
        version = _cell(version, key)
    if version is not None and str(version) not in shape.versions:
        raise _Misshapen(".".join(shape.version), f"must be {' or '.join(shape.versions)}")


def _array(value: Any, key: str) -> list[Any]:
    found = _cell(value, key)
    if not isinstance(found, list):
        raise _Misshapen(key, "must be an array")
    return found


def _text(value: Mapping[str, Any], key: str) -> str:
    """A text of an object; "" where the object has none."""
    found = _cell(value, key)
    if found is not None and not (isinstance(found, str) and is_utf8(found)):
        raise _Misshapen(key, "must be text")
    return found or ""


def _lines_of(tuples: list[Any]) -> bytes:
    """Tuples, one a line. One that is no text, is blank, or has a line break is none, and is made a line that will be rejected."""
    try:
        lines = _encoded("\n".join(tuples) + "\n") if tuples else b""
    except TypeError:  # one is no text
        lines = b""
    if lines.count(b"\n") != len(tuples) or b"\r" in lines or b"\n\n" in lines or lines.startswith(b"\n"):
        shown = (found if isinstance(found, str) else json.dumps(found) for found in tuples)
        lines = _encoded("".join((_LINE_BREAKS.sub(" ", text) or " ") + "\n" for text in shown))
    return lines


def _encoded(text: str) -> bytes:
    """A text as UTF-8; of characters that are none, as bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")
