"""Raw files: which there are, and which files are left alone."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pipeline.counting.sources import Failure, name_of
from pipeline.errors import UsageError
from pipeline.scalars import real_path

#: Files that are still being written, or that are not logs, by the habits of the programs that write them.
_STILL_WRITTEN_PREFIXES = (".", "_")
_STILL_WRITTEN_SUFFIXES = (".tmp", ".part", ".partial", ".inprogress")
_STILL_WRITTEN = "named like what is still being written"
#: Files that are known by their names not to be logs, wherever they lie.
_NO_LOGS = {
    "marker": "a marker of the program that filled the folder",
    "checksums": "the checksums of another file",
    "test": "what AWS writes to try whether it may write",
}
_NO_LOG = re.compile(
    r"(?P<marker>_SUCCESS|_metadata|_common_metadata|_delta_log|_temporary|_(?:started|committed)_.*|_symlink_format_manifest)"
    r"|(?P<checksums>.*\.crc)|(?P<test>aws-logs-write-test)"
)


@dataclass(frozen=True)
class Found:
    """Raw files.

    Attributes:
        files: Each once, sorted by path.
        named: Those of the files that were named themselves, and not met in a folder or by a pattern.
        left_alone: What else was met and not taken for raw files: its name, and why.
        failed: Folders that cannot be read, and files that were named and are not raw files.
    """

    files: list[Path] = field(default_factory=list)
    named: set[Path] = field(default_factory=set)
    left_alone: dict[str, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)


def find(raw: Sequence[str], store: Path | None = None, exclude: Sequence[str] = ()) -> Found:
    """Finds raw files.

    Args:
        raw: Files, folders (searched to any depth) and glob patterns (`**` goes to any depth).
        store: The store's folder, whose files are not raw files even if it lies below a folder that is searched.
        exclude: Patterns of the files and folders that are left alone. A pattern is held against a name, and against the path in
            the folder that was given; `*` matches any characters, `/` among them.

    Raises:
        UsageError: A file or folder does not exist, or is the store's own, or nothing matches a pattern.
    """
    files: dict[str, Path] = {}  # by their texts, which are compared faster than paths
    found = Found()
    without = None if store is None else real_path(store)
    for name in raw:
        matches, is_pattern = _matches(name)
        for match in matches:
            path = real_path(match) if match.is_dir() else real_path(match.parent) / match.name
            if without is not None and real_path(match).is_relative_to(without):
                if not is_pattern:
                    raise UsageError(f"{name} is part of the store, and no raw file")
                continue  # a pattern that happens to match it
            reason = _why_excluded(os.fspath(match), exclude) or ("" if match.is_dir() else _why_no_log(path.name))
            if reason and is_pattern:
                found.left_alone[name_of(path)] = reason
            elif reason:
                found.failed.append(Failure(name_of(path), f"{reason}; leave it out"))
            elif match.is_dir():
                files.update((os.fspath(file), file) for file in _walk(path, without, exclude, found))
            else:
                files[os.fspath(path)] = path
                found.named.update(() if is_pattern else [path])
    return replace(found, files=[files[name] for name in sorted(files)])


def _matches(name: str) -> tuple[list[Path], bool]:
    """The paths that an argument names, and whether it is a pattern."""
    if not name:
        raise UsageError("an empty path; is a variable of the shell not set?")
    try:
        if Path(name).exists():
            return [Path(name)], False
        if not glob.has_magic(name):
            raise UsageError(f"there is no file or folder {name}")
        if not (matches := [Path(match) for match in glob.iglob(name, recursive=True)]):
            raise UsageError(f"nothing matches {name}")
    except OSError as error:
        raise UsageError(f"cannot look at {name}: {error.strerror}") from None
    return matches, True


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
        reason = _why_excluded(os.fspath(path)[len(os.fspath(top)) :], exclude) if exclude else ""
        reason = reason or _why_left_alone(name)
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


def _why_excluded(path: str, exclude: Iterable[str]) -> str:
    """Why a path is not wanted; "" if it is."""
    below = "/" + path.lstrip("/")
    for pattern in exclude:
        if any(fnmatchcase(text, pattern.rstrip("/")) for text in (below[below.rindex("/") + 1 :], below[1:], below)):
            return f"named by --exclude {pattern}"
    return ""


def _why_left_alone(name: str) -> str:
    """Why a file or folder that was met is not taken for a raw file, by its name; "" if it is."""
    if name.startswith(_STILL_WRITTEN_PREFIXES) or name.endswith(_STILL_WRITTEN_SUFFIXES):
        return _why_no_log(name) or _STILL_WRITTEN
    return _why_no_log(name)


def _why_no_log(name: str) -> str:
    found = _NO_LOG.fullmatch(name)
    return _NO_LOGS[str(found.lastgroup)] if found else ""
