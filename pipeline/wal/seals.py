"""Seals: the ends by which JSON objects prove themselves, whatever has become of the bytes around them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pipeline.digests import digest_of_bytes

#: A name in a record cannot look like a seal: in a name, quotes are escaped.
_SEAL = re.compile(rb',"bytes":([0-9]{1,12}),"xxh3":"([0-9a-f]{32})"\}{1,2}\n')


def sealed(text: bytes, end: bytes) -> bytes:
    """An open JSON object with its seal: its length, its digest, and its end."""
    told = text + b',"bytes":%d' % len(text)
    return told + b',"xxh3":"' + digest_of_bytes(told).encode() + b'"' + end


def proven(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Where some bytes have sealed objects that are as they were: the start of each, the start of its seal, and its end.

    Other bytes may stand before, between and behind these objects.
    """
    end = 0
    view = memoryview(content)
    for seal in _SEAL.finditer(content):
        start = seal.start() - int(seal[1])
        if start >= end and digest_of_bytes(view[start : seal.end(1)]).encode() == seal[2]:
            end = seal.end()
            yield start, seal.start(), end
