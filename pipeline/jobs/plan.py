"""What a run is to do with each raw file, decided before it touches anything.

Most of it is decided without reading: a file that looks as it did when it was counted is known. Of each other one the
start is read; it tells with which contents, counted before or met in this run, the file's must be compared, and mostly
there are none: then it is new, and its digest is taken while it is counted.
"""

from __future__ import annotations

import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.counting.content import Digester, Look, identify, look_at
from pipeline.counting.sources import Failure, Source, name_of
from pipeline.errors import SourceError
from pipeline.identity import Content
from pipeline.jobs.find import Found
from pipeline.options import SameContent
from pipeline.store.index import Index, Known, Memory

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
#: Applies a function to many values, perhaps in parallel; the results in their order.
MapAll = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
#: No content has this digest: a file that could not be read when the run was planned is not counted if it can be later.
UNREADABLE = "unreadable"
#: So many bytes of small contents are kept in memory until they are counted; others are read again.
_KEPT_BYTES = 32 << 20


@dataclass(frozen=True)
class Rival:
    """A source that counts only if others of this run do not, which have its content, or start with it.

    Attributes:
        source: The source.
        content: Its content; None where sources with the same content count each, and this is another name of one file.
        others: The digests of the contents of this run that start with it.
    """

    source: Source
    content: Content | None = None
    others: Collection[str] = ()


@dataclass(frozen=True)
class Plan:
    """What a run does with each source. What cannot be known before they are counted, `run` decides.

    Attributes:
        new: To be counted, in the order of their paths; with their digests, where they had to be told from others.
        rivals: To be counted if others of this run are not; the longest first.
        known: Skipped: counted before, from this path.
        twins: Skipped: other paths with the same content as one that is counted, and that path.
        starts: Skipped: other paths with the start of the content of one that is counted, and that path.
        empty: Skipped: without content.
        young: Left for the next run: modified too short a time ago.
        left_alone: What else was met and not taken for raw files: its name, and why.
        changed: They start with what was counted before they grew, or were counted from this path with other content. Not
            counted, unless that is to be replaced.
        replaced: What was counted before and would count twice, by the name of the source that changed.
        grown_from: The contents of what was counted before it grew, and all with which these are known to start, by its name.
        failed: Not readable.
        met: What is to be remembered of files that are not counted.
        named: The files that were named themselves, and not met in a folder or by a pattern.
    """

    new: Sequence[Source] = ()
    rivals: Sequence[Rival] = ()
    known: Sequence[Source] = ()
    twins: Sequence[tuple[Source, str]] = ()
    starts: Sequence[tuple[Source, str]] = ()
    empty: Sequence[Source] = ()
    young: Sequence[Source] = ()
    left_alone: Mapping[str, str] = field(default_factory=dict)
    changed: Sequence[Source] = ()
    replaced: Mapping[str, Sequence[Known]] = field(default_factory=dict)
    grown_from: Mapping[str, Sequence[Content]] = field(default_factory=dict)
    failed: Sequence[Failure] = ()
    met: Sequence[Memory] = ()
    named: Collection[Path] = ()

    @property
    def skipped(self) -> int:
        return sum(map(len, (self.known, self.twins, self.starts, self.empty, self.young)))

    def kinds_left_alone(self) -> list[tuple[str, int, str]]:
        """Why files were left alone: each reason with how many they are, and one of them."""
        counts = Counter(self.left_alone.values())
        examples = {reason: name for name, reason in reversed(list(self.left_alone.items()))}
        return [(reason, counts[reason], examples[reason]) for reason in counts]

    def why_changed(self, source: Source) -> str:
        """How a source has changed, as a part of a sentence."""
        others = [known.path for known in self.replaced[source.name] if known.path != source.name]
        if others:
            return f"it starts with all that was counted from {others[0]}, and has grown since"
        return "it was counted with other content"


@dataclass(slots=True)
class _Looked:
    """A file that must be compared with others, and what is known of it so far.

    Attributes:
        heads: The digests of its first 0, 64, 128, … bytes.
        content: Its content, where it is known.
        counted: The counted sources with rows with all of whose content it starts.
        met: The digests of contents of this run with all of which it starts.
        compared: The sizes of the contents with which it was compared.
    """

    source: Source
    heads: Sequence[bytes] = ()
    content: Content | None = None
    counted: dict[tuple[str, str], Known] = field(default_factory=dict)
    met: set[str] = field(default_factory=set)
    compared: set[int] = field(default_factory=set)
    is_readable: bool = True

    @property
    def digest(self) -> str:
        return self.content.digest if self.content else ""

    def sizes_to_compare(self, sizes: Mapping[bytes, set[int]]) -> set[int]:
        """The sizes of contents, by their heads, with which it may start."""
        near = {size for head in self.heads for size in sizes.get(head, ())} - self.compared
        return {size for size in near if size < self.content.size} if self.content else near

    def memories(self) -> list[Memory]:
        """What is to be remembered of it if it is not counted; nothing if that is remembered already."""
        return [memory_of(self.source, self.digest)] if self.heads else []

    def take(self, read: Digester, near: set[int], index: Index, digests: set[str]) -> None:
        """Takes note of what reading it has shown.

        Args:
            read: The digests.
            near: The sizes for which they were taken.
            index: What was counted before.
            digests: The contents of this run that are known.
        """
        self.content = read.content()
        self.source = replace(self.source, digest=self.content.digest)
        self.compared |= near
        starts = {digest for size, digest in read.at.items() if size < self.content.size}
        self.met |= starts & digests
        for found in index.with_digests(starts).values():
            self.counted.update({(k.path, k.source): k for k in found if k.has_rows and not k.is_start})


@dataclass
class _Sorted:
    """What could be decided of files so far."""

    reading: Callable[[], str]
    looked: list[_Looked] = field(default_factory=list)
    known: dict[str, str] = field(default_factory=dict)  # name -> digest
    plan: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    left_alone: dict[str, str] = field(default_factory=dict)
    kept_bytes: int = 0

    def fail(self, name: str, error: SourceError) -> None:
        self.plan["failed"].append(Failure(name, str(error)))


def plan(
    found: Found,
    index: Index,
    same_content: SameContent = "skip",
    replace_changed: bool = False,
    min_age_seconds: float = 0,
    reading: Callable[[], str] = str,
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
        map_all: How to read many files.
    """
    so_far = _Sorted(reading, left_alone=dict(found.left_alone))
    so_far.plan["failed"] += found.failed
    unread = list(_sift(found, index, min_age_seconds, so_far))
    for source, look in zip(unread, map_all(_or_error(look_at), unread), strict=True):
        _take_look(source, look, so_far)
    _compare(so_far, index, map_all)
    return replace(_decide(so_far, index, same_content, replace_changed), named=found.named)


def _sift(found: Found, index: Index, min_age_seconds: float, so_far: _Sorted) -> Iterator[Source]:
    """Decides what can be decided without reading; gives the sources that must be read."""
    now = time.time()
    for path in found.files:
        try:
            source = Source.at(path)
        except SourceError as error:
            so_far.fail(name_of(path), error)
            continue
        if abs(now - source.mtime_ns / 1e9) < min_age_seconds:  # far in the future, a clock is wrong, and the file not new
            so_far.plan["young"].append(source)
        elif source.size == 0:
            so_far.plan["empty"].append(source)
        elif digest := index.digest_at(source.name, source.size, source.mtime_ns):
            so_far.known[source.name] = digest
            so_far.plan["known"].append(source)
        elif not _is_remembered(source, path in found.named, index, so_far):
            yield source


def _is_remembered(source: Source, is_named: bool, index: Index, so_far: _Sorted) -> bool:
    """Whether a file looks as it did when a run found that it need not be counted, and need not now."""
    memory = index.memory_of(source.name, source.size, source.mtime_ns)
    if memory is None:
        return False
    if memory.digest:
        if counted := index.with_digests([memory.digest]):
            content = counted[memory.digest][0].content
            so_far.looked.append(_Looked(replace(source, digest=content.digest), content=content))
        return bool(counted)
    if (is_named and memory.reason) or memory.reading != so_far.reading():
        return False
    if memory.reason:
        so_far.left_alone[source.name] = memory.reason
    else:
        so_far.plan["empty"].append(source)
    return True


def _take_look(source: Source, look: Look | SourceError, so_far: _Sorted) -> None:
    if isinstance(look, SourceError):  # counting it tells what it is, and what is wrong with it
        so_far.plan["new"].append(replace(source, digest=UNREADABLE))
    elif look.content and not look.content.size:
        so_far.plan["empty"].append(source)
        so_far.plan["met"].append(memory_of(source, reading=so_far.reading()))
    else:
        text = look.text
        if text and (so_far.kept_bytes + len(text.data)) > _KEPT_BYTES:
            text = None
        so_far.kept_bytes += len(text.data) if text else 0
        digest = look.content.digest if look.content else ""
        so_far.looked.append(_Looked(replace(source, digest=digest, text=text), look.heads, look.content))


def _compare(so_far: _Sorted, index: Index, map_all: MapAll) -> None:
    """Finds out with which contents each file starts: counted ones, and those of other files that must be read."""
    sizes = index.sizes_by_head({head for item in so_far.looked for head in item.heads})
    contents = {item.content for item in so_far.looked if item.content}
    learned = _compare_with(contents, sizes, so_far, index, map_all)
    if learned:  # of long files with the same start the sizes are known only now
        _compare_with(contents | learned, sizes, so_far, index, map_all)
    so_far.plan["new"] += [item.source for item in so_far.looked if not item.is_readable]
    so_far.looked = [item for item in so_far.looked if item.is_readable]


def _compare_with(
    contents: set[Content], sizes: dict[bytes, set[int]], so_far: _Sorted, index: Index, map_all: MapAll
) -> set[Content]:
    """Reads the files that may start with one of these contents, or with one that was counted; gives the contents that it
    learns.
    """
    for content in contents:
        sizes.setdefault(bytes.fromhex(content.head), set()).add(content.size)
    alike = Counter(item.heads[-1] for item in so_far.looked if item.heads)
    asked = [
        (item, near)
        for item in so_far.looked
        if (near := item.sizes_to_compare(sizes)) or (item.content is None and alike[item.heads[-1]] > 1)
    ]
    answers = map_all(_or_error(_identify), asked)
    digests = {content.digest for content in contents}
    learned = set[Content]()
    for (item, near), answer in zip(asked, answers, strict=True):
        if isinstance(answer, SourceError):
            item.is_readable, item.source = False, replace(item.source, digest=UNREADABLE)
        else:
            learned.update(() if item.content else [answer.content()])
            item.take(answer, near, index, digests)
    return learned


def _identify(asked: tuple[_Looked, set[int]]) -> Digester:
    item, near = asked
    return identify(item.source, near)


def _or_error(function: Callable[[Asked], Answer]) -> Callable[[Asked], Answer | SourceError]:
    def work(asked: Asked) -> Answer | SourceError:
        try:
            return function(asked)
        except SourceError as error:
            return error

    return work


def _decide(so_far: _Sorted, index: Index, same_content: SameContent, replace_changed: bool) -> Plan:
    """Decides on the files that were compared."""
    counted = index.with_digests(item.digest for item in so_far.looked if item.content)
    places = cache(partial(_places, so_far))  # mostly nobody asks
    result = so_far.plan
    replaced, grown_from = dict[str, list[Known]](), dict[str, list[Content]]()
    candidates: list[_Looked] = []
    for item in sorted(so_far.looked, key=lambda item: os.fspath(item.source.path)):
        name, equal = item.source.name, counted.get(item.digest, [])
        if any(known.path == name and not known.is_start for known in equal):
            result["known"].append(item.source)
            result["met"] += item.memories()
            continue
        before = index.latest_at(name)
        gone = [before] if before and before.has_rows and not places()[before.content.digest] - {name} else []
        if same_content == "skip" and equal:
            if gone and not replace_changed:
                result["changed"].append(item.source)
            else:
                result["starts" if all(known.is_start for known in equal) else "twins"].append((item.source, equal[0].path))
                result["met"] += item.memories()
        else:
            grown = _grown_from(item, same_content)
            gone = [*grown, *(known for known in gone if known not in grown)]
            if gone:
                grown_from[name] = [content for known in grown for content in (known.content, *index.starts_of(known))]
                result["changed"].append(item.source)
            if replace_changed or not gone:
                candidates.append(item)
        if gone:
            replaced[name] = gone
    rivals = _rivals(candidates, same_content)
    later = {rival.source for rival in rivals}
    result["new"] += [item.source for item in candidates if item.source.name not in replaced]
    for kind in ("new", "changed"):
        result[kind] = sorted((s for s in result[kind] if s not in later), key=lambda source: os.fspath(source.path))
    return Plan(rivals=rivals, replaced=replaced, grown_from=grown_from, left_alone=so_far.left_alone, **result)


def _places(so_far: _Sorted) -> Mapping[str, set[str]]:
    """The files of this run that have a content, or start with it, by its digest."""
    places: dict[str, set[str]] = defaultdict(set)
    for name, digest in so_far.known.items():
        places[digest].add(name)
    for item in so_far.looked:
        for digest in (item.digest, *item.met, *(known.content.digest for known in item.counted.values())):
            places[digest].add(item.source.name)
    return places


def _grown_from(item: _Looked, same_content: SameContent) -> list[Known]:
    """The counted sources that a file was before it grew: of several with the same content, the one of its own path."""
    grown: dict[str, Known] = {}
    for known in item.counted.values():
        is_own = known.path == item.source.name
        if is_own or (same_content == "skip" and known.source not in grown):
            grown[known.source] = known
    return list(grown.values())


def _rivals(candidates: Sequence[_Looked], same_content: SameContent) -> list[Rival]:
    """Those of the files that are to be counted only if others are not."""
    if same_content == "count":
        files = set[object]()
        return [Rival(c.source) for c in candidates if c.source.inode in files or files.add(c.source.inode)]  # type: ignore[func-returns-value]
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


def memory_of(source: Source, digest: str = "", reason: str = "", reading: str = "") -> Memory:
    """What is to be remembered of a file (see `ledger.Memory`)."""
    return Memory(source.name, source.size, source.mtime_ns, digest, reason, reading)
