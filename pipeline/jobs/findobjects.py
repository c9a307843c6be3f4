"""Raw objects: which of those that a user's URLs lead to are meant."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import PurePath

from pipeline.bucket import Found as Described
from pipeline.counting.objects import REQUESTS, Kept, ObjectSource
from pipeline.counting.sources import Failure
from pipeline.errors import BucketError, BucketUnusable, UsageError
from pipeline.hours import SECONDS_PER_HOUR
from pipeline.jobs.dates import has_dates, nothing_matches, without_dates
from pipeline.jobs.found import Found
from pipeline.jobs.leftalone import (
    MARKER_OF_FOLDER,
    MODIFIED_BEFORE,
    part_of_store,
    why_excluded,
    why_left_alone,
    why_no_log,
)
from pipeline.jobs.listing import Listed, list_named, list_patterns, list_url
from pipeline.objectpath import object_path


def find_objects(
    urls: Sequence[str], store: PurePath | None, exclude: Sequence[str], since: int | None, found: Found
) -> list[ObjectSource]:
    """The raw objects to which URLs lead, each once; takes note of the others.

    Args:
        urls: Those of objects, prefixes and patterns.
        store: The store, which may be in a bucket.
        exclude: See `find.find`; since alike.
        since: As above.
        found: Where what is named, left alone or failed is noted.

    Raises:
        UsageError: Nothing is there, or there is no such bucket; or what was given is not a URL, or is part of the store.
    """
    without = "" if store is None else f"{os.fspath(store)}/"
    for url in urls:
        if without and f"{url.rstrip('/')}/".startswith(without):
            raise UsageError(part_of_store(url))
    objects, kept = dict[str, ObjectSource](), Kept()
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="list") as pool:
        for url, listed in zip(urls, pool.map(lambda url: _listed(url, since), urls), strict=True):
            if isinstance(listed, BucketError):
                found.failed.append(Failure(url, f"cannot be looked for: {listed.problem}"))
                continue
            bucket = object_path(url).bucket
            oldest = None if since is None or has_dates(url) else since * SECONDS_PER_HOUR
            for described in _meant(url, listed, exclude, oldest, found):
                source = ObjectSource.found(bucket, described, kept)
                if not without or not source.name.startswith(without):
                    objects[source.name] = source
    return list(objects.values())


def _listed(url: str, since: int | None) -> list[Listed] | BucketError:
    """What a URL leads to, or why its bucket does not say."""
    try:
        if not _is_pattern(url):
            return list_url(url)
        listed = list_patterns(without_dates(url, since) if has_dates(url) else [url]) or list_named(url)
    except BucketUnusable as error:
        raise UsageError(str(error)) from None
    except BucketError as error:
        return error
    if not listed:
        raise UsageError(nothing_matches(url, since))
    return listed


def _is_pattern(url: str) -> bool:
    return has_dates(url) or glob.has_magic(url)


def _meant(
    url: str, listed: Sequence[Listed], exclude: Sequence[str], oldest: float | None, found: Found
) -> Iterator[Described]:
    """Those of the objects to which a URL leads that are not left alone."""
    bucket, is_pattern, folders = object_path(url).bucket, _is_pattern(url), _folders_of(listed)
    for described, top in listed:
        key, name = described.key, f"{bucket}/{described.key}"
        is_itself = key == top
        place, reason = key, why_no_log(key.rpartition("/")[2]) if is_itself else ""
        if excluded := why_excluded(top.rstrip("/"), exclude):
            place, reason = top.rstrip("/"), excluded
        if reason and not is_pattern:
            failure = Failure(f"{bucket}/{place}", f"{reason}; leave it out")
            found.failed.extend([failure] if failure not in found.failed else [])
            continue
        if not reason and not is_itself:
            place, reason = _left_alone_below(top, key, exclude)
        if not reason and not described.size and (key in folders or not key.startswith(top)):
            reason = MARKER_OF_FOLDER
        if not reason and oldest is not None and described.modified.timestamp() < oldest:
            reason = MODIFIED_BEFORE
        if reason:
            found.left_alone[f"{bucket}/{place}"] = reason
            continue
        found.named.update([name] if is_itself and not is_pattern else [])
        yield described


def _left_alone_below(top: str, key: str, exclude: Sequence[str]) -> tuple[str, str]:
    """Which of an object's prefixes below `top`, or whether itself, is left alone, and why; the reason is "" if none is."""
    below = key.removeprefix(top)
    ends = [place for place, letter in enumerate(below) if letter == "/"]
    for end in (*ends, len(below)):
        path = below[:end]
        if reason := why_excluded(path, exclude) or why_left_alone(path[path.rfind("/") + 1 :]):
            return top + path, reason
    return key, ""


def _folders_of(listed: Sequence[Listed]) -> set[str]:
    """The prefixes of the objects, without a slash at the end."""
    folders: set[str] = set()
    for described, _ in listed:
        folder = described.key.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders
