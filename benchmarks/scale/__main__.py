"""How far flowlog goes on many machines: what each part costs, whether the simulation is right, and what it says.

    python -m benchmarks.scale

It takes some minutes. The costs are measured here; the machines of the simulation are assumed (`simulation.Machines`).
"""

from __future__ import annotations

from typing import Any

from benchmarks.scale.check import checked
from benchmarks.scale.simulation import Load, Machines, simulate
from benchmarks.scale.terms import FORMATS, MIB, Terms, measured

TB = 10**12
DAYS = (1, 10, 100)
WORKERS = (1, 2, 5, 10, 20, 50, 100, 200)
RUNS = 24  # a day is counted by a run an hour


def main() -> None:
    terms = measured()
    print(table_of_terms(terms))
    print("\n| workers | format | processor time of the longest way, s | simulated, s | |\n|--:|---|--:|--:|--:|")
    for name, rows, files in (("csv", 6_000_000, 24), ("aws", 6_000_000, 48)):
        for one in checked(terms, name, rows, files):
            print(
                f"| {one.workers} | {one.format} | {one.real:.2f} | {one.simulated:.2f} | {one.difference:+.0%} |",
                flush=True,
            )
    for title, load in LOADS.items():
        print(f"\n{title}\n\n{table_of_days(load, terms)}", flush=True)


LOADS: dict[str, dict[str, Any]] = {
    "AWS text, packed, files of 8 MiB, 100,000 keys an hour": {},
    "The same with 2,000,000 keys an hour": {"keys": 2_000_000},
    "JSON Lines, files of 64 MiB, 100,000 keys an hour": {"format": "jsonl", "file_bytes": 64 * MIB},
}


def table_of_terms(terms: Terms) -> str:
    """What each part costs."""
    rows = [
        ("a run", f"{terms.run * 1e3:.0f} ms"),
        ("a new file: found, looked at, written into the record", f"{terms.plan * 1e6:.0f} µs"),
        *(
            (f"a MiB of {name}, as it lies", f"{terms.count[name] * 1e3:.1f} ms, {terms.rows[name]:,.0f} rows")
            for name in FORMATS
        ),
        ("a file that is counted, beside its bytes", f"{terms.file * 1e3:.1f} ms"),
        ("a key, added and written into a partial file", f"{terms.key * 1e6:.1f} µs"),
        ("a key in a partial file", f"{terms.key_bytes:.0f} bytes"),
        ("a MiB of partial files, checked", f"{terms.take * 1e3:.2f} ms"),
        ("a key of a partial file, merged", f"{terms.merge * 1e9:.0f} ns"),
        ("an hour, published", f"{terms.publish * 1e3:.1f} ms, and {terms.publish_key * 1e9:.0f} ns a key"),
        ("a group, handed over and taken", f"{terms.task * 1e3:.1f} ms"),
    ]
    return "\n".join(["| | processor time |", "|---|--:|", *(f"| {what} | {cost} |" for what, cost in rows)])


def table_of_days(options: dict[str, Any], terms: Terms) -> str:
    """How long a day's runs take together, and what part of that is the driver's alone."""
    lines = ["| workers | " + " | ".join(f"{size} TB a day" for size in DAYS) + " |", "|--:|" + "--:|" * len(DAYS)]
    for workers in WORKERS:
        cells = []
        for size in DAYS:
            took = simulate(Load(size * TB / RUNS, **options), Machines(workers), terms)
            driver = (took.plan + took.merge) / took.seconds
            cells.append(f"{took.seconds * RUNS / 3600:.1f} h ({driver:.0%} the driver's)")
        lines.append(f"| {workers} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
