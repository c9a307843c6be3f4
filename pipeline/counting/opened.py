"""A source that is read, and its digests, which are taken on the way."""

from __future__ import annotations

import io
import os
from typing import BinaryIO, Self, cast

from pipeline.counting.content import BLOCK, Digester, small_text
from pipeline.counting.sources import Source
from pipeline.errors import SourceChanged
from pipeline.scalars import Content


class DigestingFile(io.RawIOBase):
    """An open file, or the stream of what is packed in one, that takes its own digest while it is read in whatever order.

    Attributes:
        watched: The file or stream itself.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.watched = file
        self._is_seekable = file.seekable()
        self._digester = Digester()  # of all bytes before its size

    def readable(self) -> bool:
        return True

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

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

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


class Watch:
    """Takes the digests of a file while it is read, and of what is packed in it.

    Args:
        file: The file, open at its start.

    Attributes:
        packed: The file, to be read instead.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._packed = self._unpacked = DigestingFile(file)
        self.packed = cast("BinaryIO", self._packed)

    def unpacked(self, stream: BinaryIO) -> BinaryIO:
        """What is to be read instead of the file's content, which is the file itself where nothing is packed."""
        if stream is not self.packed:
            self._unpacked = DigestingFile(stream)
        return cast("BinaryIO", self._unpacked)

    def content(self) -> Content:
        """The whole content; reads what was not read.

        Raises:
            SourceError: It cannot be unpacked to its end.
        """
        return self._unpacked.content()

    def packed_digest(self) -> str:
        """The digest of the file's bytes as they lie."""
        return self._packed.content().digest


class OpenSource:
    """A source that is read once, from its start to its end: its content, and what identifies it.

    Args:
        source: The source.

    Attributes:
        raw: What is to be read; it may be packed.

    Raises:
        OSError: It cannot be opened; SourceError alike.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._text = source.text or small_text(source)
        self._file = io.BytesIO(self._text.data) if self._text else source.opened()
        self._watch = None if self._text else Watch(self._file)
        self._told = 0
        self.raw = self._watch.packed if self._watch else self._file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def unpacked(self, stream: BinaryIO) -> BinaryIO:
        """What is to be read instead of what is packed in the source."""
        return self._watch.unpacked(stream) if self._watch else stream

    def advance(self) -> int:
        """How many bytes of the file were read since this was last asked."""
        reached = self._source.size if self._text or self._file.closed else self._file.tell()
        told, self._told = self._told, max(self._told, reached)  # a Parquet reader jumps about
        return self._told - told

    def identify(self) -> tuple[Content, str]:
        """The content, and the digest of the file's bytes as they lie; reads what was not read.

        Raises:
            SourceError: It cannot be unpacked to its end, or is not what it was.
        """
        source, text = self._source, self._text
        if text:
            content, packed_digest = text.content, text.packed_digest
        else:
            content, packed_digest = self._watch.content(), self._watch.packed_digest()  # type: ignore[union-attr]
        is_unchanged = text or source.is_unchanged(self._file)
        if not is_unchanged or source.digest not in ("", content.digest):
            raise SourceChanged
        return content, packed_digest
