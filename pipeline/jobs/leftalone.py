"""What is met in a folder or below a prefix and positively not meant, by its name or by `--exclude`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

#: Files that are still being written, or that are not logs, by the habits of the programs that write them.
_STILL_WRITTEN_PREFIXES = (".", "_")
_STILL_WRITTEN_SUFFIXES = (".tmp", ".part", ".partial", ".inprogress")
_STILL_WRITTEN = "named like what is still being written"
#: What is left alone by its name starts with one of these, or ends with one of those.
_STARTS, _ENDS = (*_STILL_WRITTEN_PREFIXES, "aws-"), (*_STILL_WRITTEN_SUFFIXES, ".crc")
#: Why a file may be left alone for what is known of it beside its name.
MODIFIED_BEFORE = "modified before the time that --since names"
MARKER_OF_FOLDER = "the empty object that marks a folder"
#: Files that are known by their names not to be logs, wherever they lie.
_NO_LOGS = {
    "marker": "a marker of the program that filled the folder",
    "checksums": "the checksums of another file",
    "test": "what AWS writes to try whether it may write",
}
_NO_LOG = (
    r"(?P<marker>_SUCCESS|_metadata|_common_metadata|_delta_log|_temporary|_(?:started|committed)_.*|_symlink_format_manifest)"
    r"|(?P<checksums>.*\.crc)|(?P<test>aws-logs-write-test)"
)


def why_excluded(path: str, exclude: Iterable[str]) -> str:
    """Why a path is not wanted; "" if it is."""
    below = "/" + path.lstrip("/")
    for pattern in exclude:
        if any(fnmatchcase(text, pattern.rstrip("/")) for text in (below[below.rindex("/") + 1 :], below[1:], below)):
            return f"named by --exclude {pattern}"
    return ""


def why_left_alone(name: str) -> str:
    """Why a file or folder that was met is not taken for a raw file, by its name; "" if it is."""
    if _is_like_most(name):
        return ""
    is_still_written = name.startswith(_STILL_WRITTEN_PREFIXES) or name.endswith(_STILL_WRITTEN_SUFFIXES)
    return why_no_log(name) or (_STILL_WRITTEN if is_still_written else "")


def _is_like_most(name: str) -> bool:
    """Whether nothing that is left alone by its name starts or ends as this does."""
    return not (name.startswith(_STARTS) or name.endswith(_ENDS))


def why_no_log(name: str) -> str:
    """Why a file is no log, wherever it lies and whoever names it; "" if it may be one."""
    found = None if _is_like_most(name) else re.fullmatch(_NO_LOG, name)
    return _NO_LOGS[str(found.lastgroup)] if found else ""


def part_of_store(name: str) -> str:
    """What is said of a path or URL that was named and is the store's own."""
    return f"{name} is part of the store, and no raw file; leave it out, or keep the store elsewhere"
