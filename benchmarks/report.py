"""The results, as a table for people and as JSON."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.inputs import Inputs
from benchmarks.measure import Cost
from benchmarks.race import FOURFOLD, Race, Typical, slope
from pipeline.scalars import DISTRIBUTION

PACKAGES = (DISTRIBUTION, "pyarrow", "duckdb", "polars", "chdb")
MEGABYTE = 1_000_000
NOISE = 1.25


class Report:
    """Collects the races; written after each, so that a long benchmark can be watched and cut short."""

    def __init__(self, inputs: Inputs, runs: int) -> None:
        self._kept = inputs.kept
        versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
        machine = f"{_processor()}, {_memory() / 2**30:.0f} GiB, {len(os.sched_getaffinity(0))} processors used"
        self._setting = {
            "scale": inputs.scale,
            "seed": inputs.seed,
            "runs": runs,
            "machine": f"{machine}, Python {platform.python_version()}",
            "versions": versions,
        }
        self._races: list[dict[str, Any]] = []
        self._texts: list[str] = []

    def add(self, race: Race, costs: dict[str, list[Cost]]) -> None:
        results = {name: Typical.of(each) for name, each in costs.items()}
        targets = [
            {
                "text": target.text,
                "measured": target.measured(results),
                "limit": target.limit,
                "at_most": target.at_most,
                "met": target.is_met(results),
            }
            for target in race.targets
        ]
        runs = {name: [asdict(cost) for cost in each] for name, each in costs.items()}
        medians = {name: asdict(typical) for name, typical in results.items()}
        self._races.append({"key": race.key, "title": race.title, "targets": targets, "medians": medians, "runs": runs})
        self._texts.append(_text(race, costs, results, targets))
        print(
            self._texts[-1], flush=True
        )  # whoever watches a file sees a race when it is done, and also where a later one is killed

    def write(self) -> None:
        setting = [f"{name}: {value}" for name, value in self._setting.items()]
        (self._kept / "results.md").write_text("\n\n".join(["\n".join(setting), *self._texts]) + "\n")
        (self._kept / "results.json").write_text(json.dumps({**self._setting, "races": self._races}, indent=1) + "\n")


def _text(race: Race, costs: dict[str, list[Cost]], results: dict[str, Typical], targets: list[dict[str, Any]]) -> str:
    rows = [
        (
            name,
            f"{typical.wall:.2f}",
            f"{min(cost.wall for cost in costs[name]):.2f} to {max(cost.wall for cost in costs[name]):.2f}",
            f"{typical.cpu:.2f}",
            f"{typical.peak / MEGABYTE:,.0f}",
        )
        for name, typical in results.items()
    ]
    lines = _table(("", "wall s", "from to", "CPU s", "peak MB"), rows)
    if race.rows:
        lines += _slopes(race.rows, costs)
    for target in targets:
        asked = f"{'at most' if target['at_most'] else 'at least'} {target['limit']:g}"
        lines.append(f"{'met ' if target['met'] else 'MISSED'}  {target['text']}: {target['measured']:.2f} ({asked})")
    if any(max(cost.wall for cost in each) > NOISE * results[name].wall for name, each in costs.items()):
        lines.append("note    some runs took much longer than the median: was the machine busy?")
    return "\n".join([f"### {race.key}  {race.title}", "", *lines])


def _slopes(rows: int, costs: dict[str, list[Cost]]) -> list[str]:
    """What a job costs whatever its size, and what a further row costs, from the runs of each turn with both sizes."""
    lines = []
    for name, ones in costs.items():
        if not (fourfolds := costs.get(name + FOURFOLD)):
            continue
        cells = [name]
        for kind in ("wall", "cpu"):
            pairs = [(getattr(one, kind), getattr(fourfold, kind)) for one, fourfold in zip(ones, fourfolds, strict=True)]
            each = [slope(*pair) * 1e9 / rows for pair in pairs]
            fixed = median(one - slope(one, fourfold) for one, fourfold in pairs)
            cells += [f"{fixed:.2f}", f"{median(each):.0f}", f"{min(each):.0f} to {max(each):.0f}"]
        lines.append(tuple(cells))
    return _table(("", "fixed s", "wall ns a row", "from to", "fixed CPU s", "CPU ns a row", "from to"), lines)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]

    def line(cells: tuple[str, ...]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:])])
    return [line(head), f"|{rule}|", *map(line, rows), ""]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _memory() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
