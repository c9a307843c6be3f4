"""What looking for raw files and objects gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.counting.sources import Failure

if TYPE_CHECKING:  # few runs read buckets
    from pipeline.counting.objects import ObjectSource


@dataclass(frozen=True)
class Found:
    """Raw files and objects.

    Attributes:
        files: The path of each file once, sorted: as texts, since a `Path` takes longer to make than a file to look at.
        named: The names of those that were named themselves, and not met in a folder or by a pattern.
        left_alone: What else was met and not taken for raw files: its name, and why.
        failed: Folders that cannot be read, and files that were named and are not raw files.
        objects: Each object once, sorted by name.
    """

    files: list[str] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    left_alone: dict[str, str] = field(default_factory=dict)
    failed: list[Failure] = field(default_factory=list)
    objects: list[ObjectSource] = field(default_factory=list)

    def close(self) -> None:
        """Gives back what was kept of the objects."""
        for source in self.objects:
            source.kept.close()
