"""What identifies a source: its content, unpacked, whatever it is called and however it is packed.

Two sources are one if the digests of their contents agree. One is the start of another if the other's first bytes, as
many as the one has, have its digest. To ask that of all that was ever counted, each content keeps its head: the digest
of its first 0, 64, 128, 256, … or 65,536 bytes, of as many of them as it has. Whatever starts with a content, or equals
it, has its head among the digests of its own first 0, 64, 128, … bytes. So a few digests of a file's start tell with
which contents it must be compared, and mostly there are none.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import xxhash

from pipeline import digests
from pipeline.counting.sources import Source, Text
from pipeline.digests import Content
from pipeline.errors import SourceChanged, UnreadableSource

#: Of so many first bytes a digest is taken. It is a short one, as it only proposes: that of the whole content decides.
_HEAD_SIZES = (0, *(1 << k for k in range(6, 17)))
_HEAD_MOST = _HEAD_SIZES[-1]
BLOCK = 1 << 18
_DIGESTED_BYTES = 1 << 16  # beyond twice as many, the C library maps memory for each read
#: Files up to this size are read in one go, and so is their content, up to a size of its own.
SMALL_BYTES, _SMALL_CONTENT = 1 << 18, 1 << 22


class Digester:
    """Takes the digests of a content that comes piece by piece.

    Args:
        sizes: For each of these numbers, the digest of so many first bytes is taken, too.

    Attributes:
        size: How many bytes have come.
        heads: The digests of its first 0, 64, 128, … bytes.
        at: The digest at each size that was asked for and reached: XXH3-128, in hexadecimal.
    """

    def __init__(self, sizes: Iterable[int] = ()) -> None:
        self._hash, self._head = digests.new_digest(), xxhash.xxh3_64()
        self._asked = sorted(sizes, reverse=True)
        self.size = 0
        self.heads: list[bytes] = []
        self.at: dict[int, str] = {}

    def update(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for stop, is_head in self._stops(self.size + len(view)):
            self._take(view[: stop - self.size])
            view, self.size = view[stop - self.size :], stop
            if is_head:
                self.heads.append(self._head.digest())
            else:
                self.at[stop] = self._hash.hexdigest()
        self._take(view)
        self.size += len(view)

    def _take(self, view: memoryview) -> None:
        self._hash.update(view)
        if len(self.heads) < len(_HEAD_SIZES):
            self._head.update(view)

    def _stops(self, end: int) -> Iterator[tuple[int, bool]]:
        """The sizes up to `end` at which a digest is wanted, and whether that is a head's."""
        while True:
            head = _HEAD_SIZES[len(self.heads)] if len(self.heads) < len(_HEAD_SIZES) else end + 1
            asked = self._asked[-1] if self._asked else end + 1
            if min(head, asked) > end:
                return
            if asked < head:
                self._asked.pop()
            yield min(head, asked), head <= asked

    def content(self) -> Content:
        """What has come."""
        self.update(b"")
        return Content(self._hash.hexdigest(), self.size, self.heads[-1].hex())


def text_of(data: bytes, packed: bytes | None = None) -> Text:
    """A content in memory.

    Args:
        data: All its bytes.
        packed: Those of the file, where they are others.
    """
    digest = digests.digest_of_bytes(data)
    packed_digest = digest if packed is None or packed is data else digests.digest_of_bytes(packed)
    head_size = _HEAD_SIZES[bisect(_HEAD_SIZES, len(data)) - 1]
    head = xxhash.xxh3_64_hexdigest(memoryview(data)[:head_size])
    return Text(data, Content(digest, len(data), head), packed_digest)


def heads_of(data: bytes) -> list[bytes]:
    """The digests of the first 0, 64, 128, … bytes of a content in memory."""
    view = memoryview(data)
    return [xxhash.xxh3_64_digest(view[:size]) for size in _HEAD_SIZES if size <= len(data)]


class Look(NamedTuple):
    """What a look at a source tells.

    Attributes:
        heads: The digests of its content's first 0, 64, 128, … bytes.
        content: Its content, where that was so small that all of it was read.
        text: The same in memory, where it was read in one go.
    """

    heads: Sequence[bytes]
    content: Content | None
    text: Text | None = None

    @property
    def head(self) -> str:
        """The head of the content, as `Content` has it."""
        return self.heads[-1].hex()


def look_at(source: Source) -> Look:
    """Reads the start of a source's content; all of it, if it is small.

    Raises:
        SourceError: It cannot be read or unpacked so far, or was emptied since.
    """
    if text := small_text(source):
        return Look(heads_of(text.data), text.content, text)
    digester = Digester()
    with unpacked(source) as (file, stream):
        while digester.size <= _HEAD_MOST and (block := stream.read(_HEAD_MOST + 1 - digester.size)):
            digester.update(block)
        if not digester.size and not source.is_unchanged(file):  # it was emptied: by what will write it anew, as it looked
            raise SourceChanged
    content = digester.content()
    return Look(digester.heads, content if digester.size <= _HEAD_MOST else None)


def small_text(source: Source) -> Text | None:
    """The content of a small source, where it can be had in one go."""
    if source.size > SMALL_BYTES or not (data := source.small_content()):
        return None
    from pipeline.syntax.compression import decompressed_small  # imports Arrow, which a run without news does without

    text = decompressed_small(data, _SMALL_CONTENT)
    return None if text is None else text_of(text, data)


@contextmanager
def unpacked(source: Source) -> Iterator[tuple[BinaryIO, BinaryIO]]:
    """Opens a source: the file, and its content.

    Raises:
        SourceError: It cannot be read or unpacked.
    """
    from pipeline.syntax.compression import decompressed  # as above

    try:
        with source.opened() as file:
            yield file, decompressed(file)
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror or error}") from None


def identify(source: Source, sizes: Iterable[int] = ()) -> Digester:
    """Reads all of a source's content.

    Args:
        source: The source.
        sizes: For each of these numbers, the digest of so many first bytes is wanted, too.

    Raises:
        SourceError: It cannot be read or unpacked to its end.
    """
    digester = Digester(sizes)
    with unpacked(source) as (_, stream):
        while block := stream.read(BLOCK):
            digester.update(block)
    return digester


def digest_of(source: Source) -> str:
    """The digest of a source's bytes as they lie: XXH3-128, in hexadecimal.

    Raises:
        UnreadableSource: It cannot be read.
    """
    taken = digests.new_digest()
    try:
        with source.opened() as file:
            while block := file.read(_DIGESTED_BYTES):
                taken.update(block)
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror}") from None
    return taken.hexdigest()
