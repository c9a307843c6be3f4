"""Raw files and objects: which there are, and which are left alone."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePath

from pipeline.counting.sources import Failure, name_of
from pipeline.errors import UsageError
from pipeline.jobs.dates import has_dates, nothing_matches, without_dates
from pipeline.jobs.found import Found
from pipeline.jobs.leftalone import MODIFIED_BEFORE, why_excluded, why_left_alone, why_no_log
from pipeline.objectpath import is_url
from pipeline.scalars import SECONDS_PER_HOUR, real_path


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
    paths = _find_files([name for name in raw if not is_url(name)], store, exclude, since, found)
    files = {os.fspath(path): path for path in paths}  # texts are compared faster than paths
    if urls := [name for name in raw if is_url(name)]:
        from pipeline.jobs.findobjects import find_objects  # which files do without

        objects = find_objects(urls, store, exclude, since, found)
        found = replace(found, objects=sorted(objects, key=lambda source: source.name))
    return replace(found, files=[files[name] for name in sorted(files)])


def _find_files(
    raw: Iterable[str], store: PurePath | None, exclude: Sequence[str], since: int | None, found: Found
) -> Iterator[Path]:
    without = None if store is None else real_path(store)
    for name in raw:
        matches, is_pattern = _matches(name, since)
        here = list[Path]()
        for match in matches:
            path = real_path(match) if match.is_dir() else real_path(match.parent) / match.name
            if without is not None and real_path(match).is_relative_to(without):
                if not is_pattern:
                    raise UsageError(f"{name} is part of the store, and no raw file")
                continue  # a pattern that happens to match it
            reason = why_excluded(os.fspath(match), exclude) or ("" if match.is_dir() else why_no_log(path.name))
            if reason and is_pattern:
                found.left_alone[name_of(path)] = reason
            elif reason:
                found.failed.append(Failure(name_of(path), f"{reason}; leave it out"))
            elif match.is_dir():
                here += _walk(path, without, exclude, found)
            else:
                here.append(path)
                found.named.update(() if is_pattern else [name_of(path)])
        yield from here if since is None or has_dates(name) else _modified_since(since, here, found)


def _matches(name: str, since: int | None) -> tuple[list[Path], bool]:
    """The paths that an argument names, and whether it is a pattern."""
    if not name:
        raise UsageError("an empty path; is a variable of the shell not set?")
    try:
        if Path(name).exists():
            return [Path(name)], False
        if not glob.has_magic(name) and not has_dates(name):
            raise UsageError(f"there is no file or folder {name}")
        patterns = without_dates(name, since) if has_dates(name) else [name]
        matches = [Path(match) for pattern in patterns for match in glob.iglob(pattern, recursive=True)]
    except OSError as error:
        raise UsageError(f"cannot look at {name}: {error.strerror}") from None
    if not matches:
        raise UsageError(nothing_matches(name, since))
    return matches, True


def _modified_since(since: int, files: Iterable[Path], found: Found) -> Iterator[Path]:
    for path in files:
        try:
            is_old = path.stat().st_mtime < since * SECONDS_PER_HOUR
        except OSError:  # as whoever opens it will say
            is_old = False
        if is_old:
            found.left_alone[name_of(path)] = MODIFIED_BEFORE
        else:
            yield path


#: Of more files in a folder the folder is asked for their paths, which takes a fifth of the time of making each of a text.
_FEW = 100


def _paths_in(folder: Path) -> dict[str, Path]:
    with suppress(OSError):  # it has just been read, and may be gone since
        return {path.name: path for path in folder.iterdir()}
    return {}


def _walk(top: Path, without: Path | None, exclude: Sequence[str], found: Found) -> Iterator[Path]:
    def fail(error: OSError) -> None:
        found.failed.append(Failure(name_of(Path(error.filename)), f"the folder cannot be read: {error.strerror}"))

    def is_left_alone(path: Path, name: str) -> bool:
        reason = why_excluded(os.fspath(path)[len(os.fspath(top)) :], exclude) if exclude else ""
        reason = reason or why_left_alone(name)
        if reason:
            found.left_alone[name_of(path)] = reason
        return bool(reason)

    for parent, folders, names in os.walk(top, onerror=fail):
        paths = _paths_in(Path(parent)) if len(names) > _FEW else {}
        for name in names:
            path = paths.get(name) or Path(parent, name)
            if not is_left_alone(path, name):
                yield path
        below = [
            path
            for path in (Path(parent, name) for name in folders)
            if path != without and not is_left_alone(path, path.name)
        ]
        found.left_alone.update(
            {name_of(path): "a link to a folder; name the folder itself" for path in below if path.is_symlink()}
        )
        folders[:] = [path.name for path in below]
