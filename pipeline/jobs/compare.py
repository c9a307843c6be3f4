"""Comparing contents: with which others, counted before or met in this run, each file that must be looked at starts.

The first bytes of a file propose the contents with which it may start; for most files there are none, and the rest of the file
is not read. Where there are, the file is read once, and its digests up to the sizes of these contents decide.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pipeline.counting.content import Digester, identify
from pipeline.counting.sources import Source
from pipeline.digests import Content
from pipeline.errors import SourceError
from pipeline.store.index import Index, Known

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
#: Applies a function to many values, perhaps in parallel; the results in their order.
MapAll: TypeAlias = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]


@dataclass(slots=True)
class Looked:
    """A file that must be compared with others, and what is known of it so far.

    Attributes:
        source: The file.
        heads: The digests of its first 0, 64, 128, … bytes.
        content: Its content, where that is known.
        counted: The counted sources that have rows and whose whole content the file starts with, by path and digest.
        met: The digests of the contents of this run that the file starts with as a whole.
        compared: The sizes of the contents with which it was compared.
        is_readable: Whether it could be read.
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
        """The sizes of contents, by their heads, with which the file may start."""
        end = self.content.size if self.content else math.inf
        near = {size for head in self.heads if head in sizes for size in sizes[head] if size < end}  # mostly none
        return near - self.compared if near else near

    def take(self, read: Digester, near: set[int], index: Index, digests: set[str]) -> None:
        """Takes note of what reading the file has shown.

        Args:
            read: The digests.
            near: The sizes for which they were taken.
            index: What was counted before.
            digests: The contents of this run that are known.
        """
        self.content = read.content()
        self.source = self.source.identified(self.content.digest, self.source.text)
        self.compared |= near
        starts = {digest for size, digest in read.at.items() if size < self.content.size}
        self.met |= starts & digests
        for found in index.with_digests(starts).values():
            self.counted.update({(k.path, k.source): k for k in found if k.has_rows and not k.is_start})


def compare(looked: Sequence[Looked], index: Index, map_all: MapAll) -> None:
    """Completes what is known of files: with which contents each starts, counted ones, and those of the other files.

    Args:
        looked: The files.
        index: What was counted before.
        map_all: How to read many files.
    """
    sizes = index.sizes_by_head(head for item in looked for head in item.heads)
    contents = {item.content for item in looked if item.content}
    learned = _compare_with(contents, looked, sizes, index, map_all)
    if learned:  # of long files with the same start the sizes are known only now
        _compare_with(contents | learned, looked, sizes, index, map_all)


def _compare_with(
    contents: set[Content], looked: Sequence[Looked], sizes: dict[bytes, set[int]], index: Index, map_all: MapAll
) -> set[Content]:
    """Reads the files that may start with one of these contents, or with one that was counted; gives the contents that were
    not known before.
    """
    for content in contents:
        sizes.setdefault(bytes.fromhex(content.head), set()).add(content.size)
    readable = [item for item in looked if item.is_readable]
    alike = Counter(item.heads[-1] for item in readable if item.heads)
    asked = [
        (item, near)
        for item in readable
        if (near := item.sizes_to_compare(sizes)) or (item.content is None and alike[item.heads[-1]] > 1)
    ]
    answers = map_all(or_error(_identify), asked)
    digests = {content.digest for content in contents}
    learned = set[Content]()
    for (item, near), answer in zip(asked, answers, strict=True):
        if isinstance(answer, SourceError):
            item.is_readable = False
        else:
            learned.update(() if item.content else [answer.content()])
            item.take(answer, near, index, digests)
    return learned


def _identify(asked: tuple[Looked, set[int]]) -> Digester:
    item, near = asked
    return identify(item.source, near)


def or_error(function: Callable[[Asked], Answer]) -> Callable[[Asked], Answer | SourceError]:
    """The same function, which gives the error of a source rather than raise it; for another process, too."""
    return partial(_answer_or_error, function)


def _answer_or_error(function: Callable[[Asked], Answer], asked: Asked) -> Answer | SourceError:
    try:
        return function(asked)
    except SourceError as error:
        return error
