"""A race: contestants that do the same job, the check that they did, and what is asked of flowlog."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measure import Cost

#: All contestants whose names start so are this project; the others are peers.
OURS = "flowlog"
#: How many times as much the contestants have to do whose names end so. The two sizes tell what a job costs whatever its size,
#: and what each further row costs.
TIMES, FOURFOLD = 4, " x4"


def _nothing(_folder: Path) -> None:
    """Most jobs start from an empty folder."""


@dataclass(frozen=True)
class Contestant:
    """One program.

    Attributes:
        name: As the table has it.
        command: The program and its arguments, given a fresh folder for the run.
        prepare: What must be in that folder before; not timed.
    """

    name: str
    command: Callable[[Path], list[str]]
    prepare: Callable[[Path], None] = _nothing


@dataclass(frozen=True)
class Typical:
    """The medians of a contestant's runs; each on its own, so they need not be of the same run."""

    wall: float
    cpu: float
    peak: float

    @classmethod
    def of(cls, costs: list[Cost]) -> Typical:
        return cls(median(c.wall for c in costs), median(c.cpu for c in costs), median(c.peak for c in costs))


Results = Mapping[str, Typical]


@dataclass(frozen=True)
class Target:
    """What is asked.

    Attributes:
        text: Which number.
        measured: How it follows from the medians.
        limit: What it must be at least, or with `at_most` at most.
    """

    text: str
    measured: Callable[[Results], float]
    limit: float
    at_most: bool = False

    def is_met(self, results: Results) -> bool:
        value = self.measured(results)
        return value <= self.limit if self.at_most else value >= self.limit


@dataclass(frozen=True)
class Race:
    """See the module. `check` is given the folder of each contestant's first run, and raises RunFailed."""

    key: str
    title: str
    contestants: list[Contestant]
    check: Callable[[dict[str, Path]], None]
    targets: list[Target] = field(default_factory=list)
    rows: int = 0


def peers(results: Results, size: str = "") -> list[Typical]:
    """The others' results with the job's own size, or with that of `FOURFOLD`."""
    others = {name: result for name, result in results.items() if not name.startswith(OURS)}
    return [result for name, result in others.items() if name.endswith(FOURFOLD) == bool(size)]


def slope(one: float, fourfold: float) -> float:
    """What the job costs that is done once more, from what it costs once and four times."""
    return (fourfold - one) / (TIMES - 1)


def speed(times: float, size: str = "") -> Target:
    """So many times as fast as the best peer."""

    def measured(results: Results) -> float:
        return min(peer.wall for peer in peers(results, size)) / results[OURS + size].wall

    return Target(f"speed{size}: flowlog / the fastest peer", measured, times)


def marginal(times: float) -> Target:
    """A further row so many times as fast as with the best peer."""

    def measured(results: Results) -> float:
        slopes = {
            name: slope(result.wall, results[name + FOURFOLD].wall)
            for name, result in results.items()
            if name + FOURFOLD in results
        }
        return min(each for name, each in slopes.items() if name != OURS) / slopes[OURS]

    return Target("marginal speed: flowlog / the fastest peer", measured, times)


def memory(share: float) -> Target:
    """At most so much of the most frugal peer's memory."""

    def measured(results: Results) -> float:
        return results[OURS].peak / min(peer.peak for peer in peers(results))

    return Target("peak memory: flowlog / the most frugal peer", measured, share, at_most=True)


def no_slower(one: str, other: str, within: float) -> Target:
    return Target(f"time: {one} / {other}", lambda r: r[one].wall / r[other].wall, 1 + within, at_most=True)


def no_larger(one: str, other: str, within: float) -> Target:
    return Target(f"peak memory: {one} / {other}", lambda r: r[one].peak / r[other].peak, 1 + within, at_most=True)


def under(name: str, seconds: float) -> Target:
    return Target(f"seconds: {name}", lambda r: r[name].wall, seconds, at_most=True)
