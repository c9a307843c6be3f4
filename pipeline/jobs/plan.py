"""What a run is to do with each raw file, decided before it touches anything.

Most of it is decided without reading: a file that looks as it did when it was counted is known. Of each other file the first
bytes are read; these tell with which contents, counted before or met in this run, the file must be compared (`compare`). Mostly
there are none: then the file is new, and its digest is taken while it is counted. Where files with the same content count each, and
nothing was counted from any of their paths, no content decides anything, and none is read before it is counted.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import chain, islice
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

from pipeline.counting.content import Look, look_at
from pipeline.counting.sources import Failure, Source, name_of, status_of
from pipeline.digests import Appearance, Content
from pipeline.errors import SourceError
from pipeline.jobs.compare import Looked, MapAll, compare, or_error
from pipeline.jobs.found import Found
from pipeline.jobs.rivals import Rival, rivals_among
from pipeline.options import SameContent
from pipeline.store.index import Index, Known, Met

#: No content has this digest: a file that could not be read when the run was planned is not counted if it can be later.
UNREADABLE = "unreadable"
#: So many bytes of small contents are kept in memory until they are counted; others are read again.
_KEPT_BYTES = 32 << 20
#: So many files at a time are looked at, and asked for in the index.
_ASKED_AT_ONCE = 300

T = TypeVar("T")
#: Looks at many files, perhaps at several at once; what each look tells, or why none was to be had, in their order.
LookAtAll: TypeAlias = Callable[[Sequence[Source]], Iterable[Look | SourceError]]
_LOOK_AT_EACH: LookAtAll = partial(map, or_error(look_at))


class Plan(NamedTuple):
    """What a run does with each source. What cannot be known before these are counted, `outcome.Outcome` has.

    Attributes:
        new: To be counted, in the order of their paths; with their digests, where they had to be told from others.
        rivals: To be counted if others of this run are not; the longest first.
        known: Skipped: the names of those that were counted before, from this path.
        duplicates: Skipped: other paths with the same content as one that is counted, and that path.
        starts: Skipped: other paths with the start of the content of one that is counted, and that path.
        empty: Skipped: without content.
        too_recent: Left for the next run: modified too short a time ago.
        left_alone: What else was met and not taken for raw files: its name, and why.
        changed: They start with what was counted before they grew, or were counted from this path with other content. Not
            counted, unless what they counted before is replaced.
        superseded: What was counted before and would count twice, by the name of the source that changed.
        replaces_changed: Whether the changed sources are counted, and what they supersede is taken back.
        grown_from: The contents of what was counted before it grew, and all with which these are known to start, by the name
            of the source that has grown.
        failed: Not readable.
        met: What is to be remembered of files that are not counted.
        named: The names of the sources that were named themselves, and not met in a folder or by a pattern.
    """

    new: Sequence[Source] = ()
    rivals: Sequence[Rival] = ()
    known: Sequence[str] = ()
    duplicates: Sequence[tuple[Source, str]] = ()
    starts: Sequence[tuple[Source, str]] = ()
    empty: Sequence[Source] = ()
    too_recent: Sequence[Source] = ()
    left_alone: Mapping[str, str] = MappingProxyType({})
    changed: Sequence[Source] = ()
    superseded: Mapping[str, Sequence[Known]] = MappingProxyType({})
    replaces_changed: bool = False
    grown_from: Mapping[str, Sequence[Content]] = MappingProxyType({})
    failed: Sequence[Failure] = ()
    met: Sequence[Met] = ()
    named: Collection[str] = ()

    @property
    def replacing(self) -> Sequence[Source]:
        """The changed sources that are to be counted."""
        return self.changed if self.replaces_changed else ()

    @property
    def has_work(self) -> bool:
        """Whether there is something to count or to take back."""
        return bool(self.new or self.rivals or (self.superseded and self.replaces_changed))

    def why_changed(self, source: Source) -> str:
        """How a source has changed, as a part of a sentence."""
        others = [known.path for known in self.superseded[source.name] if known.path != source.name]
        if others:
            return f"it starts with all that was counted from {others[0]}, and has grown since"
        return "it was counted with other content"


class _Draft:
    """What could be decided of files so far; the names are those of `Plan`.

    Attributes:
        reading: Tells how files are read now.
        looked: The files that must be compared with others.
        known: How each known source looks.
        kept_bytes: The bytes of small contents that are kept in memory.
    """

    def __init__(self, found: Found, reading: Callable[[], str]) -> None:
        self.reading = reading
        self.looked: list[Looked] = []
        self.kept_bytes = 0
        self.new: list[Source] = []
        self.known: list[Appearance] = []
        self.duplicates: list[tuple[Source, str]] = []
        self.starts: list[tuple[Source, str]] = []
        self.empty: list[Source] = []
        self.too_recent: list[Source] = []
        self.left_alone = dict(found.left_alone)
        self.changed: list[Source] = []
        self.superseded: dict[str, list[Known]] = {}
        self.grown_from: dict[str, list[Content]] = {}
        self.failed = list(found.failed)
        self.met: list[Met] = []
        self._named = found.named

    def remember(self, item: Looked) -> None:
        """Has a file that is skipped remembered; what was remembered already has no heads."""
        self.met += [met_as(item.source, item.digest)] if item.heads else []

    def set_unreadable_aside(self) -> None:
        """Has the files that could not be compared counted, which tells what is wrong with them."""
        self.new += [item.source.identified(UNREADABLE, item.source.text) for item in self.looked if not item.is_readable]
        self.looked = [item for item in self.looked if item.is_readable]

    def plan(self, candidates: Iterable[Looked], rivals: Sequence[Rival], *, replaces_changed: bool) -> Plan:
        """The plan, once all is decided.

        Args:
            candidates: The files that are to be counted, unless they are rivals.
            rivals: Those that are to be counted if others are not.
            replaces_changed: Whether what changed sources counted before is taken back.
        """
        later = {rival.source for rival in rivals}
        new = [*self.new, *(item.source for item in candidates if item.source.name not in self.superseded)]
        return Plan(
            new=_by_path(source for source in new if source not in later),
            rivals=rivals,
            known=[name for name, _, _ in self.known],
            duplicates=self.duplicates,
            starts=self.starts,
            empty=self.empty,
            too_recent=self.too_recent,
            left_alone=self.left_alone,
            changed=_by_path(source for source in self.changed if source not in later),
            superseded=self.superseded,
            replaces_changed=replaces_changed,
            grown_from=self.grown_from,
            failed=self.failed,
            met=self.met,
            named=self._named,
        )


def make_plan(
    found: Found,
    index: Index,
    same_content: SameContent = "skip",
    replace_changed: bool = False,
    min_age_seconds: float = 0,
    reading: Callable[[], str] = str,
    look_at_all: LookAtAll = _LOOK_AT_EACH,
    map_all: MapAll = map,
) -> Plan:
    """Decides what to do with each source.

    Args:
        found: What `find` gives.
        index: What was counted before.
        same_content: Whether a file is skipped, or counted, whose content was counted from another path.
        replace_changed: Whether what changed sources counted before is taken back by this run.
        min_age_seconds: Files that were modified less than so long ago are left alone.
        reading: Tells how files are read now (`reading.fingerprint`): what is left alone depends on it.
        look_at_all: How to look at the starts of many files.
        map_all: How to read many files.
    """
    draft = _Draft(found, reading)
    unread = list(_sift(found, index, min_age_seconds, draft))
    latest = index.latest_at(source.name for source in (*unread, *(item.source for item in draft.looked)))
    # Where files with the same content count each, it only matters whether a path still has what was counted from there. A file
    # without content is then found to be empty when it is counted.
    if same_content == "skip" or latest:
        for source, look in zip(unread, look_at_all(unread), strict=True):
            _take_look(source, look, draft)
        compare(draft.looked, index, map_all)
    else:
        draft.looked += map(Looked, unread)
    draft.set_unreadable_aside()
    candidates = _decide(draft, index, latest, same_content, replace_changed)
    rivals = rivals_among(candidates, equal_count=same_content == "count")
    return draft.plan(candidates, rivals, replaces_changed=replace_changed)


def _by_path(sources: Iterable[Source]) -> list[Source]:
    return sorted(sources, key=lambda source: source.name)


def _sift(found: Found, index: Index, min_age_seconds: float, draft: _Draft) -> Iterator[Source]:
    """Decides what can be decided without reading; gives the sources that must be read."""
    is_recent = partial(_is_recent, time.time(), min_age_seconds) if min_age_seconds else None
    files = _not_known(_looked_up(found.files, draft), index, is_recent, draft)
    objects = _not_known(((one.appearance, one.mtime_ns, one) for one in found.objects), index, is_recent, draft)
    others = chain((Source.seen(name, status) for name, status in files), (one for _, one in objects))
    while some := list(islice(others, _ASKED_AT_ONCE)):
        met = index.met_among(source.appearance for source in some)
        counted = index.with_digests(seen.digest for seen in met.values() if seen.digest)
        for source in some:
            seen = met.get(source.appearance)
            if is_recent and is_recent(source.mtime_ns):
                draft.too_recent.append(source)
            elif source.size == 0:
                draft.empty.append(source)
            elif not (seen and _holds(seen, source, counted, source.name in found.named, draft)):
                yield source


def _is_recent(now: float, min_age_seconds: float, mtime_ns: int) -> bool:
    """Whether a file was modified too short a time ago. A time far in the future is a wrong clock's, and its file is not new."""
    return abs(now - mtime_ns / 1e9) < min_age_seconds


def _looked_up(files: Iterable[str], draft: _Draft) -> Iterator[tuple[Appearance, int, os.stat_result]]:
    for path in files:
        try:
            status = status_of(path)
        except SourceError as error:
            draft.failed.append(Failure(name_of(path), str(error)))
        else:
            mtime_ns = status.st_mtime_ns
            yield (name_of(path), status.st_size, mtime_ns), mtime_ns, status


def _not_known(
    seen: Iterable[tuple[Appearance, int, T]], index: Index, is_recent: Callable[[int], bool] | None, draft: _Draft
) -> Iterator[tuple[str, T]]:
    """The names of the sources that are not known, or too recent, and what comes with them. Mostly all are known: they are a few
    plain values, since a `Source` takes as long to make as a file to look at.

    Args:
        seen: How each source looks, its time of modification, and what is to be given with its name.
        index: What was counted before.
        is_recent: Whether a time of modification is too recent; None where none is.
        draft: Takes note of the known ones.
    """
    seen = iter(seen)
    while some := list(islice(seen, _ASKED_AT_ONCE)):
        others = index.unknown_among([source for source, _, _ in some])
        if is_recent:
            others |= {source for source, mtime_ns, _ in some if is_recent(mtime_ns)}
        for source, _, given in some:
            if source in others:
                yield source[0], given
            else:
                draft.known.append(source)


def _holds(seen: Met, source: Source, counted: Mapping[str, Sequence[Known]], is_named: bool, draft: _Draft) -> bool:
    """Whether a file that a run found not to be counted, and that looks as it did, is not to be counted now either."""
    if seen.digest:
        if known := counted.get(seen.digest):
            draft.looked.append(Looked(source.identified(seen.digest), content=known[0].content))
        return bool(known)
    if (is_named and seen.reason) or seen.reading != draft.reading():
        return False
    if seen.reason:
        draft.left_alone[source.name] = seen.reason
    else:
        draft.empty.append(source)
    return True


def _take_look(source: Source, look: Look | SourceError, draft: _Draft) -> None:
    """Decides what the first bytes of a file tell, or has the file compared with others."""
    if isinstance(look, SourceError):  # counting it tells what it is, and what is wrong with it
        draft.new.append(source.identified(UNREADABLE))
    elif look.content and not look.content.size:
        draft.empty.append(source)
        draft.met.append(met_as(source, reading=draft.reading()))
    else:
        text = look.text
        if text and (draft.kept_bytes + len(text.data)) > _KEPT_BYTES:
            text = None
        draft.kept_bytes += len(text.data) if text else 0
        digest = look.content.digest if look.content else ""
        draft.looked.append(Looked(source.identified(digest, text), look.heads, look.content))


def _decide(
    draft: _Draft, index: Index, latest: Mapping[str, Known], same_content: SameContent, replace_changed: bool
) -> list[Looked]:
    """Decides on the files that were compared; gives those that are to be counted, unless they are rivals of each other."""
    counted = index.with_digests(item.digest for item in draft.looked if item.content)
    places = cache(partial(_places, draft, index))  # mostly nobody asks
    candidates: list[Looked] = []
    for item in sorted(draft.looked, key=lambda item: item.source.name):
        name, equal = item.source.name, counted.get(item.digest, [])
        if any(known.path == name and not known.is_start for known in equal):
            draft.known.append(item.source.appearance)
            draft.remember(item)
            continue
        superseded = _overwritten(name, latest.get(name), places)
        if same_content == "skip" and equal:
            if superseded and not replace_changed:
                draft.changed.append(item.source)
            else:
                skipped = draft.starts if all(known.is_start for known in equal) else draft.duplicates
                skipped.append((item.source, equal[0].path))
                draft.remember(item)
        else:
            grown = _grown_from(item, same_content)
            superseded = [*grown, *(known for known in superseded if known not in grown)]
            if superseded:
                draft.grown_from[name] = [content for known in grown for content in (known.content, *index.starts_of(known))]
                draft.changed.append(item.source)
            if replace_changed or not superseded:
                candidates.append(item)
        if superseded:
            draft.superseded[name] = superseded
    return candidates


def _overwritten(name: str, before: Known | None, places: Callable[[], Mapping[str, Collection[str]]]) -> list[Known]:
    """What was last counted from a path, where no file of this run has it now: nothing, or one source."""
    if before is None or not before.has_rows:
        return []
    return [] if set(places().get(before.content.digest, ())) - {name} else [before]


def _places(draft: _Draft, index: Index) -> Mapping[str, Collection[str]]:
    """The files of this run that have a content, or start with it, by its digest."""
    places: dict[str, set[str]] = defaultdict(set)
    digests = index.digests_at(name for name, _, _ in draft.known)
    for source in draft.known:
        if digest := digests.get(source):
            places[digest].add(source[0])
    for item in draft.looked:
        for digest in (item.digest, *item.met, *(known.content.digest for known in item.counted.values())):
            places[digest].add(item.source.name)
    return places


def _grown_from(item: Looked, same_content: SameContent) -> list[Known]:
    """The counted sources that a file was before it grew: of several with the same content, the one of its own path."""
    grown: dict[str, Known] = {}
    for known in item.counted.values():
        is_own = known.path == item.source.name
        if is_own or (same_content == "skip" and known.source not in grown):
            grown[known.source] = known
    return list(grown.values())


def met_as(source: Source, digest: str = "", reason: str = "", reading: str = "") -> Met:
    """What is to be remembered of a file (see `index.Met`)."""
    return Met(source.name, source.size, source.mtime_ns, digest, reason, reading, source.etag)
