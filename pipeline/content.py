"""What identifies a source: its content, unpacked, whatever it is called and however it is packed.

Two sources are one if the digests of their contents agree. One is the start of another if the other's first bytes, as
many as the one has, have its digest. To ask that of all that was ever counted, each content keeps its head: the digest
of its first 2^k bytes, with 2^k the largest power of two that is at most its size and 64 KiB. Whatever begins with a
content, or equals it, has its head among the digests of its own first 1, 2, 4, … 65,536 bytes; so a few digests of a
file's start tell with which contents it must be compared, and mostly there are none.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from pipeline.errors import UnreadableSource
from pipeline.store import files

if TYPE_CHECKING:
    from pipeline.sources import Source

#: The longest start of which a digest is taken, and how many bytes of that digest are kept: it only proposes; the digest
#: of the whole content decides.
HEAD_MOST, HEAD_BYTES = 1 << 16, 8
_BLOCK = 1 << 18
#: Files up to this size are read in one go, and so is their content, up to a size of its own.
SMALL_BYTES, _SMALL_CONTENT = 1 << 18, 1 << 22


@dataclass(frozen=True)
class Content:
    """What identifies a content.

    Attributes:
        digest: XXH3-128 of all its bytes, in hexadecimal.
        size: In bytes.
        head: The start of the XXH3-128 of its head, in hexadecimal; "" if it is empty.
    """

    digest: str
    size: int
    head: str


NO_CONTENT = Content("", 0, "")


class Digester:
    """Takes the digests of a content that comes piece by piece.

    Args:
        sizes: Also take the digest of its first so many bytes.

    Attributes:
        size: How many bytes have come.
        heads: The digests of its first 1, 2, 4, … bytes, `HEAD_BYTES` of each.
        at: The digest at each size that was asked for and reached, in hexadecimal.
    """

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        self._hash = files.new_digest()
        self._asked = sorted(sizes, reverse=True)
        self._power = 1
        self.size = 0
        self.heads = bytearray()
        self.at: dict[int, str] = {}

    def update(self, data: bytes | memoryview) -> None:
        view, end = memoryview(data), self.size + len(data)
        while (stop := self._next_stop(end)) <= end:
            self._hash.update(view[: stop - self.size])
            view, self.size = view[stop - self.size :], stop
            if stop == self._power:
                self.heads += self._hash.digest()[:HEAD_BYTES]
                self._power *= 2
            while self._asked and self._asked[-1] == stop:
                self.at[self._asked.pop()] = self._hash.hexdigest()
        self._hash.update(view)
        self.size = end

    def _next_stop(self, end: int) -> int:
        """The next size at which a digest is wanted; any behind `end` if none is before it."""
        power = self._power if self._power <= HEAD_MOST else end + 1
        return min(power, self._asked[-1]) if self._asked else power

    def content(self) -> Content:
        """What has come."""
        return Content(self._hash.hexdigest(), self.size, self.heads[-HEAD_BYTES:].hex())


def content_of(data: bytes) -> Content:
    """The content that a text in memory is."""
    digester = Digester()
    digester.update(data)
    return digester.content()


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a source tells.

    Attributes:
        heads: The digests of its content's first 1, 2, 4, … bytes, as `Digester` has them.
        content: Its content, where that was so small that all of it was read.
    """

    heads: bytes
    content: Content | None

    @property
    def head(self) -> str:
        """The head of the content, as `Content` has it: of one that is longer than the longest head, too."""
        return self.heads[-HEAD_BYTES:].hex()


def look_at(source: Source) -> Look:
    """Reads the start of a source's content; all of it, if it is small.

    Raises:
        SourceError: It cannot be read or unpacked so far.
    """
    digester = Digester()
    if (text := _small_text(source)) is not None:
        digester.update(text)
        return Look(bytes(digester.heads), digester.content())
    with unpacked(source) as stream:
        while digester.size <= HEAD_MOST and (block := stream.read(HEAD_MOST + 1 - digester.size)):
            digester.update(block)
    return Look(bytes(digester.heads), digester.content() if digester.size <= HEAD_MOST else None)


def _small_text(source: Source) -> bytes | None:
    """The content of a small source, where it can be had in one go."""
    if source.size > SMALL_BYTES or not (data := source.small_content()):
        return None
    from pipeline.readers.compression import decompressed_small  # imports Arrow, which a run without news does without

    return decompressed_small(data, _SMALL_CONTENT)


@contextmanager
def unpacked(source: Source) -> Iterator[BinaryIO]:
    """Opens the content of a source.

    Raises:
        SourceError: It cannot be read or unpacked.
    """
    from pipeline.readers.compression import decompressed  # as above

    try:
        with source.path.open("rb") as file:
            yield decompressed(file)
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None


def identify(source: Source, sizes: Iterable[int] = ()) -> Digester:
    """Reads all of a source's content.

    Args:
        source: The source.
        sizes: Of its first so many bytes the digests are wanted, too.

    Raises:
        SourceError: It cannot be read or unpacked to its end.
    """
    digester = Digester(sizes)
    with unpacked(source) as stream:
        while block := stream.read(_BLOCK):
            digester.update(block)
    return digester


def digest_of(source: Source) -> str:
    """The digest of a source's bytes as they lie on disk: XXH3-128, in hexadecimal.

    Raises:
        UnreadableSource: It cannot be read.
    """
    try:
        return files.digest(source.path)
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror}") from None


class DigestingFile(io.RawIOBase):
    """An open file, or the stream of what is packed in one, that takes its own digest while it is read in whatever order."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._is_seekable = file.seekable()
        self._digester = Digester()  # of all bytes before its size

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._is_seekable

    def tell(self) -> int:
        return self._file.tell()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        done = self._digester.size
        start = self._file.tell() if self._is_seekable else done
        data = self._file.read(size)
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
            self._file.seek(self._digester.size)
        while self.read(_BLOCK):
            pass
        return self._digester.content()
