"""Compressed raw files: found by their first bytes, never by their names.

Arrow's streams read gzip with any number of members, zstd with any number of frames and bzip2, check the checksums
that these formats carry, and fail on a stream that stops short, which is what "a source counts whole or not at all"
rests on.
"""

from __future__ import annotations

import io
from typing import BinaryIO, cast

import pyarrow as pa

from pipeline.errors import UnknownFormat, UnreadableSource

#: First bytes -> Arrow's name of the codec. RFC 1952 (gzip), RFC 8878 (zstd), the bzip2 file format.
_CODECS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_UNSUPPORTED = {b"\xfd7zXZ\x00": "xz", b"PK\x03\x04": "zip", b"\x04\x22\x4d\x18": "lz4", b"7z\xbc\xaf\x27\x1c": "7z"}
_MAGIC_BYTES = 6


def decompressed(raw: BinaryIO) -> BinaryIO:
    """The content of a raw file, whatever it is compressed with.

    Args:
        raw: The file, seekable, at its start.

    Returns:
        `raw` itself where it is not compressed.

    Raises:
        UnknownFormat: It is compressed or packed in a way that flowlog does not read.
    """
    magic = raw.read(_MAGIC_BYTES)
    raw.seek(0)
    for signature, name in _UNSUPPORTED.items():
        if magic.startswith(signature):
            raise UnknownFormat(f"a {name} file", "unpack it, or pack it with gzip, zstd or bzip2")
    for signature, codec in _CODECS.items():
        if magic.startswith(signature):
            return cast("BinaryIO", io.BufferedReader(_Inflated(raw, codec), buffer_size=1 << 18))
    return raw


class _Inflated(io.RawIOBase):
    """Arrow's decompressing stream as a Python file, with its errors in this project's words."""

    def __init__(self, raw: BinaryIO, codec: str) -> None:
        self._codec = codec
        self._stream = pa.CompressedInputStream(pa.PythonFile(_Borrowed(raw), mode="r"), codec)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        try:
            return int(self._stream.readinto(buffer))
        except (OSError, pa.ArrowException) as error:
            problem = "stops short (truncated)" if "Truncated" in str(error) else f"is damaged ({error})"
            raise UnreadableSource(f"the {self._codec} stream {problem}; repair or fetch the file again") from None


class _Borrowed(io.RawIOBase):
    """A file that Arrow may read but not close: it closes what it wraps once it is garbage."""

    def __init__(self, raw: BinaryIO) -> None:
        self._raw = raw

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._raw.read(size)
