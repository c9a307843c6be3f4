"""Durable file operations: after each, what it did survives a loss of power.

POSIX makes a rename or a link atomic, but durable only once the folder that holds the name is synced too; a file's
content is durable once the file is.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import xxhash

from pipeline.errors import StoreUnwritable

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


def new_digest() -> xxhash.xxh3_128:
    """What takes a digest piece by piece."""
    return xxhash.xxh3_128()


def digest_of_bytes(data: bytes) -> str:
    """XXH3-128 of some bytes, in hexadecimal."""
    return xxhash.xxh3_128_hexdigest(data)


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
