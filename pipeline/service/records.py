"""What a POST brings: an array of flow records, by the rules of `schema`, refused in the words of the contract.

Almost every body is fit, so all is checked while the JSON is parsed, by a decoder that is made from `schema.FIELDS`.
Only where that refuses a body is it read again, record by record, to say what is wrong. Nothing is accepted that the
decoder refuses.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from pipeline.readers.syntax.jsonobjects import JsonObject, integer_of, object_of
from pipeline.schema import (
    FIELDS,
    MAX_NAME_LENGTH,
    PARTITION_ORDER,
    Field,
    ZeroBytes,
    minimum_of,
    rule_of_maximum,
    rule_of_minimum,
)
from pipeline.values import INT64_MAX, is_utf8

#: The contract's order: in it the first problem of a record is looked for, and an answer's fields stand.
NAMES = ("src_app", "dest_app", "vpc_id", "bytes_tx", "bytes_rx", "hour")
#: The most records that one request may bring.
MAX_RECORDS = 100_000
#: The most different hours. Each is a file that the move into `flows/` makes anew; forty days' hours at once are no traffic.
MAX_HOURS = 1_000

_IN_ORDER = tuple(sorted(FIELDS, key=lambda field: NAMES.index(field.name)))
#: In a record that has its six keys once, no other key, and no escapes: those of the keys, and those of the texts.
_QUOTES = 2 * len(FIELDS) + 2 * sum(pa.types.is_string(field.type) for field in FIELDS)
_QUOTED_NAMES = [f'"{name}"'.encode() for name in NAMES]

_encode_lines = msgspec.json.Encoder().encode_lines
_Line: Any = msgspec.defstruct("Line", [(name, str if name in PARTITION_ORDER else int) for name in NAMES], gc=False)
_decode_lines = msgspec.json.Decoder(_Line).decode_lines


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a body.

    Attributes:
        text: A sentence.
        record: The index of the record, from 0; None where it is the body as a whole.
        field: The field, if it is one.
    """

    text: str
    record: int | None = None
    field: str | None = None


class Unfit(Exception):
    """A body that is refused, with at least one problem, in the order in which they stand there."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


class TooManyRecords(Exception):
    """A body that has more records than `MAX_RECORDS`."""


class Checker:
    """Reads bodies.

    Args:
        zero_bytes: Whether a record may have 0 bytes in a direction.
    """

    def __init__(self, zero_bytes: ZeroBytes) -> None:
        self._zero_bytes = zero_bytes
        types = [(field.name, _type_of(field, zero_bytes)) for field in _IN_ORDER]
        record: Any = msgspec.defstruct("Record", types, gc=False)
        self._decoder = msgspec.json.Decoder(list[record])

    async def read(self, body: bytes) -> list[Any]:
        """The records of a body; each has the six fields as attributes.

        Raises:
            Unfit: It is refused as a whole.
            TooManyRecords: It is too long an array.
        """
        try:
            records = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unfit = Problem(f"The request data cannot be read: {error}")
            raise Unfit(await asyncio.to_thread(self.problems, body) or [unfit]) from None
        if not records:
            raise Unfit([Problem("No flowlog found")])
        if len(records) > MAX_RECORDS:
            raise TooManyRecords
        if not _has_each_key_once(body, len(records)) and (problems := await asyncio.to_thread(self.problems, body)):
            raise Unfit(problems)
        return records

    def problems(self, body: bytes) -> list[Problem]:
        """All that is wrong with a body, from its start to its end or to where it is no JSON any more.

        Raises:
            TooManyRecords: It is too long an array.
        """
        return list(self._problems(body))

    def _problems(self, body: bytes) -> Iterator[Problem]:
        try:
            for index, record in enumerate(_values(body.decode())):
                if index == MAX_RECORDS:
                    raise TooManyRecords
                yield from self._problems_of(record, index)
        except UnicodeDecodeError:
            yield Problem("The request data must be valid UTF-8")
        except json.JSONDecodeError as error:
            unfit = f"The request data is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno})"
            yield Problem(unfit if body.strip() not in (b"", b"null") else "Missing request data")
        except RecursionError:
            yield Problem("The request data is nested too deeply")

    def _problems_of(self, record: Any, index: int) -> Iterator[Problem]:
        if not isinstance(record, JsonObject):
            yield Problem("The record must be a JSON object", index)
            return
        for field in _IN_ORDER:
            if broken := self._rule_broken(record, field):
                yield Problem(f"The {field.name} value {broken}", index, field.name)

    def _rule_broken(self, record: JsonObject, field: Field) -> str | None:
        if field.name in record.repeated:
            return "must be there once"
        value = record.get(field.name)
        if pa.types.is_string(field.type):
            return _rule_broken_by_text(value)
        if type(value) is not int:  # bool is a subclass of int, and 5.0 is not an integer here
            return "must be an integer"
        if value < (minimum := minimum_of(field, self._zero_bytes)):
            return rule_of_minimum(minimum)
        if field.maximum is not None and value > field.maximum:
            return rule_of_maximum(field.maximum)
        return None if value <= INT64_MAX else "must fit into 64 bits"


def to_lines(records: Sequence[Any]) -> bytes:
    """Records as they go into the log: one JSON object a line, the six fields and nothing else."""
    return _encode_lines(records)


def read_lines(lines: bytes) -> list[Any]:
    """The records of lines of the log, which were checked before they got there; other keys are ignored.

    Raises:
        msgspec.DecodeError: They are none.
    """
    return _decode_lines(lines)


def _type_of(field: Field, zero_bytes: ZeroBytes) -> Any:
    minimum = minimum_of(field, zero_bytes)
    if pa.types.is_string(field.type):
        return Annotated[str, msgspec.Meta(min_length=minimum, max_length=MAX_NAME_LENGTH)]
    return Annotated[int, msgspec.Meta(ge=minimum, le=INT64_MAX if field.maximum is None else field.maximum)]


def _has_each_key_once(body: bytes, records: int) -> bool:
    """Whether no record has one of its keys twice, where that can be told from afar; the decoder takes the last of two.

    Each record is known to have each key. Without escapes it has at least `_QUOTES` quotes then, and more if it has
    anything else. Failing that, no name is in quotes more often than there are records, nor hides in an escape (the
    names are ASCII).
    """
    if body.count(b'"') == _QUOTES * records and b"\\" not in body:
        return True
    return b"\\u00" not in body and all(body.count(name) == records for name in _QUOTED_NAMES)


def _rule_broken_by_text(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return "must be a string"
    if not is_utf8(value):
        return "must be valid UTF-8"
    return None if len(value) <= MAX_NAME_LENGTH else f"must be at most {MAX_NAME_LENGTH} characters long"


def _no_constant(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no number", "", 0)


_DECODER = json.JSONDecoder(object_pairs_hook=object_of, parse_int=integer_of, parse_constant=_no_constant)
_GAP = re.compile(r"[ \t\n\r]*")


def _values(text: str) -> Iterator[Any]:
    """The values of a JSON array, one by one: a hostile body of millions must not stand in memory as Python values.

    Raises:
        json.JSONDecodeError: It is no array, or not whole.
    """

    def behind_gap(position: int) -> int:
        return _GAP.match(text, position).end()  # type: ignore[union-attr]  # it matches the empty string

    position = behind_gap(0)
    if text[position : position + 1] != "[":
        raise json.JSONDecodeError("it must be an array", text, position)
    position = behind_gap(position + 1)
    ended = text[position : position + 1] == "]"
    while not ended:
        value, position = _DECODER.raw_decode(text, position)
        yield value
        position = behind_gap(position)
        ended = text[position : position + 1] == "]"
        if not ended:
            if text[position : position + 1] != ",":
                raise json.JSONDecodeError("a comma or the array's end must follow", text, position)
            position = behind_gap(position + 1)
    if behind_gap(position + 1) < len(text):
        raise json.JSONDecodeError("nothing may follow the array", text, position + 1)
