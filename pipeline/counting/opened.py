"""A source that is read, and its digests, which are taken on the way."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from typing import BinaryIO, Self, cast

from pipeline.counting.content import BLOCK, Digester, small_text
from pipeline.counting.sources import Source, Text
from pipeline.digests import Content
from pipeline.errors import SourceChanged, SourceError
from pipeline.syntax.stream import ReadStream


class DigestingFile(ReadStream):
    """An open file, or the stream of what is packed in one, that takes its own digest while it is read in whatever order.

    Attributes:
        watched: The file or stream itself.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.watched = file
        self._is_seekable = file.seekable()
        self._digester = Digester()  # of all bytes before its size

    def seekable(self) -> bool:
        return self._is_seekable

    def fileno(self) -> int:
        return self.watched.fileno()

    def tell(self) -> int:
        return self.watched.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.watched.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        done = self._digester.size
        start = self.watched.tell() if self._is_seekable else done
        data = self.watched.read(size)
        if start <= done < start + len(data):
            self._digester.update(memoryview(data)[done - start :])
        return data

    def content(self) -> Content:
        """What the whole file is; reads what was not read.

        Raises:
            SourceError: It is packed, and cannot be unpacked to its end.
        """
        if self._is_seekable:
            self.watched.seek(self._digester.size)
        while self.read(BLOCK):
            pass
        return self._digester.content()


class OpenSource(ABC):
    """A source that is read once, from its start to its end: its content, and what identifies it.

    Attributes:
        raw: What is to be read; it may be packed.
    """

    raw: BinaryIO

    def __init__(self, source: Source) -> None:
        self._source = source
        self._told = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.raw.close()

    def advance(self) -> int:
        """How many bytes of the file were read since this was last asked."""
        told, self._told = self._told, max(self._told, self._reached())  # a Parquet reader jumps about
        return self._told - told

    def identify(self) -> tuple[Content, str]:
        """The content, and the digest of the file's bytes as they lie; reads what was not read.

        Raises:
            SourceError: It cannot be unpacked to its end, or is not what it was.
        """
        content, packed_digest = self._identity()
        if self._source.digest not in ("", content.digest):
            raise SourceChanged
        return content, packed_digest

    @abstractmethod
    def unpacked(self, stream: BinaryIO) -> BinaryIO:
        """What is to be read instead of what is packed in the source."""

    @abstractmethod
    def _reached(self) -> int:
        """Up to where the file was read."""

    @abstractmethod
    def _identity(self) -> tuple[Content, str]:
        """What `identify` gives, of a source that is what it was when it was opened."""


def opened(source: Source) -> OpenSource:
    """Opens a source.

    Raises:
        OSError: It cannot be opened; SourceError alike.
    """
    text = source.text or small_text(source)
    return _InMemory(source, text) if text else _Watched(source)


class _InMemory(OpenSource):
    """The content was read in one go."""

    def __init__(self, source: Source, text: Text) -> None:
        super().__init__(source)
        self._text = text
        self.raw = io.BytesIO(text.data)

    def unpacked(self, stream: BinaryIO) -> BinaryIO:
        return stream

    def _reached(self) -> int:
        return self._source.size

    def _identity(self) -> tuple[Content, str]:
        return self._text.content, self._text.packed_digest


class _Watched(OpenSource):
    """The digests of the file, and of what is packed in it, are taken while they are read."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        self._file = source.opened()
        self._packed = self._unpacked = DigestingFile(self._file)
        self.raw = cast("BinaryIO", self._packed)

    def __exit__(self, *error: object) -> None:
        with self._file:
            # What was emptied, or replaced by another log, is none of the files that are left alone from then on.
            if isinstance(error[1], SourceError) and not self._source.is_unchanged(self._file):
                raise SourceChanged from None

    def unpacked(self, stream: BinaryIO) -> BinaryIO:
        if stream is not self.raw:
            self._unpacked = DigestingFile(stream)
        return cast("BinaryIO", self._unpacked)

    def _reached(self) -> int:
        return self._source.size if self._file.closed else self._file.tell()

    def _identity(self) -> tuple[Content, str]:
        content, packed_digest = self._unpacked.content(), self._packed.content().digest
        if not self._source.is_unchanged(self._file):
            raise SourceChanged
        return content, packed_digest
