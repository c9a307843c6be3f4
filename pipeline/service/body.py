"""What a POST brings: an array of flow records, by the rules of `schema`, refused in the words of the contract.

Almost every body is fit, so all is checked while the JSON is parsed, by a decoder that is made from `schema.FIELDS`.
Only where that refuses a body is it read again, record by record, to say what is wrong. Nothing is accepted that the
decoder refuses.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from pipeline.schema import FIELDS, MAX_NAME_LENGTH, PARTITION_ORDER, Field, ZeroBytes, minimum_of
from pipeline.service.problems import FIELDS_IN_ORDER, NAMES, Problem, TooManyRecords, find_problems

__all__ = ["MAX_RECORDS", "NAMES", "Checker", "Problem", "TooManyRecords", "Unfit", "read_lines", "to_lines"]

#: The most records that one request may bring.
MAX_RECORDS = 100_000
#: Bodies from here on are decoded with a turn for everybody else in between.
_LONG = 1 << 20
#: The most different hours. Each is a file that the move into `flows/` makes anew; forty days' hours at once are no traffic.
MAX_HOURS = 1_000

#: In a record that has its six keys once, no other key, and no escapes: those of the keys, and those of the texts.
_QUOTES = 2 * len(FIELDS) + 2 * sum(pa.types.is_string(field.type) for field in FIELDS)
_QUOTED_NAMES = [f'"{name}"'.encode() for name in NAMES]

_encode_lines = msgspec.json.Encoder().encode_lines
_Line: Any = msgspec.defstruct("Line", [(name, str if name in PARTITION_ORDER else int) for name in NAMES], gc=False)
_decode_lines = msgspec.json.Decoder(_Line).decode_lines


class Unfit(Exception):
    """A body that is refused, with at least one problem, in the order in which they stand there, and how many more it has."""

    def __init__(self, problems: list[Problem], more: int = 0) -> None:
        super().__init__(problems, more)
        self.problems = problems
        self.more = more


class Checker:
    """Reads bodies.

    Args:
        zero_bytes: Whether a record may have 0 bytes in a direction.
    """

    def __init__(self, zero_bytes: ZeroBytes) -> None:
        self._zero_bytes: ZeroBytes = zero_bytes
        types = [(field.name, _type_of(field, zero_bytes)) for field in FIELDS_IN_ORDER]
        record: Any = msgspec.defstruct("Record", types, gc=False)
        self._decoder = msgspec.json.Decoder(list[record])
        self._turn = asyncio.Lock()  # of whoever has a long body decoded: the records of one at a time are in memory
        self._explaining = asyncio.Lock()  # one at a time: it takes the processor, and is for those who made a mistake

    async def read(self, body: bytes | bytearray) -> list[Any]:
        """The records of a body; each has the six fields as attributes.

        Raises:
            Unfit: It is refused as a whole.
            TooManyRecords: It is too long an array.
        """
        if len(body) > _LONG:
            async with self._turn:
                await asyncio.sleep(0)
        if body.count(b"{") > MAX_RECORDS:  # too many, or braces in texts and values: counted before they take memory
            await self._refuse_problems(body)
        try:
            records = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            unfit = Problem(f"The request data cannot be read: {error}")
            problems, more = await self._explain(body)
            raise Unfit(problems or [unfit], more) from None
        if records and not _has_each_key_once(body, len(records)):
            await self._refuse_problems(body)
        if not records:
            raise Unfit([Problem("No flowlog found")])
        return records

    def problems(self, body: bytes | bytearray) -> list[Problem]:
        """What is wrong with a body: the first of its problems, up to `limits.MAX_PROBLEMS`.

        Raises:
            TooManyRecords: It is too long an array.
        """
        return find_problems(body, self._zero_bytes, MAX_RECORDS)[0]

    async def _refuse_problems(self, body: bytes | bytearray) -> None:
        problems, more = await self._explain(body)
        if problems:
            raise Unfit(problems, more)

    async def _explain(self, body: bytes | bytearray) -> tuple[list[Problem], int]:
        async with self._explaining:
            return await asyncio.to_thread(find_problems, body, self._zero_bytes, MAX_RECORDS)


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
    return Annotated[int, msgspec.Meta(ge=minimum, le=field.maximum)]


def _has_each_key_once(body: bytes | bytearray, records: int) -> bool:
    """Whether no record has one of its keys twice, where that can be told from afar; the decoder takes the last of two.

    Each record is known to have each key. Without escapes it has at least `_QUOTES` quotes then, and more if it has
    anything else. Failing that, no name is in quotes more often than there are records, nor hides in an escape (the
    names are ASCII).
    """
    if body.count(b'"') == _QUOTES * records and b"\\" not in body:
        return True
    return b"\\u00" not in body and all(body.count(name) == records for name in _QUOTED_NAMES)
