"""The operations on a store's files, and their implementation on POSIX file systems.

What is read is a file and nothing else, and what is written survives a loss of power. POSIX makes a rename or a link atomic,
but durable only once the folder that holds the name is synced too; a file's content is durable once the file is.

A folder of this machine has a lock, so that one run at a time writes there. A bucket has none: there each content of a file has
a version, and a file takes the place of another only over the version from which it was made.

Nothing else touches the store's bytes. Some files are things of the machine, wherever the store is: the locks, the index, the
service's log, the scratch files of a run, and the links and pipes that `verify` may meet. Their modules use the functions of
this module, or the operating system's.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePath
from typing import NamedTuple, Protocol

from pipeline.digests import new_digest
from pipeline.errors import FlowlogError, StoreDamaged, StoreUnreadable, StoreUnwritable, UsageError

#: A name in a store: a path, or the text that the path prints as. Where thousands are opened, texts are given: a `Path`
#: takes as long to make as a small file to open.
Name = str | PurePath
#: The content of a new file: bytes, or a file of this machine that has the content.
FileContent = bytes | memoryview | Path

_HASH_BLOCK = 1 << 16  # beyond twice this, the C library maps memory for each read


@contextmanager
def writing(path: PurePath) -> Iterator[None]:
    """Says in this project's words that the operating system refused a write below `path`.

    Raises:
        StoreUnwritable: No space, no permission, an I/O error.
    """
    try:
        yield
    except OSError as error:
        raise StoreUnwritable(str(error.filename or path), error.strerror or str(error)) from error


#: What may stand in a file's place, by the test that tells.
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISCHR, "a device"),
)


def kind_of(mode: int) -> str | None:
    """What something is by its mode, as "a pipe"; None for a file."""
    if stat.S_ISREG(mode):  # as thousands are
        return None
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)


def refusal(path: Name, error: OSError) -> FlowlogError:
    """Says in this project's words why something of a store could not be read."""
    if isinstance(error, NotADirectoryError):
        return StoreDamaged(str(path), "a file stands where a folder must be")
    if error.errno in (errno.ELOOP, errno.ENXIO):  # as `O_NOFOLLOW` has of a link, and any opening of a socket
        with suppress(OSError):
            if kind := kind_of(os.lstat(path).st_mode):
                return StoreDamaged(str(path), f"is {kind}, and must be a file")
    if error.errno in (errno.ELOOP, errno.ENAMETOOLONG):  # no name of a store's own does that
        return UsageError(f"cannot look at {path}: {error.strerror}")
    return StoreUnreadable(str(path), error.strerror or str(error))


def opened(path: Name) -> io.FileIO:
    """Opens a file of a store for reading.

    It must be a file: a pipe would keep its reader waiting for ever, and a link may lead anywhere.

    Raises:
        FileNotFoundError: There is nothing.
        StoreDamaged: Something else than a file is there.
        StoreUnreadable: The operating system refused.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise refusal(path, error) from error
    if kind := kind_of(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreDamaged(str(path), f"is {kind}, and must be a file")
    return io.FileIO(descriptor)  # a buffer takes longer to make than a small file to read


def sync(path: PurePath) -> None:
    """Makes a file's content, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write(path: Path, content: bytes) -> None:
    """Writes a new file and syncs it; its name is durable once its folder is synced."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are missing, durably."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def digest(path: Path) -> str:
    """XXH3-128 of a file's bytes, in hexadecimal: what identifies a source, and proves a file of the store.

    Raises:
        OSError: The file cannot be read.
    """
    with path.open("rb", buffering=0) as file:  # a buffer takes longer to make than a small file to read
        return digest_of(file)


def digest_of(file: io.RawIOBase) -> str:
    """The same of a file that is open."""
    hashed = new_digest()
    while block := file.read(_HASH_BLOCK):
        hashed.update(block)
    return hashed.hexdigest()


class Move(NamedTuple):
    """A file that is to take another's place.

    Attributes:
        source: The file.
        target: The place.
        over: The version of what was there when the file was made, "" if nothing was: where files have versions, the file takes
            the place of this version alone.
    """

    source: PurePath
    target: PurePath
    over: str = ""


class Files(Protocol):
    """The operations on the files of a store. `tests/conformance/files.py` has the claims that each implementation keeps.

    A file never changes: another file takes its place, and whoever has opened the first goes on reading the first. A folder is
    there at least as long as a file is in it. What the medium refuses is a StoreError that names the path. Where an answer is
    lost on its way, the operation may raise this error and be done all the same.

    Attributes:
        has_versions: Whether each content of a file has a version. If not, a lock must keep all writers but one away. Equal
            contents may have equal versions.
        threads: How many operations go at once, where each waits for an answer; None where waiting costs nothing.
    """

    @property
    def has_versions(self) -> bool: ...

    @property
    def threads(self) -> int | None: ...

    def read(self, path: Name) -> bytes:
        """A file, whole; raises what `opened` raises."""

    def read_with_version(self, path: Name) -> tuple[bytes, str]:
        """A file, whole, and the version of this content, which is never ""; "" where files have no versions."""

    def opened(self, path: Name) -> io.RawIOBase:
        """A file, open: the way to read it in pieces.

        Raises:
            FileNotFoundError: There is nothing.
            StoreDamaged: Something else than a file is there.
            StoreUnreadable: The medium refused.
        """

    def size(self, path: Name) -> int:
        """The size of a file, in bytes.

        Raises:
            FileNotFoundError: There is nothing.
            StoreUnreadable: The medium refused.
        """

    def sizes(self, folder: Name) -> Mapping[str, int]:
        """The sizes of all files below a folder, in bytes, by their paths from there with `/` between names, in no order.

        On a file system what is no file is left out, and no link is followed; in a bucket this is one listing, in pages.

        Raises:
            StoreUnreadable: The medium refused.
        """

    def exists(self, path: Name) -> bool:
        """Whether something is there, whatever it is; or a folder, where the name ends with a slash.

        Raises:
            StoreUnreadable: The medium does not say.
        """

    def list(self, folder: Name) -> Sequence[str]:
        """The names directly below a folder, in no order; none if there is no folder.

        Raises:
            StoreDamaged: A file stands there.
            StoreUnreadable: The medium refused.
        """

    def create(self, path: PurePath, content: FileContent) -> None:
        """Makes a new file, which is durable once the file and its folder are synced.

        Args:
            path: The file.
            content: What is in the file. If this is a synced file of this machine, the new file is there whole or not at all.

        Raises:
            FileExistsError: The name is taken. Of several who create the same file, one does not see this; where an answer was
                lost and the implementation asked again, the name may be taken by the caller's own file.
            StoreUnwritable: The medium refused, or did not answer.
        """

    def replace(self, moves: Iterable[Move]) -> None:
        """Moves synced files over others, durably: who opens a target finds the old file or the new one, whole.

        Where files have versions, a source whose target has another version than `over` by now is removed, and the target left:
        somebody has moved this file already, and perhaps others over it. A source that is gone was moved by somebody. A source
        goes only once its target is decided.

        Raises:
            StoreUnwritable: The medium refused; some of the files may be moved.
        """

    def delete(self, paths: Iterable[PurePath]) -> None:
        """Removes files, durably, and folders with all that is in them; what is gone already does no harm.

        Raises:
            StoreUnwritable: The medium refused; some of the files may be removed.
        """

    def sync(self, paths: Collection[PurePath]) -> None:
        """Makes the contents of files, or the names in folders, durable.

        Raises:
            StoreUnwritable: The medium refused.
        """


#: So many files are synced at once where they are many: the file system makes them durable together, in a tenth of the time.
_SYNCED_AT_ONCE = 16


class PosixFiles(Files):
    """A store in a folder: a link makes a file exclusively, where a rename would replace another without a word."""

    has_versions = False
    threads = None

    def read_with_version(self, path: Name) -> tuple[bytes, str]:
        return self.read(path), ""

    def read(self, path: Name) -> bytes:
        with opened(path) as file:
            try:
                return file.readall()
            except OSError as error:
                raise refusal(path, error) from error

    def opened(self, path: Name) -> io.RawIOBase:
        return opened(path)

    def size(self, path: Name) -> int:
        try:
            return os.stat(path).st_size  # noqa: PTH116 - a text need not become a path
        except FileNotFoundError:
            raise
        except OSError as error:
            raise refusal(path, error) from error

    def sizes(self, folder: Name) -> Mapping[str, int]:
        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise refusal(folder, error) from error

        found = {}
        for above, _, names in os.walk(folder, onerror=refuse):
            for name in names:
                path = os.path.join(above, name)  # noqa: PTH118 - a text need not become a path
                with suppress(FileNotFoundError):
                    looked = os.lstat(path)
                    if stat.S_ISREG(looked.st_mode):
                        found[os.path.relpath(path, folder)] = looked.st_size
        return found

    def exists(self, path: Name) -> bool:
        try:
            os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise refusal(path, error) from error
        return True

    def list(self, folder: Name) -> Sequence[str]:
        try:
            return os.listdir(folder)  # noqa: PTH208 - years of runs are half a million names, of which no path is wanted
        except FileNotFoundError:
            return []
        except NotADirectoryError:
            raise StoreDamaged(str(folder), "it must be a folder") from None
        except OSError as error:
            raise refusal(folder, error) from error

    def create(self, path: PurePath, content: FileContent) -> None:
        with writing(path):
            make_folder(Path(path.parent))
        try:
            if isinstance(content, Path):
                os.link(content, path)
            else:
                with Path(path).open("xb") as file:
                    file.write(content)
        except FileExistsError:
            raise
        except OSError as error:
            raise StoreUnwritable(str(path), error.strerror or str(error)) from error

    def replace(self, moves: Iterable[Move]) -> None:
        renames = [(Path(move.source), Path(move.target)) for move in moves]
        folders = {target.parent for _, target in renames}
        above = {folder.parent for folder in folders}
        for folder in above:
            with writing(folder):
                make_folder(folder)
        for folder in folders:
            with writing(folder):
                folder.mkdir(exist_ok=True)
        self.sync(above)
        for source, target in renames:
            with writing(target):
                source.replace(target)
        self.sync(folders)

    def delete(self, paths: Iterable[PurePath]) -> None:
        folders = set()
        for path in map(Path, paths):
            with writing(path):
                if path.is_dir():  # a run's work, of which the next run removes what a loss of power brings back
                    shutil.rmtree(path)
                    continue
                path.unlink(missing_ok=True)
                folders.add(_without_empty(path.parent))
        self.sync([folder for folder in folders if folder.is_dir()])

    def sync(self, paths: Collection[PurePath]) -> None:
        if len(paths) <= _SYNCED_AT_ONCE:
            for path in paths:
                _sync(path)
            return
        from concurrent.futures import ThreadPoolExecutor  # a query syncs nothing

        with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
            for _ in pool.map(_sync, paths):
                pass


def _sync(path: PurePath) -> None:
    with writing(path):
        sync(path)


def _without_empty(folder: Path) -> Path:
    """Removes a folder if it is empty; gives the folder whose names have changed.

    Somebody's file may be there, as NFS makes one while a reader has the partition open.
    """
    if folder.is_dir():
        if any(folder.iterdir()):
            return folder
        folder.rmdir()
    return folder.parent
