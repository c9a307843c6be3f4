"""Processes that start, and do nothing: what every job of theirs has to pay.

python -m benchmarks.peers.start imports
python -m benchmarks.peers.start duckdb
"""

# ruff: noqa: F401 - to import is all that is done
import sys

if sys.argv[1:] == ["imports"]:
    import pandas as pd
    import pandera.pandas
    import pyarrow as pa
    import pyarrow.parquet
    import typer
else:
    import duckdb

    duckdb.sql("SELECT 1").fetchall()
