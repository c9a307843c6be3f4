"""A record of Azure's flow logs: which kind of log it is of, and the flows in it, each a text (a "tuple").

The tuples may be cut out of a record before it is parsed (see `azurerecords`): nearly all of its text is theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import xxhash

from pipeline.kernel.jsonvalues import CutLines
from pipeline.scalars import is_utf8
from pipeline.syntax.blocks import raw_text
from pipeline.syntax.jsonlines import NOT_OBJECT, ONCE
from pipeline.syntax.jsonobjects import JsonObject


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
#: The key of the tuples.
TUPLES = "flowTuples"
_FORWARDED = re.compile(r"flow\.\d+")
_NETWORK = re.compile(r"/(?:virtualNetworks|networkInterfaces|networkSecurityGroups)/([^/]+)", re.IGNORECASE)
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


@dataclass
class CutTuples:
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


def record_of(value: Any, cut: CutTuples | None = None) -> AnyRecord:
    """A record.

    Args:
        value: As JSON has it.
        cut: Has the tuples, where these were cut out: the number of an array stands for it.
    """
    try:
        return _known_record(value, cut)
    except _Misshapen as unfit:
        return UnfitRecord(unfit.field, unfit.rule, raw_text(json.dumps(value).encode()))


def _known_record(record: Any, cut: CutTuples | None) -> AnyRecord:
    if not isinstance(record, JsonObject):
        raise _Misshapen("", NOT_OBJECT)
    if record.repeated:
        raise _Misshapen(min(record.repeated), ONCE)
    if layout := layout_of(record):
        return _flow_record(record, layout, cut)
    if isinstance(record.get("category"), str):
        return OtherRecord()
    raise _Misshapen("", "must be a record of an Azure flow log")


def _flow_record(record: JsonObject, layout: Layout, cut: CutTuples | None) -> FlowRecord:
    return outline_of(record, layout, cut is not None).filled(str(record.get("time")), cut)


@dataclass(frozen=True)
class Outline:
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

    def filled(self, time: str, cut: CutTuples | None) -> FlowRecord:
        """The record of that time, with its tuples."""
        digest, groups = xxhash.xxh3_128(), []
        digest.update(_encoded(f"{time}\0{self.identity}"))
        for interface, mark, tuples in self.groups:
            lines, count = cut.take(tuples) if cut and isinstance(tuples, int) else (_lines_of(tuples), len(tuples))
            groups.append(Group(self.network, interface, lines, count))
            digest.update(mark)
            digest.update(lines)
        return FlowRecord(self.layout, groups, digest.digest() if self.has_time else None)


def outline_of(record: JsonObject, layout: Layout, is_cut: bool) -> Outline:
    """The outline of a record that `record_of` can read; with `is_cut`, of one out of which the tuples were cut."""
    identity = "\0".join([str(record.get(name)) for name in _IDENTITY])
    network = _network_of(record)
    groups = [
        (interface, _encoded(f"\0{rules}\0{interface}\0"), tuples)
        for rules, interface, tuples in _tuples_of(record, layout, is_cut)
    ]
    return Outline(layout, "time" in record, identity, network, groups)


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
            number = _cell(group, TUPLES)
            tuples = number if is_cut and isinstance(number, int) else _array(group, TUPLES)
            yield (flow.get("aclID"), flow.get("rule"), group.get("rule")), _text(group, "mac") or interface, tuples


def _cell(value: Any, key: str) -> Any:
    """What an object has under a key; None where the object has no such key, or where the value is not an object."""
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
    """Tuples, one a line. One that is not a text, is blank, or has a line break becomes a line that will be rejected."""
    try:
        lines = _encoded("\n".join(tuples) + "\n") if tuples else b""
    except TypeError:  # one is no text
        lines = b""
    if lines.count(b"\n") != len(tuples) or b"\r" in lines or b"\n\n" in lines or lines.startswith(b"\n"):
        shown = (found if isinstance(found, str) else json.dumps(found) for found in tuples)
        lines = _encoded("".join((_LINE_BREAKS.sub(" ", text) or " ") + "\n" for text in shown))
    return lines


def _encoded(text: str) -> bytes:
    """A text as UTF-8; half of a surrogate pair becomes bytes that are not UTF-8."""
    return text.encode("utf-8", "surrogatepass")
