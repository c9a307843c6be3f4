"""Rivals: of the files of one run that have the same content, or of which one starts with another, one counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import NamedTuple

from pipeline.counting.sources import Source
from pipeline.digests import Content
from pipeline.jobs.compare import Looked


class Rival(NamedTuple):
    """A source that counts only if no other source of this run counts that has its content, or starts with it.

    Attributes:
        source: The source.
        content: Its content; None where sources with the same content count each, and this is another name of one file.
        others: The digests of the contents of this run that start with it.
    """

    source: Source
    content: Content | None = None
    others: Collection[str] = ()

    @property
    def key(self) -> object:
        """What it has in common with the others: a content, or the file itself."""
        return self.content.digest if self.content else self.source.identity


def rivals_among(candidates: Sequence[Looked], *, equal_count: bool) -> list[Rival]:
    """Those of some files that are to be counted only if others are not; the longest first.

    Args:
        candidates: The files, in the order of their paths.
        equal_count: Whether files with the same content count each.
    """
    if equal_count:
        return _other_names(candidates)
    longer: dict[str, set[str]] = defaultdict(set)
    for candidate in candidates:
        for digest in candidate.met:
            longer[digest].add(candidate.digest)
    seen, rivals = set[str](), list[Rival]()
    for candidate in candidates:
        if candidate.content and (candidate.digest in seen or candidate.digest in longer):
            rivals.append(Rival(candidate.source, candidate.content, sorted(longer[candidate.digest])))
        seen.add(candidate.digest)
    return sorted(rivals, key=lambda rival: -rival.content.size if rival.content else 0)


def _other_names(candidates: Sequence[Looked]) -> list[Rival]:
    """The files that are other names of one that is there already."""
    files, rivals = set[object](), list[Rival]()
    for candidate in candidates:
        if candidate.source.identity in files:
            rivals.append(Rival(candidate.source))
        files.add(candidate.source.identity)
    return rivals
