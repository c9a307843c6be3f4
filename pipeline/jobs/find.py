"""Raw files and objects: which there are, and which are left alone.

Paths are texts here: a `Path` takes longer to make than a file to look at.
"""

# ruff: noqa: PTH112, PTH116, PTH118 - as above

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path, PurePath

from pipeline.counting.sources import Failure, name_of
from pipeline.errors import UsageError
from pipeline.hours import SECONDS_PER_HOUR
from pipeline.jobs.dates import has_dates, nothing_matches, without_dates
from pipeline.jobs.found import Found
from pipeline.jobs.leftalone import MODIFIED_BEFORE, part_of_store, why_excluded, why_left_alone, why_no_log
from pipeline.objectpath import is_url
from pipeline.scalars import real_path


def find(raw: Sequence[str], store: PurePath | None = None, exclude: Sequence[str] = (), since: int | None = None) -> Found:
    """Finds raw files and objects.

    Args:
        raw: Files, folders (searched to any depth) and glob patterns (`**` goes to any depth), with `{yyyy}`, `{mm}`, `{dd}` and
            `{hh}` for the parts of dates; and the URLs of objects, prefixes and patterns alike.
        store: The store's folder, whose files are not raw files even if it lies below a folder that is searched.
        exclude: Patterns of the files and folders that are left alone. A pattern is held against a name, and against the path in
            the folder that was given; `*` matches any characters, `/` among them.
        since: The first hour that is meant: of paths with dates by these, of all others by the time of modification.

    Raises:
        UsageError: A file or folder does not exist, or is the store's own, or nothing matches a pattern; there is no such bucket.
    """
    found = Found()
    files = set(_find_files([name for name in raw if not is_url(name)], store, exclude, since, found))
    if urls := [name for name in raw if is_url(name)]:
        from pipeline.jobs.findobjects import find_objects  # which files do without

        objects = find_objects(urls, store, exclude, since, found)
        found = replace(found, objects=sorted(objects, key=lambda source: source.name))
    return replace(found, files=sorted(files))


def _find_files(
    raw: Iterable[str], store: PurePath | None, exclude: Sequence[str], since: int | None, found: Found
) -> Iterator[str]:
    without = None if store is None else _real(store)
    real_folder = cache(_real)  # thousands of files lie in one
    for name in raw:
        matches, is_pattern = _matches(name, since)
        here = list[str]()
        for match in matches:
            is_link, is_folder = _kind_of(match)
            folder, last = os.path.split(match)
            path = _real(match) if is_folder else os.path.join(real_folder(folder), last)
            if without is not None and _is_within(_real(match) if is_link else path, without):
                if not is_pattern:
                    raise UsageError(part_of_store(name))
                continue  # a pattern that happens to match it
            excluded = why_excluded(os.fspath(Path(match)), exclude) if exclude else ""
            reason = excluded or ("" if is_folder else why_no_log(last))
            if reason and is_pattern:
                found.left_alone[name_of(path)] = reason
            elif reason:
                found.failed.append(Failure(name_of(path), f"{reason}; leave it out"))
            elif is_folder:
                here += _walk(path, without, exclude, found)
            else:
                here.append(path)
                found.named.update(() if is_pattern else [name_of(path)])
        yield from here if since is None or has_dates(name) else _modified_since(since, here, found)


def _real(path: str | PurePath) -> str:
    return os.fspath(real_path(path))


def _kind_of(path: str) -> tuple[bool, bool]:
    """Whether something is a link, and whether it is a folder, or a link to one."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:  # opening it will say so
        return False, False
    is_link = stat.S_ISLNK(mode)
    return is_link, os.path.isdir(path) if is_link else stat.S_ISDIR(mode)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _matches(name: str, since: int | None) -> tuple[list[str], bool]:
    """The paths that an argument names, and whether it is a pattern."""
    if not name:
        raise UsageError("an empty path; is a variable of the shell not set?")
    try:
        path = Path(name)
        if path.exists():
            return [os.fspath(path)], False
        if not glob.has_magic(name) and not has_dates(name):
            raise UsageError(f"there is no file or folder {name}")
        patterns = without_dates(name, since) if has_dates(name) else [name]
        matches = [match for pattern in patterns for match in glob.iglob(pattern, recursive=True)]
    except OSError as error:
        raise UsageError(f"cannot look at {name}: {error.strerror}") from None
    if not matches:
        raise UsageError(nothing_matches(name, since))
    return matches, True


def _modified_since(since: int, files: Iterable[str], found: Found) -> Iterator[str]:
    for path in files:
        try:
            is_old = os.stat(path).st_mtime < since * SECONDS_PER_HOUR
        except OSError:  # opening it will say so
            is_old = False
        if is_old:
            found.left_alone[name_of(path)] = MODIFIED_BEFORE
        else:
            yield path


def _walk(top: str, without: str | None, exclude: Sequence[str], found: Found) -> Iterator[str]:
    """The files below a folder, at any depth."""
    folders = [top]
    while folders:
        below = list[str]()
        for entry in _entries(folders.pop(), found):
            path, is_folder = entry.path, _is_folder(entry)
            if is_folder and path == without:
                continue
            reason = (why_excluded(path[len(top) :], exclude) if exclude else "") or why_left_alone(entry.name)
            if is_folder and not reason and entry.is_symlink():
                reason = "a link to a folder; name the folder itself"
            if reason:
                found.left_alone[name_of(path)] = reason
            elif is_folder:
                below.append(path)
            else:
                yield path
        folders += reversed(below)


def _entries(folder: str, found: Found) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing of a folder that cannot be read to its end."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        found.failed.append(Failure(name_of(folder), f"the folder cannot be read: {error.strerror}"))
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that cannot be followed
        return False
