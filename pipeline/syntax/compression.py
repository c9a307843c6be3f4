"""Compressed raw files: found by their first bytes, never by their names.

Intel's ISA-L reads gzip, with any number of members, more than twice as fast as zlib. libdeflate is half again as fast as
ISA-L, and reads a single member that fits into memory. Arrow's streams read zstd, with any number of frames, and bzip2. All of them check
the checksums that these formats carry, and fail on a stream that stops short: "a source counts whole or not at all" rests on that.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

import deflate
import pyarrow as pa
from isal import igzip, igzip_lib, isal_zlib

from pipeline.errors import UnknownFormat, UnreadableSource
from pipeline.kernel.columns import find_four
from pipeline.syntax.seekable import BytesInMemory
from pipeline.syntax.stream import ReadStream

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
#: What a compressed file may start with: most text does not, and need not be held against each signature.
_FIRST_BYTES = frozenset({*range(0x50, 0x60), *(signature[0] for signature in (*_CODECS, *_UNSUPPORTED))})
#: The same behind text, in four bytes that no text has: of gzip with the method and the flags that are met.
_BEHIND_TEXT = {
    b"\x1f\x8b\x08\x00": "gzip",
    b"\x1f\x8b\x08\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\xfd7zX": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"PK\x03\x04": "zip",
}
_BUFFER_BYTES = 1 << 18
_GZIP_WINDOW = 16 + 15  # as zlib has it: the largest window, with gzip's header and trailer
#: The largest file of gzip that is unpacked in one piece, and its content.
_WHOLE_PACKED, _WHOLE_BYTES = 8 << 20, 32 << 20
#: DEFLATE packs no more bytes than so many into one (zlib's technical details).
_MOST_RATIO = 1032
#: The only flag of a member that is unpacked in one piece: there is a name.
_NAMED = 0x08
_LEAST_MEMBER = 18  # its header and its trailer


def decompressed(raw: BinaryIO, to_end: bool = False) -> BinaryIO:
    """The content of a raw file, whatever it is compressed with, and however often.

    Firehose, for one, packs what CloudWatch Logs has packed before.

    Args:
        raw: The file, seekable, at its start.
        to_end: Whether all of it will be read: it may be unpacked at once.

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
        whole = _whole(content) if codec == "gzip" and to_end and not times else None
        unpacked = cast(
            "BinaryIO", whole or (_Gunzipped(content) if codec == "gzip" else _buffered(_Inflated(content, codec)))
        )
        magic = unpacked.read(_MAGIC_BYTES)
        content, times = put_back(magic, unpacked), times + 1
    return content


def _whole(raw: BinaryIO) -> BytesInMemory | None:
    """The content of a file of gzip that was unpacked at once; None where it must be unpacked step by step."""
    try:
        size = os.fstat(raw.fileno()).st_size
    except OSError:  # no file of this machine: the next bytes come while the first ones are read
        return None
    if size > _WHOLE_PACKED:
        return None
    content = _inflated_whole(raw.read(size), _WHOLE_BYTES)
    raw.seek(0)
    return None if content is None else BytesInMemory(content)


def _inflated_whole(data: bytes, limit: int) -> bytearray | None:
    """The content of a gzip member that is all of some data; None where it is larger than the limit, or ISA-L must tell.

    libdeflate reads the first member, checks its digest and size, and does not say where it ends. It ends where the data does if
    the size that stands there, in four bytes, is that of the content, and these bytes stand nowhere before.
    """
    size = int.from_bytes(data[-4:], "little")
    if len(data) < _LEAST_MEMBER or not 0 < size <= min(limit, _MOST_RATIO * len(data)) or data[3] & ~_NAMED:
        return None
    if find_four(data, data[-4:]) != len(data) - 4:
        return None
    try:
        content = deflate.gzip_decompress(data, size)
    except deflate.DeflateError:
        return None
    return content if len(content) == size else None


def _codec_of(magic: bytes) -> str | None:
    """The codec of a stream that starts so; None if it is not compressed.

    What starts with a skippable frame within another packing, where `_magic` cannot look behind the frame, is zstd's.

    Raises:
        UnknownFormat: It is compressed or packed in a way that flowlog does not read.
    """
    if not _is_packed(magic):
        return None
    if _SKIPPABLE.match(magic):
        return "zstd"
    for signature, name in _UNSUPPORTED.items():
        if magic.startswith(signature):
            raise UnknownFormat(f"a {name} file", "unpack it, or pack it with gzip, zstd or bzip2")
    return next((codec for signature, codec in _CODECS.items() if magic.startswith(signature)), None)


def _is_packed(data: bytes) -> bool:
    """Whether a stream that starts so is compressed, in whatever way."""
    if not data or data[0] not in _FIRST_BYTES:
        return False
    return data.startswith((*_CODECS, *_UNSUPPORTED)) or _SKIPPABLE.match(data) is not None


def find_packed(text: bytes) -> tuple[int, str] | None:
    """Where something packed begins behind a text, and how it is packed; None if nowhere.

    `cat conn.log conn.1.log.gz` makes such a file, whose packed part has thousands of records on a few lines.
    """
    for start, codec in _BEHIND_TEXT.items():
        if (at := find_four(text, start)) >= 0:
            return at, codec
    at = find_four(text, b"AY&S") - len(b"BZh91")  # of bzip2 the first bytes are letters, and only the first block's tell
    return (at, "bz2") if at >= 0 and text.startswith(b"BZh", at) else None


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
        return None if _is_packed(data) or len(data) > limit else data
    content = _inflated_small(data, limit)
    return None if content is None or _is_packed(content) else content


def _inflated_small(data: bytes, limit: int) -> bytes | None:
    if (content := _inflated_whole(data, limit)) is not None:
        return bytes(content)
    inflater = isal_zlib.decompressobj(wbits=_GZIP_WINDOW)
    try:
        inflated = inflater.decompress(data, limit)
    except isal_zlib.error:  # type: ignore[misc]  # an untyped class
        return None
    return inflated if inflater.eof and not inflater.unused_data else None


@contextmanager
def _inflating(codec: str) -> Iterator[None]:
    """Says in this project's words what is wrong with a compressed stream."""
    try:
        yield
    except (EOFError, OSError, igzip_lib.IsalError, pa.ArrowException) as error:  # type: ignore[misc]  # an untyped class
        is_short = isinstance(error, EOFError) or "Truncated" in str(error)
        problem = "stops short (truncated)" if is_short else f"is damaged ({error})"
        raise UnreadableSource(f"the {codec} stream {problem}; repair or fetch the file again") from None


class _Gunzipped(ReadStream):
    """The content of a gzip file."""

    def __init__(self, raw: BinaryIO) -> None:
        self._stream: BinaryIO = igzip.open(raw, "rb")  # type: ignore[no-untyped-call]

    def read(self, size: int = -1) -> bytes:
        with _inflating("gzip"):
            return self._stream.read(size)


def put_back(first: bytes, stream: BinaryIO) -> BinaryIO:
    """A stream of which these first bytes were read, from its start on."""
    if stream.seekable():
        stream.seek(0)
        return stream
    return cast("BinaryIO", _Again(first, stream))


class _Again(ReadStream):
    """A stream of which the first bytes were read, from its start on."""

    def __init__(self, first: bytes, rest: BinaryIO) -> None:
        self._first = first
        self._rest = rest

    def read(self, size: int = -1) -> bytes:
        first, self._first = self._first, b""
        if not first:
            return self._rest.read(size)
        if 0 <= size <= len(first):
            self._first = first[size:]
            return first[:size]
        return first + self._rest.read(size if size < 0 else size - len(first))


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


class _Borrowed(ReadStream):
    """A file that Arrow may read but not close: it closes what it wraps once it is garbage."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)
