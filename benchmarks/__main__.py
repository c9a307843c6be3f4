"""The benchmark: who is how fast, and in how much memory, at the same job.

    make bench
    make bench BENCH="--scale 0.1 --only W2,W5"

It runs whole programs, and imports no more than the standard library itself, see `measure`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks.inputs import ROOT, Inputs
from benchmarks.measure import Cost, RunFailed, run
from benchmarks.queries import w8
from benchmarks.race import Contestant, Race
from benchmarks.report import Report
from benchmarks.scheduled import w7
from benchmarks.whole_jobs import LOG_RACES, w1, w2, w2x4, w3, w4, w5, w6

WORKLOADS: dict[str, Callable[[Inputs], list[Race]]] = {
    "W1": w1,
    "W2": w2,
    "W2x4": w2x4,
    "W3": w3,
    "W4": w4,
    "W5": w5,
    "W6": w6,
    "W7": w7,
    "W8": w8,
    **{key: partial(log.races, key) for key, log in LOG_RACES.items()},
}


def main() -> None:
    options = parse(sys.argv[1:])
    for number in (signal.SIGTERM, signal.SIGHUP):  # the end of a session, or of a container, is else an end without a word
        signal.signal(number, lambda number, _frame: sys.exit(f"ended by {signal.Signals(number).name}"))
    # Two processors for everybody, whatever threads a library starts.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    inputs = Inputs(options.keep.resolve(), options.scale, options.seed)
    os.chdir(ROOT)  # where the programs are found
    report = Report(inputs, options.runs)
    try:
        for name in options.only:
            for race in WORKLOADS[name](inputs):
                report.add(race, compete(race, options.runs, inputs.kept / "runs"))
                report.write()
            shutil.rmtree(inputs.kept / "copies", ignore_errors=True)
    except RunFailed as failure:
        sys.exit(str(failure))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Compares flowlog with DuckDB, Polars and ClickHouse.")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies all numbers of rows and files [1.0]")
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each [5]")
    parser.add_argument("--only", type=workloads, default=list(WORKLOADS), help="some of " + ",".join(WORKLOADS))
    parser.add_argument(
        "--keep", type=Path, default=ROOT / "benchmarks/work", help="keeps inputs and results [benchmarks/work]"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the inputs [7]")
    options = parser.parse_args(arguments)
    if options.scale <= 0 or options.runs < 1:
        parser.error("--scale must be positive, and --runs at least 1")
    return options


def workloads(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in WORKLOADS]:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(unknown)}; there are {', '.join(WORKLOADS)}")
    return names


def compete(race: Race, runs: int, folder: Path) -> dict[str, list[Cost]]:
    """Checks that all do the same, then lets them run in turns, so that what disturbs the machine disturbs all."""
    print(f"{race.key}  {race.title}: ", end="", file=sys.stderr, flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    folders = {
        contestant.name: folder / contestant.name.replace(",", "").replace(" ", "-") for contestant in race.contestants
    }
    for contestant in race.contestants:
        once(contestant, folders[contestant.name])
    race.check(folders)
    costs: dict[str, list[Cost]] = {name: [] for name in folders}
    for turn in range(runs):
        first = turn % len(race.contestants)
        for contestant in race.contestants[first:] + race.contestants[:first]:
            costs[contestant.name].append(once(contestant, folders[contestant.name]))
            print(".", end="", file=sys.stderr, flush=True)
    shutil.rmtree(folder)
    print(file=sys.stderr)
    return costs


def once(contestant: Contestant, folder: Path) -> Cost:
    """One run into a fresh folder."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    contestant.prepare(folder)
    os.sync()  # flowlog syncs what it writes, and must not wait for what others wrote before
    return run(contestant.command(folder), folder)


if __name__ == "__main__":
    main()
