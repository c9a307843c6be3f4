"""W8, questions to a year's store, each asked by a process of its own; and the whole year: read, listed, proved, shown."""

from __future__ import annotations

import csv
import json
import sys
from functools import partial
from pathlib import Path

from benchmarks.inputs import Inputs
from benchmarks.measure import RunFailed
from benchmarks.race import OURS, Contestant, Race, no_slower, speed
from benchmarks.scheduled import FIRST_HOUR, hourly_store, hours_of_year

PEERS = ("duckdb", "polars")


def w8(inputs: Inputs) -> list[Race]:
    hours = hours_of_year(inputs)
    year, day = hourly_store(inputs, hours), hourly_store(inputs, 24)
    middle = FIRST_HOUR + hours // 2
    of_day = Contestant(f"{OURS}, a day's store", partial(_ours, day, ("--hour", str(FIRST_HOUR + 12))))
    one = ("--hour", str(middle))
    by_app = (*one, "--until", str(middle + 24), "--by", "src_app", "--top", "10")
    one_app = (*one, "--until", str(middle + 720), "--src-app", "app-00012")
    targets = [speed(1), no_slower(OURS, of_day.name, within=0.15)]
    return [
        Race("W8", f"one hour of {hours:,}", [*_asked(year, "hour", middle, one), of_day], check_answers, targets),
        Race("W8", "a day, the 10 busiest apps", _asked(year, "day", middle, by_app), check_answers, [speed(1)]),
        Race("W8", "a month, one app", _asked(year, "month", middle, one_app), check_answers, [speed(1)]),
        *_of_year(year, hours),
    ]


def _of_year(year: Path, hours: int) -> list[Race]:
    """The same of all hours, against DuckDB, which lists them from the sums in the footers, too, and proves less: it reads no
    checksums, and not whether the records follow one another. It sums days from the rows, as no digest tells it that it may do without.
    """
    span = (str(FIRST_HOUR), "--until", str(FIRST_HOUR + hours))
    commands = {
        "days": ("query", *span, "--by", "day", "--format", "csv"),
        "hours": ("hours", "--json"),
        "verify": ("verify", "--json"),
        "report": ("report", *span),
    }
    checks = {"days": check_answers, "hours": _check_hours}
    return [
        Race(
            "W8",
            f"a year, {question}",
            [
                Contestant(OURS, partial(_command, year, words)),
                Contestant("duckdb", partial(_peer, "duckdb", question, year, FIRST_HOUR)),
            ],
            checks.get(question, _check_nothing),
            [speed(1)],
        )
        for question, words in commands.items()
    ]


def _command(store: Path, words: tuple[str, ...], _folder: Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", *words, "--store", str(store)]


def _check_hours(folders: dict[str, Path]) -> None:
    """Whether both list the same hours, with the same sums."""
    names = ("hour", "flows", "bytes_tx", "bytes_rx")
    ours = [[str(row[name]) for name in names] for row in json.loads((folders[OURS] / "stdout").read_text())]
    if not ours or [list(names), *ours] != _answer(folders["duckdb"]):
        raise RunFailed(f"{OURS} and duckdb list other hours")


def _check_nothing(_folders: dict[str, Path]) -> None:
    """That all is well says the exit code; and tests hold the page against what a query says."""


def _asked(store: Path, question: str, hour: int, options: tuple[str, ...]) -> list[Contestant]:
    ours = Contestant(OURS, partial(_ours, store, options))
    return [ours, *(Contestant(name, partial(_peer, name, question, store, hour)) for name in PEERS)]


def _ours(store: Path, options: tuple[str, ...], _folder: Path) -> list[str]:
    return [sys.executable, "-m", "pipeline", "query", "--store", str(store), *options, "--format", "csv"]


def _peer(name: str, question: str, store: Path, hour: int, _folder: Path) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.peers.{name}", question, str(store / "flows"), str(hour)]


def check_answers(folders: dict[str, Path]) -> None:
    """Whether all gave the same answer, in the same order."""
    ours = _answer(folders[OURS])
    if len(ours) < 2:
        raise RunFailed("the question has no answer")  # that nobody finds anything must not pass for a proof
    for name in folders.keys() & set(PEERS):
        if _answer(folders[name]) != ours:
            raise RunFailed(f"{OURS} and {name} answer differently")


def _answer(folder: Path) -> list[list[str]]:
    with (folder / "stdout").open(newline="") as file:
        return list(csv.reader(file))
