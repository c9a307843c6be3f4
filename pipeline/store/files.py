"""Operations on a store's files: what is read is a file and nothing else, what is written survives a loss of power.

POSIX makes a rename or a link atomic, but durable only once the folder that holds the name is synced too; a file's
content is durable once the file is.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline.errors import FlowlogError, StoreDamaged, StoreUnreadable, StoreUnwritable, UsageError
from pipeline.identity import new_digest

_HASH_BLOCK = 1 << 16  # beyond twice this, the C library maps memory for each read


@contextmanager
def writing(path: Path) -> Iterator[None]:
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
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), None)


def refusal(path: str | Path, error: OSError) -> FlowlogError:
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


def opened(path: str | Path) -> io.FileIO:
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


def read(path: str | Path) -> bytes:
    """A file of a store, whole; raises what `opened` raises."""
    with opened(path) as file:
        try:
            return file.readall()
        except OSError as error:
            raise refusal(path, error) from error


def exists(path: str | Path) -> bool:
    """Whether something is there, whatever it is.

    Raises:
        StoreUnreadable: The operating system does not say.
    """
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise refusal(path, error) from error
    return True


def is_folder(path: Path) -> bool:
    """Whether a folder, or a link to one, is there; raises what `exists` raises."""
    try:
        return stat.S_ISDIR(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise refusal(path, error) from error


def names(folder: Path) -> list[str]:
    """The names in a folder, in no order; none if there is no folder.

    Raises:
        StoreDamaged: It is no folder.
        StoreUnreadable: The operating system refused.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208 - years of runs are half a million names, of which no path is wanted
    except FileNotFoundError:
        return []
    except NotADirectoryError:
        raise StoreDamaged(str(folder), "it must be a folder") from None
    except OSError as error:
        raise refusal(folder, error) from error


def sync(path: Path) -> None:
    """Makes a file's content, or a folder's names, durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


#: So many files are synced at once where they are many: the file system makes them durable together, in a tenth of the time.
_SYNCED_AT_ONCE = 16


def sync_all(paths: Collection[Path]) -> None:
    """Makes the contents of files, or the names of folders, durable."""
    if len(paths) <= _SYNCED_AT_ONCE:
        for path in paths:
            sync(path)
        return
    from concurrent.futures import ThreadPoolExecutor  # a query syncs nothing

    with ThreadPoolExecutor(_SYNCED_AT_ONCE) as pool:
        for _ in pool.map(sync, paths):
            pass


def digest(path: Path) -> str:
    """XXH3-128 of a file's bytes, in hexadecimal: what identifies a source, and proves a file of the store.

    Raises:
        OSError: It cannot be read.
    """
    hashed = new_digest()
    with path.open("rb", buffering=0) as file:  # a buffer takes longer to make than a small file to read
        while block := file.read(_HASH_BLOCK):
            hashed.update(block)
    return hashed.hexdigest()


def make_folder(path: Path) -> None:
    """Makes a folder and those above it, where they are missing, durably."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        sync(path.parent)


def write(path: Path, content: bytes) -> None:
    """Writes a new file and syncs it; its name is durable once its folder is synced."""
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def link_exclusively(source: Path, target: Path) -> None:
    """Gives a synced file a second name, durably.

    Raises:
        FileExistsError: The name is taken. (A rename would replace that file without a word.)
    """
    os.link(source, target)
    sync(target.parent)


def replace_all(moves: Mapping[Path, Path]) -> None:
    """Moves synced files over others: who opens a target finds the old file or the new one, whole."""
    folders = {target.parent for target in moves.values()}
    for above in {folder.parent for folder in folders}:
        make_folder(above)
    for folder in folders:
        folder.mkdir(exist_ok=True)
    for above in {folder.parent for folder in folders}:
        sync(above)
    for source, target in moves.items():
        source.replace(target)
    sync_all(folders)


def remove_all(paths: Iterable[Path]) -> None:
    """Removes files, each with its folder if it was alone there, durably; those that are gone already do no harm."""
    for path in paths:
        path.unlink(missing_ok=True)
        if path.parent.exists():
            if any(path.parent.iterdir()):  # somebody's file, as NFS makes one while a reader has the partition open
                sync(path.parent)
            else:
                path.parent.rmdir()
        sync(path.parent.parent)


def remove_tree(path: Path) -> None:
    """Removes a folder and all below it, if it is there."""
    if path.exists():
        shutil.rmtree(path)
