"""What reading raw files needs beside their bytes: the options, looked up, and the mapping file that they name."""

from __future__ import annotations

import json
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import digests
from pipeline.counting.content import digest_of
from pipeline.counting.sources import Source
from pipeline.errors import UnreadableSource, UsageError
from pipeline.options import ReadOptions
from pipeline.scalars import is_utf8, real_path, version
from pipeline.zones import zone_of

if TYPE_CHECKING:
    from pipeline.formats.apps import AppMap

#: The header of a mapping file is looked for in so many bytes.
_MOST_HEADER_BYTES = 1 << 16


def resolved(options: ReadOptions) -> ReadOptions:
    """The options as the ledger keeps them, with the real path and the digest of the mapping file, and with the networks and
    interfaces one by one, once they are checked.

    Raises:
        UsageError: There is no mapping file, no such time zone, the VPC cannot be stored, a format has no such setting, or a text
            is not a network.
    """
    zone_of(options.timezone)
    if not is_utf8(options.vpc_id or ""):
        raise UsageError("the VPC must be valid UTF-8")
    if options.settings:
        from pipeline.formats import check_settings  # imports Arrow, which few runs need so early

        check_settings(options)
    values = {known.name: getattr(options, known.name) for known in fields(ReadOptions)}
    if options.apps is not None:
        values |= {"apps": real_path(options.apps), "apps_digest": _digest_of(options.apps)}
    if options.logged or options.hop or _names_logged(options):
        values |= _ends_of(options)
    return ReadOptions(**values)


def _ends_of(options: ReadOptions) -> dict[str, tuple[str, ...]]:
    """The networks that are logged, and the interfaces on the way."""
    if options.both_ends == "count":
        raise UsageError(
            "--logged and --hop say which reports are left out, and --both-ends count leaves none out; choose one"
        )
    from pipeline.formats.networks import networks_given  # imports Arrow, as above

    hops = {part.strip() for word in options.hop for part in word.split(",")}
    if options.hop and "" in hops:
        raise UsageError("--hop: an interface has no name; write them like eni-0a1b2c,eni-3d4e5f")
    if not all(map(is_utf8, hops)):
        raise UsageError("--hop: the names of interfaces must be valid UTF-8")
    return {"logged": networks_given((*options.logged, *_logged_in(options))), "hop": tuple(sorted(hops))}


def _names_logged(options: ReadOptions) -> bool:
    """Whether the mapping file has a column that says which networks are logged, and a flow is to count once."""
    if options.apps is None or options.both_ends == "count":
        return False
    with options.apps.open("rb") as file:
        return b"logged" in file.readline(_MOST_HEADER_BYTES)


def _logged_in(options: ReadOptions) -> tuple[str, ...]:
    """The networks that the mapping file calls logged."""
    if options.apps is None or not _names_logged(options):
        return ()
    from pipeline.formats.mappingfile import logged_networks  # imports Arrow, as above

    return logged_networks(options.apps)


def fingerprint(options: ReadOptions) -> str:
    """What tells these options, and this version of flowlog, from all others."""
    return digests.digest_of_bytes(json.dumps([version(), options.to_json()]).encode())


def load_apps(options: ReadOptions) -> AppMap | None:
    """Loads the mapping file, if there is one.

    Raises:
        UsageError: It is unfit, or another than it was.
    """
    return None if options.apps is None else _load_apps(options.apps, options.apps_digest)


@lru_cache(maxsize=4)
def _load_apps(path: Path, digest: str | None) -> AppMap:
    from pipeline.formats.apps import load_app_map  # imports Arrow, which a run that finds nothing new does without

    apps = load_app_map(path)
    if _digest_of(path) != digest:
        raise UsageError(
            f"the mapping file {path} has changed since files were counted with it; its names would no longer fit the totals"
        )
    return apps


def _digest_of(path: Path) -> str:
    """The digest of a mapping file's bytes.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return digest_of(Source.at(path))
    except UnreadableSource as error:
        reason = str(error).removeprefix("cannot be read: ")
        raise UsageError(f"the mapping file {path} cannot be read: {reason}") from None
