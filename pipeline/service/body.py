"""The body of a POST: an array of flow records, by the rules of `schema`, refused in the words of the contract.

Almost every body is good, so all is checked while the JSON is parsed, by a decoder that is made from `schema.FIELDS`. Only
a body that the decoder refuses is read again, record by record, to say what is wrong (`explain`); it is never accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import pyarrow as pa

from pipeline.schema import FIELDS, MAX_NAME_LENGTH, PARTITION_ORDER, Field, ZeroBytes, minimum_of
from pipeline.service.explain import FIELDS_IN_ORDER, NAMES, explain
from pipeline.service.problem import Problem, problem

#: The most records that one request may bring.
MAX_RECORDS = 100_000
#: Longer bodies are decoded one at a time, with a turn for all other requests in between.
_LONG = 1 << 20
#: The most different hours. Each is a file that a flush makes anew; the hours of forty days at once are not traffic.
MAX_HOURS = 1_000

#: How many quotes a record has that has its six keys once, no other key and no escape.
_QUOTES = 2 * len(FIELDS) + 2 * sum(pa.types.is_string(field.type) for field in FIELDS)
_QUOTED_NAMES = [f'"{name}"'.encode() for name in NAMES]

_encode_lines = msgspec.json.Encoder().encode_lines
_Line: Any = msgspec.defstruct("Line", [(name, str if name in PARTITION_ORDER else int) for name in NAMES], gc=False)
_decode_lines = msgspec.json.Decoder(_Line).decode_lines


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
        self._turn = asyncio.Lock()  # to have a long body decoded: the records of one at a time are in memory
        self._explaining = asyncio.Lock()  # one at a time: explaining takes the processor, for a client's mistake

    async def read(self, body: bytes | bytearray) -> list[Any]:
        """The records of a body; each has the six fields as attributes.

        Raises:
            Problem: The body is refused as a whole.
        """
        if len(body) > _LONG:
            async with self._turn:
                await asyncio.sleep(0)
        if body.count(b"{") > MAX_RECORDS:  # too many, or braces in texts and values: counted before they take memory
            await self._refuse_if_wrong(body)
        try:
            records = self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            await self._refuse_if_wrong(body)
            raise problem(400, f"The request data cannot be read: {error}") from None
        if not records:
            raise problem(400, "No flowlog found")
        if not _has_each_key_once(body, len(records)):
            await self._refuse_if_wrong(body)
        return records

    async def _refuse_if_wrong(self, body: bytes | bytearray) -> None:
        async with self._explaining:
            details, more = await asyncio.to_thread(explain, body, self._zero_bytes, MAX_RECORDS)
        if details:
            raise Problem(400, details, more=more)


def to_lines(records: Sequence[Any]) -> bytes:
    """Records as they stand in the log: a JSON object a line, with the six fields and nothing else."""
    return _encode_lines(records)


def read_lines(lines: bytes) -> list[Any]:
    """The records of an entry's lines, which were checked before they were written; other keys are ignored.

    Raises:
        msgspec.DecodeError: The lines are not records.
    """
    return _decode_lines(lines)


def _type_of(field: Field, zero_bytes: ZeroBytes) -> Any:
    minimum = minimum_of(field, zero_bytes)
    if pa.types.is_string(field.type):
        return Annotated[str, msgspec.Meta(min_length=minimum, max_length=MAX_NAME_LENGTH)]
    return Annotated[int, msgspec.Meta(ge=minimum, le=field.maximum)]


def _has_each_key_once(body: bytes | bytearray, records: int) -> bool:
    """Whether no record has one of the six keys twice, as far as counting tells; False has the body read once more.

    A record with two values for a field is ambiguous: the decoder would take the last, another reader may take the first.
    The job rejects such a row of a file, so the service refuses it too, and guesses neither.

    The decoder has seen each key in each record. A record without escapes then has at least `_QUOTES` quotes, and more if
    it has anything else. Where that does not tell (a further key, an escape), a field's name must not stand in quotes more
    often than there are records, nor hide in an escape: the names are ASCII. The first count is eight times as fast.
    """
    if body.count(b'"') == _QUOTES * records and b"\\" not in body:
        return True
    return b"\\u00" not in body and all(body.count(name) == records for name in _QUOTED_NAMES)
