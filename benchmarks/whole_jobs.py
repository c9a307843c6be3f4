"""W1 to W6 and the logs of W9 to W14, the whole job from raw files to Parquet; and W2x4, whether its memory grows with the number of hours."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import sqrt
from pathlib import Path

from benchmarks.inputs import Inputs, apps_of, graph, program
from benchmarks.race import FOURFOLD, OURS, TIMES, Contestant, Race, Target, marginal, memory, no_larger, speed

PEERS = ("duckdb", "polars", "chdb")


def w1(inputs: Inputs) -> list[Race]:
    # 25 hours of 500 x 500 apps in 2 VPCs: of the keys that there can be, so many are drawn that half of the rows are new.
    rows, apps = inputs.scaled(20e6), max(1, round(500 * sqrt(inputs.scale)))
    raw = inputs.flows("W1", "csv", rows=rows, files=8, apps=apps, pairs=0, hours=25)
    title = f"CSV, many keys: {rows:,} rows in 8 files, {apps} apps, half of the rows distinct keys"
    return [whole_job("W1", title, inputs, raw, rows, marginal(2), memory(1 / 3))]


def w2(inputs: Inputs) -> list[Race]:
    rows = inputs.scaled(20e6)
    raw = inputs.flows("W2", "csv", files=8, hours=192, **graph(rows))
    title = f"CSV, a service graph: {rows:,} rows in 8 files, 3,000 app pairs, 192 hours"
    return [whole_job("W2", title, inputs, raw, rows, marginal(2.5), speed(2, FOURFOLD))]


def w3(inputs: Inputs) -> list[Race]:
    rows = inputs.scaled(10e6)
    raw = inputs.flows("W3", "jsonl", files=8, hours=192, **graph(rows))
    return [whole_job("W3", f"JSON Lines: {rows:,} rows of W2's kind in 8 files", inputs, raw, rows, marginal(2.5))]


def w4(inputs: Inputs) -> list[Race]:
    rows = inputs.scaled(20e6)
    raw = inputs.flows("W4", "aws", files=80, hours=192, **graph(rows))
    title = f"AWS text, .log.gz, 14 fields: {rows:,} rows in 80 files, addresses mapped to apps"
    return [whole_job("W4", title, inputs, raw, rows, marginal(2), named_apps=True)]


def w5(inputs: Inputs) -> list[Race]:
    files = inputs.scaled(10_000)
    raw, more = (
        inputs.flows(f"W5{size.strip()}", "csv", gzip=True, files=times * files, hours=192, **graph(500 * times * files))
        for size, times in (("", 1), (FOURFOLD, TIMES))
    )
    title = f"CSV, .csv.gz: {files:,} files of 500 rows"
    return [whole_job("W5", title, inputs, raw, 500 * files, marginal(1.5), fourfold=more)]


def w6(inputs: Inputs) -> list[Race]:
    rows = inputs.scaled(5e6)
    raw = inputs.flows("W6", "zeek", files=8, hours=192, **graph(rows))
    return [whole_job("W6", f"Zeek conn.log, TSV: {rows:,} rows in 8 files", inputs, raw, rows, marginal(2))]


@dataclass(frozen=True)
class LogRace:
    """A format of flow logs, read by all from the same files: its rows at full size, and its name for the generator."""

    title: str
    raw_format: str
    rows: float
    marginal: float = 1

    def races(self, key: str, inputs: Inputs) -> list[Race]:
        rows = inputs.scaled(self.rows)
        raw = inputs.flows(key, self.raw_format, files=8, hours=192, **graph(rows))
        title, asked = f"{self.title}: {rows:,} rows in 8 files", marginal(self.marginal)
        return [whole_job(key, title, inputs, raw, rows, asked, names=JSON_PEERS)]


#: chDB is not among the peers: DuckDB's and Polars' readers of JSON are the best.
JSON_PEERS = ("duckdb", "polars")
LOG_RACES = {
    "W9": LogRace("Google VPC flow logs, nested JSON Lines", "gcp", 5e6, marginal=2.5),
    "W10": LogRace("Suricata EVE, nested JSON Lines", "suricata", 5e6),
    "W11": LogRace("Azure VNet flow logs, documents", "azure", 5e6),
    "W12": LogRace("NetObserv, JSON Lines", "netobserv", 5e6),
    "W13": LogRace("nfdump, csv-fast", "nfdump-csv", 10e6),
    "W13n": LogRace("nfdump, ndjson, local times", "nfdump-ndjson", 5e6),
    "W14": LogRace("goflow2, JSON Lines", "goflow2", 5e6),
}


def w2x4(inputs: Inputs) -> list[Race]:
    rows = inputs.scaled(20e6)
    raw = {hours: inputs.flows(name, "csv", files=8, hours=hours, **graph(rows)) for name, hours in HOURS.items()}
    few, many = (f"{OURS}, {hours} hours" for hours in raw)
    contestants = [Contestant(name, partial(flowlog, raw[hours])) for name, hours in zip((few, many), raw, strict=True)]
    title = f"W2's {rows:,} rows, spread over four times as many hours"
    return [Race("W2x4", title, contestants, _nothing_to_compare, [no_larger(many, few, within=0.2)])]


HOURS = {"W2": 192, "W2x4": 768}


def whole_job(
    key: str,
    title: str,
    inputs: Inputs,
    raw: Path,
    rows: int,
    *targets: Target,
    names: tuple[str, ...] = PEERS,
    named_apps: bool = False,
    fourfold: Path | None = None,
) -> Race:
    """A job with its files, and with four times as many: those of `fourfold`, or four copies of each, which flowlog counts if it is told to."""
    contestants = []
    for size, folder in (("", raw), (FOURFOLD, fourfold or inputs.copies(raw, TIMES))):
        options = [] if fourfold else ["--same-content", "count"]
        options += ["--apps", str(apps_of(folder))] if named_apps else []
        contestants.append(Contestant(OURS + size, partial(flowlog, folder, options=options)))
        contestants += [Contestant(name + size, partial(peer, name, key, folder)) for name in names]
    return Race(key, title, contestants, check_totals, list(targets), rows)


def flowlog(raw: Path, folder: Path, options: Sequence[str] = ()) -> list[str]:
    store = ("--store", str(folder / "out"), "--workers", "2")
    return [sys.executable, "-m", "pipeline", "ingest", str(raw), *store, *options]


def peer(name: str, key: str, raw: Path, folder: Path) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.peers.{name}", key, str(raw), str(folder / "out")]


def check_totals(folders: dict[str, Path]) -> None:
    """Whether all wrote the same totals; in a process of its own, for it takes memory that the runner must not have."""
    for name, folder in folders.items():
        ours = OURS + FOURFOLD if name.endswith(FOURFOLD) else OURS
        if name != ours:
            program("-m", "benchmarks.check", str(folders[ours] / "out" / "flows"), str(folder / "out"))


def _nothing_to_compare(_folders: dict[str, Path]) -> None:
    """The two do not do the same job."""
