"""Old and distant readers of Parquet see the store's totals. Run by hand, since it installs them: `make engines`.

Each engine gets a virtual environment of its own below the folder that is given, and reads `flows/` in its plainest way. The
sums by hour that it prints must be the store's own. `tests/test_engines.py` has the engines that the suite installs anyway.
Spark needs a Java runtime (8, 11 or 17) on the path.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from pipeline import FlowStore

#: Java 17 hides what Spark 3.2 looks into; older ones ignore nothing here that they need.
_JAVA_OPTIONS = " ".join(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("sun.nio.ch", "java.nio", "java.lang", "java.util", "sun.util.calendar")
)
_SPARK = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
rows = spark.read.parquet(flows).groupBy("hour").sum("bytes_tx", "bytes_rx", "flows").collect()
answer = [list(row) for row in rows]
"""


@dataclass(frozen=True)
class Engine:
    """A reader of Parquet.

    Attributes:
        requirements: The packages to install.
        code: Sets `answer` to [hour, bytes_tx, bytes_rx, flows] for each hour, from the folder `flows`.
    """

    requirements: tuple[str, ...]
    code: str


ENGINES = {
    "PySpark 3.2": Engine(("pyspark==3.2.4", "setuptools"), _SPARK),
    "PySpark 3.5": Engine(("pyspark==3.5.6", "setuptools"), _SPARK),
    "fastparquet": Engine(
        ("fastparquet==2024.11.0",),
        """
from fastparquet import ParquetFile
frame = ParquetFile(flows).to_pandas()
sums = frame.astype({"hour": "int64"}).groupby("hour")[["bytes_tx", "bytes_rx", "flows"]].sum()
answer = [[int(value) for value in row] for row in sums.reset_index().itertuples(index=False)]
""",
    ),
    "DataFusion": Engine(
        ("datafusion==51.0.0",),
        """
from datafusion import SessionContext
import pyarrow
context = SessionContext()
context.register_parquet("flows", flows, table_partition_cols=[("hour", pyarrow.int64())])
batches = context.sql("SELECT hour, sum(bytes_tx), sum(bytes_rx), sum(flows) FROM flows GROUP BY hour").collect()
answer = [list(row.values()) for batch in batches for row in batch.to_pylist()]
""",
    ),
    "pyarrow 10": Engine(
        ("pyarrow==10.0.1", "numpy<2", "pandas<2"),
        """
import pyarrow.parquet
frame = pyarrow.parquet.read_table(flows).to_pandas().astype({"hour": "int64"})
sums = frame.groupby("hour")[["bytes_tx", "bytes_rx", "flows"]].sum()
answer = [[int(value) for value in row] for row in sums.reset_index().itertuples(index=False)]
""",
    ),
    "Polars 0.20": Engine(
        ("polars==0.20.31",),
        """
import polars
sums = polars.scan_parquet(flows + "/**/*.parquet", hive_partitioning=True)
sums = sums.group_by("hour").agg(polars.col("bytes_tx", "bytes_rx", "flows").sum()).collect()
answer = [list(row) for row in sums.select("hour", "bytes_tx", "bytes_rx", "flows").rows()]
""",
    ),
}


def ask(engine: Engine, folder: Path, flows: Path) -> list[list[int]]:
    """What an engine reads, after it was installed in a folder.

    Raises:
        CalledProcessError: The engine cannot be installed, or cannot read the store.
    """
    python = folder.absolute() / "bin" / "python"  # which runs in the folder
    if not python.exists():
        venv.create(folder, with_pip=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *engine.requirements]
        subprocess.run(install, check=True)
    code = f"import json, sys\nflows = {str(flows)!r}\n{engine.code}\nprint('\\n' + json.dumps(sorted(answer)))"
    environment = os.environ | {"JDK_JAVA_OPTIONS": _JAVA_OPTIONS, "PYTHONPATH": ""}
    done = subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def make_store(folder: Path) -> FlowStore:
    """A store of the sample, and of an hour with names that fill more than one dictionary and sums near the largest."""
    from pipeline.jobs.ingest import IngestOptions

    root = Path(__file__).parents[2] / "data"
    many = folder / "many.csv"
    lines = [f"498752,app-{i:036},dest-{i % 1000},vpc,{2**40 + i * 7919},{i}\n" for i in range(200_000)]
    many.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n" + "".join(lines))
    store = FlowStore(folder / "store", create=True)
    store.ingest([str(root / "raw"), str(many)], IngestOptions(apps=root / "apps.csv"))
    return store


def main() -> None:
    environments = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as scratch:
        store = make_store(Path(scratch))
        flows = Path(scratch, "store", "flows")
        expected = [[s.hour, s.bytes_tx, s.bytes_rx, s.flows] for s in store.hours()]
        wrong = 0
        for name, engine in ENGINES.items():
            try:
                found = ask(engine, environments / name.replace(" ", "-"), flows)
            except subprocess.CalledProcessError:
                result = "cannot read it"
            else:
                result = "reads the same sums" if found == expected else f"reads other sums: {found}"
            wrong += result != "reads the same sums"
            print(f"{name}: {result}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
