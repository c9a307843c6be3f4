"""What is wrong with a body that the decoder refuses, record by record, in the words of the contract.

A body is looked at as it stands: values are made of the six fields alone, one record at a time, so that a hostile body of
nested or empty objects costs no more memory than its bytes, and `limits.MAX_TOKENS` bounds the time.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import pyarrow as pa

from pipeline.scalars import is_utf8
from pipeline.schema import FIELDS, MAX_NAME_LENGTH, Field, ZeroBytes, minimum_of, rule_of_maximum, rule_of_minimum
from pipeline.service import limits
from pipeline.service.problem import Detail, problem
from pipeline.syntax.jsonobjects import integer_of

#: The contract's order: in it the first problem of a record is looked for, and an answer's fields stand.
NAMES = ("src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx", "hour")
FIELDS_IN_ORDER = tuple(sorted(FIELDS, key=lambda field: NAMES.index(field.name)))

_STRING = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"'
_SCALAR = re.compile(_STRING + rb"|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null")
_JSON_KEY = re.compile(rb"[ \t\n\r]*+(" + _STRING + rb")[ \t\n\r]*+:[ \t\n\r]*+")
#: What tells where an array or an object ends. A quote alone begins a string without an end.
_TOKEN = re.compile(_STRING + rb'|[\[\]{}"]')
_GAP = re.compile(rb"[ \t\n\r]*+")
_NOTHING = re.compile(rb"\s*+(?:null\s*+)?")
_INTEGER = re.compile(rb"-?[0-9]+")
#: How long a name can be as it is written, with each character as two escapes; and how long a key.
_LONGEST_NAME = 12 * MAX_NAME_LENGTH + 2
_LONGEST_KEY = 6 * max(map(len, NAMES)) + 2
_UTF8_PIECE = 1 << 20

_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")
#: The decoder goes so deep; nothing deeper need be looked at.
_MAX_DEPTH = 1_000

_skim = msgspec.json.Decoder(msgspec.Raw).decode


class _NoJson(Exception):
    def __init__(self, why: str, position: int) -> None:
        super().__init__(why, position)
        self.why = why
        self.position = position


class _TooMuch(Exception):
    pass


@dataclass(slots=True)
class _Record:
    """A record's fields as they are written, and the fields that it has twice."""

    values: dict[str, bytes] = field(default_factory=dict)
    repeated: set[str] = field(default_factory=set)


def explain(body: bytes | bytearray, zero_bytes: ZeroBytes, max_records: int) -> tuple[list[Detail], int]:
    """What is wrong with a body, from its start to its end or to where it is not JSON any more.

    Returns:
        The first details, up to `limits.MAX_DETAILS`, and how many more there are; none where nothing is wrong.

    Raises:
        Problem: The array has too many records.
    """
    found = _details(body, zero_bytes, max_records)
    return list(islice(found, limits.MAX_DETAILS)), sum(1 for _ in found)


def _details(body: bytes | bytearray, zero_bytes: ZeroBytes, max_records: int) -> Iterator[Detail]:
    if not _is_utf8(body):
        yield Detail("The request data must be valid UTF-8")
        return
    try:
        for index, record in enumerate(_Walk(body).records()):
            if index == max_records:
                raise problem(413, f"The request data must have at most {max_records} records")
            if record is None:
                yield Detail("The record must be a JSON object", index)
                continue
            for wanted in FIELDS_IN_ORDER:
                if broken := _rule_broken(record, wanted, zero_bytes):
                    yield Detail(f"The {wanted.name} value {broken}", index, wanted.name)
    except _NoJson as error:
        told = f"The request data is not valid JSON: {error.why} ({_place(body, error.position)})"
        yield Detail("Missing request data" if _NOTHING.fullmatch(body) else told)
    except RecursionError:
        yield Detail("The request data is nested too deeply")
    except _TooMuch:
        yield Detail("The request data has more keys and brackets than are looked at for what is wrong")


class _Walk:
    """Goes through a body, value by value."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._body = body
        self._at = 0
        self._left = limits.MAX_TOKENS

    def records(self) -> Iterator[_Record | None]:
        """The records of the array; None for each that is not an object."""
        if not self._is_next(b"["):
            raise _NoJson("it must be an array", self._at)
        ended = self._is_next(b"]")
        while not ended:
            if self._is_next(b"{"):
                yield self._record()
            else:
                self._skip()
                yield None
            ended = self._is_next(b"]")
            if not ended and not self._is_next(b","):
                raise _NoJson("a comma or the array's end must follow", self._at)
        self._skip_gap()
        if self._at < len(self._body):
            raise _NoJson("nothing may follow the array", self._at)

    def _record(self) -> _Record:
        record = _Record()
        ended = self._is_next(b"}")
        while not ended:
            key = _JSON_KEY.match(self._body, self._at)
            if key is None:
                raise _NoJson("a key in quotes and a colon must follow", self._at)
            self._at = start = key.end()
            self._skip()
            name = _name_of(key[1])
            if name in record.values:
                record.repeated.add(name)
            elif name is not None:
                # A value that is longer is wrong, however it goes on.
                record.values[name] = bytes(self._body[start : min(self._at, start + _LONGEST_NAME + 1)])
            ended = self._is_next(b"}")
            if not ended and not self._is_next(b","):
                raise _NoJson("a comma or the object's end must follow", self._at)
        return record

    def _skip(self) -> None:
        """Goes behind the value that comes next."""
        self._spend()
        self._skip_gap()
        scalar = _SCALAR.match(self._body, self._at)
        if scalar is not None:
            self._at = scalar.end()
        elif self._body[self._at : self._at + 1] in (b"[", b"{"):
            self._skip_nested()
        else:
            raise _NoJson("a value must follow", self._at)

    def _skip_nested(self) -> None:
        start, depth = self._at, 0
        for token in islice(_TOKEN.finditer(self._body, start), self._left):
            self._left -= 1
            text = token[0]
            if text in _OPENING:
                depth += 1
                if depth > _MAX_DEPTH:
                    raise RecursionError
            elif text in _CLOSING:
                depth -= 1
                if depth == 0:
                    self._at = token.end()
                    break
            elif text == b'"':
                raise _NoJson("a text does not end", token.start())
        else:
            raise _TooMuch if self._left == 0 else _NoJson("a value does not end", start)
        try:
            _skim(memoryview(self._body)[start : self._at])
        except msgspec.DecodeError:
            raise _NoJson("a value in a record is none", start) from None

    def _is_next(self, mark: bytes) -> bool:
        """Goes behind a mark, if that comes next."""
        self._skip_gap()
        found = self._body.startswith(mark, self._at)
        self._at += found
        return found

    def _skip_gap(self) -> None:
        self._at = _GAP.match(self._body, self._at).end()  # type: ignore[union-attr]  # it matches the empty string

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch


def _name_of(key: bytes) -> str | None:
    """The field that a key in quotes names; None where there is no such field."""
    if len(key) > _LONGEST_KEY:
        return None
    name = json.loads(key) if b"\\" in key else key[1:-1].decode()
    return name if name in NAMES else None


def _rule_broken(record: _Record, wanted: Field, zero_bytes: ZeroBytes) -> str | None:
    if wanted.name in record.repeated:
        return "must be there once"
    written = record.values.get(wanted.name, b"null")
    if pa.types.is_string(wanted.type):
        return _rule_broken_by_text(written)
    if not _INTEGER.fullmatch(written):
        return "must be an integer"
    value = integer_of(written.decode())
    if value < (minimum := minimum_of(wanted, zero_bytes)):
        return rule_of_minimum(minimum)
    return rule_of_maximum(wanted.maximum) if value > wanted.maximum else None


def _rule_broken_by_text(written: bytes) -> str | None:
    if not written.startswith(b'"'):
        return "must be a string"
    if len(written) <= _LONGEST_NAME:
        value = json.loads(written)
        if not value:
            return "must be a string"
        if not is_utf8(value):
            return "must be valid UTF-8"
        if len(value) <= MAX_NAME_LENGTH:
            return None
    return f"must be at most {MAX_NAME_LENGTH} characters long"


def _is_utf8(body: bytes | bytearray) -> bool:
    decode = codecs.getincrementaldecoder("utf-8")().decode
    view = memoryview(body)
    try:
        for start in range(0, len(body), _UTF8_PIECE):
            decode(view[start : start + _UTF8_PIECE])
        decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _place(body: bytes | bytearray, position: int) -> str:
    start = body.rfind(b"\n", 0, position) + 1
    line = 1 + body.count(b"\n", 0, position)
    return f"line {line}, column {1 + len(body[start:position].decode(errors='replace'))}"
