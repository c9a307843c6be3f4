"""A source: its name in the ledger, how it looked, and how it is opened. Nothing else opens one."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePath
from typing import BinaryIO, NamedTuple, Self

from pipeline.digests import Appearance, Content
from pipeline.errors import SourceChanged, UnreadableSource

_ESCAPED = r"\\x([0-9a-f]{2})"
_TO_ESCAPE = r"[\\\udc80-\udcff]"
_NO_FILE = "not a regular file"


def name_of(path: str | os.PathLike[str]) -> str:
    r"""A path as text, as the ledger and the messages have it. `path_of` gives the path back.

    A name need not be UTF-8, but what is printed and stored must. In a path that has other bytes, or the characters by
    which they are written, each such byte and each backslash is written as `\xNN`; all other paths are written as they are.
    """
    text = os.fspath(path)
    if text.isascii() and "\\" not in text:
        return text
    if not re.search(_ESCAPED, text) and not any("\udc80" <= c <= "\udcff" for c in text):
        return text
    return re.sub(_TO_ESCAPE, lambda found: f"\\x{os.fsencode(found[0])[0]:02x}", text)


def path_of(name: str) -> Path:
    """The path that `name_of` has written."""
    return Path(_unescaped(name))


def _unescaped(name: str) -> str:
    return re.sub(_ESCAPED, lambda found: os.fsdecode(bytes([int(found[1], 16)])), name) if "\\" in name else name


def status_of(path: str | os.PathLike[str]) -> os.stat_result:
    """How a file looks.

    Raises:
        UnreadableSource: There is no such file.
    """
    try:
        status = os.stat(path)  # noqa: PTH116 - a text need not become a path
    except OSError as error:
        raise UnreadableSource(f"cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(status.st_mode):  # to open a pipe would wait for what writes to it
        raise UnreadableSource(_NO_FILE)
    return status


class Text(NamedTuple):
    """A content in memory.

    Attributes:
        data: All its bytes.
        content: What identifies it.
        packed_digest: That of the file, as it lies on the disk: XXH3-128, in hexadecimal.
    """

    data: bytes
    content: Content
    packed_digest: str


@dataclass(frozen=True)
class Source:
    """A raw file, as it was when it was looked at. Objects of buckets are `objects.ObjectSource`.

    Attributes:
        name: Its path, absolute, as the ledger and the messages have it (`name_of`); of an object, its URL.
        size: In bytes, as it lies there.
        mtime_ns: Its time of modification, in nanoseconds since the epoch.
        inode: What tells it from every other file: device and number; and the time at which either was last changed.
        digest: XXH3-128 of its content, unpacked, in hexadecimal; "" as long as it was not needed.
        text: Its content, where it was read and there was room to keep it.
        etag: What its bucket calls its content; "" for a file.
    """

    name: str
    size: int
    mtime_ns: int
    inode: tuple[int, int, int] = (0, 0, 0)
    digest: str = ""
    text: Text | None = field(default=None, compare=False, repr=False)
    etag: str = ""

    @classmethod
    def at(cls, path: Path) -> Source:
        """Looks at a file.

        Raises:
            UnreadableSource: There is no such file.
        """
        return cls.seen(name_of(path), status_of(path))

    @classmethod
    def seen(cls, name: str, status: os.stat_result) -> Source:
        """The file of a name that looks so."""
        return cls(name, status.st_size, status.st_mtime_ns, _inode(status))

    @property
    def path(self) -> PurePath:
        """Where it is; of an object, its `objectpath.ObjectPath`."""
        return path_of(self.name)

    @property
    def appearance(self) -> Appearance:
        return self.name, self.size, self.etag or self.mtime_ns

    @property
    def identity(self) -> object:
        """What all names of the file have in common, and no other file."""
        return self.inode

    def opened(self) -> BinaryIO:
        """The file, seekable, open at its start.

        Raises:
            OSError: It cannot be opened; SourceError alike, or it is no file any more.
        """
        return open(_unescaped(self.name), "rb", opener=_open)

    def is_unchanged(self, file: BinaryIO) -> bool:
        """Whether what was opened is the file that was looked at, and still as it was."""
        return self._looks_like(os.fstat(file.fileno()))

    def _looks_like(self, status: os.stat_result) -> bool:
        found = (status.st_size, status.st_mtime_ns, _inode(status))
        return found == (self.size, self.mtime_ns, self.inode)

    def identified(self, digest: str, text: Text | None = None) -> Self:
        """The same, with what a look at its content tells: `dataclasses.replace` takes five times as long, for each of many files."""
        known = object.__new__(type(self))
        vars(known).update(vars(self), digest=digest, text=text)
        return known

    def without_text(self) -> Source:
        """The same, without its content in memory."""
        return self if self.text is None else replace(self, text=None)

    def seen_here(self) -> Source:
        """The same file as this machine sees it, where another has looked at it: on each, a shared disk is another device.

        Raises:
            UnreadableSource: There is no such file.
            SourceChanged: It is not as it was.
        """
        here = status_of(_unescaped(self.name))
        if (here.st_size, here.st_mtime_ns) != (self.size, self.mtime_ns):
            raise SourceChanged
        inode = _inode(here)
        return self if inode == self.inode else replace(self, inode=inode)

    def is_readable(self) -> bool:
        """Whether this process may read the file."""
        return os.access(self.path, os.R_OK)

    def small_content(self) -> bytes:
        """The bytes of a small file; none where it must be read in another way, if only to say what is wrong with it."""
        try:
            descriptor = os.open(_unescaped(self.name), _READING)
            try:
                data = os.read(descriptor, self.size + 1)
                return data if len(data) == self.size and self._looks_like(os.fstat(descriptor)) else b""
            finally:
                os.close(descriptor)
        except OSError:
            return b""


#: To open a pipe that has taken a file's place would wait for its writer.
_READING = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def _open(path: str, _flags: int) -> int:
    """Opens a file; refuses what is none."""
    descriptor = os.open(path, _READING)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise UnreadableSource(_NO_FILE)


def _inode(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_ctime_ns


class Failure(NamedTuple):
    """A source that could not be counted, and why."""

    source: str
    error: str
