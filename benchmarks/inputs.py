"""The inputs: made by the seeded generator, and kept for the next time."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import RunFailed

ROOT = Path(__file__).parents[1]
RECIPE = "recipe"


@dataclass(frozen=True)
class Inputs:
    """Where inputs and stores are kept.

    Attributes:
        kept: The folder.
        scale: What the numbers of rows are multiplied with.
        seed: Of the generator.
    """

    kept: Path
    scale: float
    seed: int

    def scaled(self, number: float) -> int:
        return max(1, round(number * self.scale))

    def flows(self, name: str, raw_format: str, **options: float) -> Path:
        """A folder of raw files, made by `benchmarks.generate` with these options."""
        arguments = [f"--{option.replace('_', '-')}={value}" for option, value in options.items() if option != "gzip"]
        arguments += ["--gzip"] if options.get("gzip") else []
        command = ["-m", "benchmarks.generate", "--format", raw_format, f"--seed={self.seed}", *arguments]
        return self.made(name, " ".join(command), lambda new: program(*command, str(new / "raw"))) / "raw"

    def store(self, name: str, raw: Path, *command: str) -> Path:
        """A store, made by a program that is given where to; made again with the raw files, whose times its ledger has."""
        recipe = f"{' '.join(command)} of {(raw.parent / RECIPE).read_text()}"
        return self.made(name, recipe, lambda new: program(*command, str(new / "store"))) / "store"

    def copies(self, raw: Path, times: int) -> Path:
        """A folder with each raw file so many times, under other names. It is the only such folder at a time, as it is large."""
        folder = self.kept / "copies"
        shutil.rmtree(folder, ignore_errors=True)
        copied = folder / raw.name
        copied.mkdir(parents=True)
        for path in raw.iterdir():
            for number in range(times):  # no links, as a file that has two names is one file
                shutil.copyfile(path, copied / f"{number}-{path.name}")
        if (apps := apps_of(raw)).exists():
            shutil.copyfile(apps, apps_of(copied))
        return copied

    def made(self, name: str, recipe: str, make: Callable[[Path], object]) -> Path:
        """A folder that is made where it is missing, or was made by another recipe."""
        folder = self.kept / "inputs" / f"{name}-x{self.scale:g}-s{self.seed}"
        note = folder / RECIPE
        if not note.exists() or note.read_text() != recipe:
            print(f"makes {folder}", file=sys.stderr)
            new = folder.with_name(f"{folder.name}.new")
            for path in (folder, new):
                shutil.rmtree(path, ignore_errors=True)
            new.mkdir(parents=True)
            make(new)
            new.rename(folder)
            note.write_text(recipe)  # last: a folder without it is made again
        return folder


def apps_of(raw: Path) -> Path:
    """The mapping file that the generator writes beside a folder of raw files, where their format knows addresses only."""
    return raw.with_name(f"{raw.name}.apps.csv")


def graph(rows: int) -> dict[str, float]:
    """The generator's options for a service graph: few pairs of apps talk, and some much more than others."""
    return {"rows": rows, "apps": 200, "pairs": min(3000, rows), "skew": 1.1}


def program(*arguments: str) -> None:
    """Runs a Python program from the checkout, by this interpreter, untimed.

    Raises:
        RunFailed: It ended with an error.
    """
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RunFailed(f"{' '.join(arguments)}\nended with {done.returncode}:\n{done.stderr.strip()[-2000:]}")
