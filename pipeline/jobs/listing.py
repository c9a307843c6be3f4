"""Raw objects: which there are below the prefixes and patterns that a user names, by few requests.

A pattern is followed as a shell follows it among folders: of a part without `*`, `?` or `[` nothing is listed, and of a part that
has one only the names directly below. What matches at the end, and is a prefix of others, is searched to any depth.
"""

from __future__ import annotations

import glob
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import NamedTuple, TypeAlias

from pipeline.bucket import Bucket, Found, bucket_of
from pipeline.counting.objects import REQUESTS
from pipeline.errors import UsageError
from pipeline.objectpath import object_path

#: What follows behind a prefix, part by part.
Parts: TypeAlias = tuple[str, ...]


class Listed(NamedTuple):
    """An object that a user's URL led to.

    Attributes:
        found: What its bucket says of it.
        top: The prefix below which it was met, with a slash at its end; its key where the URL led to the object itself.
    """

    found: Found
    top: str


def list_url(url: str) -> list[Listed]:
    """The object of a URL, or the objects below it.

    Raises:
        UsageError: There is no such object, and none below it.
        BucketError: The bucket does not say.
    """
    path = object_path(url)
    store = bucket_of(path)
    itself = list_named(url)
    # An empty object may be the marker of a folder.
    found = itself if itself and itself[0].found.size else [*_below(store, path.key)] or itself
    if not found:
        raise UsageError(f"there is no object {url}, and none below it")
    return found


def list_named(url: str) -> list[Listed]:
    """The object that has this very URL, if there is one; a key may look like a pattern."""
    path = object_path(url)
    return [] if url.endswith("/") else _itself(bucket_of(path), path.key)


def list_patterns(urls: Sequence[str]) -> list[Listed]:
    """The objects of a bucket that match one of several patterns.

    Raises:
        BucketError: The bucket does not say.
    """
    store = bucket_of(object_path(urls[0]))
    found: list[Listed] = []
    here: Mapping[str, Collection[Parts]] = {"": {_parts_of(url) for url in urls}}
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="list") as pool:
        while here:
            further: dict[str, set[Parts]] = {}
            for matches, prefixes in pool.map(lambda at: _step(store, *at), here.items()):
                found += matches
                for prefix, parts in prefixes:
                    further.setdefault(prefix, set()).add(parts)
            here = further
    return found


def _parts_of(url: str) -> Parts:
    """What a pattern consists of; an empty part at its end where only prefixes are meant, as they are in `a/*/`."""
    return (*object_path(url).key.split("/"), *([""] if url.endswith("/") else []))


def _step(store: Bucket, prefix: str, patterns: Collection[Parts]) -> tuple[list[Listed], list[tuple[str, Parts]]]:
    """What is at a prefix, which is empty or ends with a slash: what matches, and where to go on with what follows behind."""
    found: list[Listed] = []
    further: list[tuple[str, Parts]] = []
    to_name: list[Parts] = []
    for parts in patterns:
        if not parts or parts[0] in ("", "**"):
            found += _below(store, prefix, parts)
        elif not glob.has_magic(parts[0]):
            if len(parts) > 1:
                further.append((f"{prefix}{parts[0]}/", parts[1:]))
            else:  # mostly it is a prefix
                found += [*_below(store, prefix + parts[0])] or _itself(store, prefix + parts[0])
        elif len(parts) == 1 and _start_of(parts[0]):
            found += _starting(store, prefix, parts[0])
        else:
            to_name.append(parts)
    if to_name:
        folders, objects = store.names(prefix.removesuffix("/"))
        for name, *rest in to_name:
            further += [(f"{prefix}{folder}/", tuple(rest)) for folder in folders if _fits(folder, name)]
            if not rest:
                found += [Listed(one, one.key) for one in objects if _fits(one.key.removeprefix(prefix), name)]
    return found, further


def _itself(store: Bucket, key: str) -> list[Listed]:
    try:
        return [Listed(store.head(key), key)] if key else []
    except FileNotFoundError:
        return []


def _below(store: Bucket, prefix: str, parts: Parts = ()) -> Iterator[Listed]:
    """What is below a prefix, at any depth, as far as a pattern fits it."""
    prefix = prefix.removesuffix("/")
    for page in store.list(prefix):
        for found in page:
            if listed := _as_listed(found, f"{prefix}/" if prefix else "", parts):
                yield listed


def _starting(store: Bucket, prefix: str, pattern: str) -> Iterator[Listed]:
    """What matches a pattern that begins with plain letters: of a long listing, only what lies around these is asked for."""
    start = prefix + _start_of(pattern)
    for page in store.list(prefix.removesuffix("/"), _before(start)):
        for found in page:
            if found.key.startswith(start) and (listed := _as_listed(found, prefix, (pattern,))):
                yield listed
        # Only the buckets of S3 Express list in no order.
        if page and page[-1].key > start and not page[-1].key.startswith(start) and not store.url.endswith("--x-s3"):
            return


def _before(start: str) -> str:
    """A key that comes before all that begin with `start`, and behind most others."""
    letter = chr(ord(start[-1]) - 1)
    if letter.isprintable() and letter != "/":
        return start[:-1] + letter
    return start[:-1].rstrip("/.")  # no part of a key that is asked for has that letter, or is a dot or two


def _start_of(pattern: str) -> str:
    """The plain letters with which a pattern begins."""
    return next((pattern[:end] for end, letter in enumerate(pattern) if letter in "*?["), pattern)


def _as_listed(found: Found, prefix: str, parts: Parts) -> Listed | None:
    """An object below a prefix, if a pattern fits it, or fits a prefix of it."""
    names = found.key.removeprefix(prefix).split("/")
    taken = _taken(names, parts)
    if taken is None:
        return None
    return Listed(found, found.key if taken == len(names) else prefix + "".join(f"{name}/" for name in names[:taken]))


def _taken(names: Sequence[str], parts: Parts) -> int | None:
    """How many names a pattern takes, the fewest that it can; None if it does not fit."""
    if parts in ((), ("",), ("**",)):
        return 0
    if parts[0] != "**":
        taken = _taken(names[1:], parts[1:]) if names and _fits(names[0], parts[0]) else None
        return None if taken is None else taken + 1
    for skipped, name in enumerate(names):
        if (taken := _taken(names[skipped:], parts[1:])) is not None:
            return skipped + taken
        if name.startswith("."):
            return None
    return None


def _fits(name: str, pattern: str) -> bool:
    """Whether a pattern fits a name; as in a shell, what begins with a dot must be asked for with a dot."""
    return fnmatchcase(name, pattern) and (not name.startswith(".") or pattern.startswith("."))
