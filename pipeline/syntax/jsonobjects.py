"""JSON objects as Python values that do not lose what is wrong with them: keys that are there twice, huge numbers."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any


class JsonObject(dict[str, Any]):
    """A JSON object that remembers which keys it has more than once: their values are ambiguous."""

    repeated: frozenset[str] = frozenset()


def object_of(pairs: list[tuple[str, Any]]) -> JsonObject:
    """The object that these pairs make: an `object_pairs_hook`."""
    decoded = JsonObject(pairs)
    if len(decoded) < len(pairs):
        decoded.repeated = frozenset(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
    return decoded


def integer_of(digits: str) -> int:
    """A number: a `parse_int`. Python refuses to convert more than 4,300 digits; no such number fits into 64 bits anyway."""
    if len(digits) <= 4300:
        return int(digits)
    return -(2**64) if digits.startswith("-") else 2**64


def value_of(data: bytes) -> Any:
    """A JSON value as the json module reads it, with `integer_of`. Bytes that are not UTF-8 become lone surrogates.

    Raises:
        json.JSONDecodeError: It is not JSON.
        RecursionError: It is nested more deeply than Python can go.
    """
    return json.loads(data.decode("utf-8", "surrogateescape"), parse_int=integer_of)
