"""Compressed raw files: found by their first bytes, never by their names.

Intel's ISA-L reads gzip with any number of members, more than twice as fast as zlib; Arrow's streams read zstd with any
number of frames and bzip2. All check the checksums that these formats carry, and fail on a stream that stops short,
which is what "a source counts whole or not at all" rests on.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import pyarrow as pa
from isal import igzip, igzip_lib, isal_zlib

from pipeline.errors import UnknownFormat, UnreadableSource

#: First bytes -> the name of the codec. RFC 1952 (gzip), RFC 8878 (zstd), the bzip2 file format.
_GZIP = b"\x1f\x8b"
_CODECS = {_GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_UNSUPPORTED = {b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4", b"7z\xbc\xaf\x27\x1c": "7z"}
_MAGIC_BYTES = 6
#: So often may a file be packed: twice is met, and more is a file that unpacks to itself.
_MOST_TIMES = 4
#: What a skippable frame starts with, but for four bits: zstd and lz4 have the same (RFC 8878, section 3.1.2). It is
#: followed by four bytes of length; pzstd writes one before each frame.
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_BUFFER_BYTES = 1 << 18
_GZIP_WINDOW = 16 + 15  # as zlib has it: the largest window, with gzip's header and trailer


def decompressed(raw: BinaryIO) -> BinaryIO:
    """The content of a raw file, whatever it is compressed with, and however often.

    Firehose, for one, packs what CloudWatch Logs has packed before.

    Args:
        raw: The file, seekable, at its start.

    Returns:
        `raw` itself where it is not compressed.

    Raises:
        UnknownFormat: It is compressed or packed in a way that flowlog does not read.
    """
    magic = _magic(raw)
    content, times = raw, 0
    while codec := _codec_of(magic):
        if times == _MOST_TIMES:
            raise UnknownFormat(f"a file that is packed more than {_MOST_TIMES} times", "unpack it")
        unpacked = cast("BinaryIO", _Gunzipped(content) if codec == "gzip" else _buffered(_Inflated(content, codec)))
        magic = unpacked.read(_MAGIC_BYTES)
        content, times = cast("BinaryIO", _Again(magic, unpacked)), times + 1
    return content


def _codec_of(magic: bytes) -> str | None:
    """The codec of a stream that starts so; None if it is not compressed.

    Raises:
        UnknownFormat: It is compressed or packed in a way that flowlog does not read.
    """
    if not magic.startswith((*_CODECS, *_UNSUPPORTED)):
        return None
    for signature, name in _UNSUPPORTED.items():
        if magic.startswith(signature):
            raise UnknownFormat(f"a {name} file", "unpack it, or pack it with gzip, zstd or bzip2")
    return next((codec for signature, codec in _CODECS.items() if magic.startswith(signature)), None)


def _buffered(raw: io.RawIOBase) -> io.BufferedReader:
    return io.BufferedReader(raw, _BUFFER_BYTES)


def _magic(raw: BinaryIO) -> bytes:
    """The first bytes of a raw file, or those behind its skippable frames. The file is left at its start.

    Raises:
        UnreadableSource: There is nothing but skippable frames, or not even all of one.
    """
    magic = raw.read(_MAGIC_BYTES)
    while _SKIPPABLE.match(magic):
        rest = magic[4:] + raw.read(8 - len(magic))
        raw.seek(int.from_bytes(rest, "little"), io.SEEK_CUR)
        magic = raw.read(_MAGIC_BYTES)
        if not magic:
            raise UnreadableSource("the zstd or lz4 stream stops short (truncated); repair or fetch the file again")
    raw.seek(0)
    return magic


def decompressed_small(data: bytes, limit: int) -> bytes | None:
    """The content of a small raw file, in one go.

    Args:
        data: All its bytes.
        limit: The most bytes that the content may have.

    Returns:
        The content, or None where `decompressed` must tell: it is larger, in several parts, damaged, packed otherwise, or packed
        again.
    """
    if not data.startswith(_GZIP):
        is_packed = data.startswith((*_CODECS, *_UNSUPPORTED)) or _SKIPPABLE.match(data) or len(data) > limit
        return None if is_packed else data
    inflater = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        content = inflater.decompress(data, limit)
    except isal_zlib.error:  # type: ignore[misc]  # an untyped class
        return None
    is_whole = inflater.eof and not inflater.unused_data and not content.startswith((*_CODECS, *_UNSUPPORTED))
    return content if is_whole else None


@contextmanager
def _inflating(codec: str) -> Iterator[None]:
    """Says in this project's words what is wrong with a compressed stream."""
    try:
        yield
    except (EOFError, OSError, igzip_lib.IsalError, pa.ArrowException) as error:  # type: ignore[misc]  # an untyped class
        is_short = isinstance(error, EOFError) or "Truncated" in str(error)
        problem = "stops short (truncated)" if is_short else f"is damaged ({error})"
        raise UnreadableSource(f"the {codec} stream {problem}; repair or fetch the file again") from None


class _Gunzipped(io.RawIOBase):
    """The content of a gzip file."""

    def __init__(self, raw: BinaryIO) -> None:
        self._stream: BinaryIO = igzip.open(raw, "rb")  # type: ignore[no-untyped-call]

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        with _inflating("gzip"):
            return self._stream.read(size)


def put_back(first: bytes, stream: BinaryIO) -> BinaryIO:
    """A stream of which these first bytes were read, from its start on."""
    if stream.seekable():
        stream.seek(0)
        return stream
    return cast("BinaryIO", _Again(first, stream))


class _Again(io.RawIOBase):
    """A stream of which the first bytes were read, from its start on."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        if not first:
            return self._rest.read(size)
        if 0 <= size <= len(first):
            self._first = first[size:]
            return first[:size]
        return first + self._rest.read(size if size < 0 else size - len(first))

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


class _Inflated(io.RawIOBase):
    """The content of a file that Arrow decompresses."""

    def __init__(self, raw: BinaryIO, codec: str) -> None:
        self._codec = codec
        self._stream = pa.CompressedInputStream(pa.PythonFile(_Borrowed(raw), mode="r"), codec)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        with _inflating(self._codec):
            return int(self._stream.readinto(buffer))


class _Borrowed(io.RawIOBase):
    """A file that Arrow may read but not close: it closes what it wraps once it is garbage."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)
