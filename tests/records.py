"""What the tests of sums share: generated flow records, DuckDB as the independent judge of their sums, forged runs' records."""

import json

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from pipeline.counting.totals import sums_of
from pipeline.query.sums import sort_totals
from pipeline.schema import FLOW_SCHEMA, TOTALS_SCHEMA
from pipeline.store.chain import checksum_of, seal
from pipeline.store.partitions import encode_partition

NAMES = TOTALS_SCHEMA.names

#: Few keys, so that most are there more than once; some differ only in where one text ends and the next begins.
records = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 2**40]),
        st.sampled_from(["ab", "a", "ü"]),
        st.sampled_from(["c", "bc"]),
        st.sampled_from(["v", "w"]),
        st.integers(0, 2**53 - 1),
        st.integers(0, 10),
    ),
    max_size=30,
)


def flows_of(rows):
    """Flow records as the readers give them."""
    return pa.Table.from_pylist([dict(zip(NAMES[:6], row, strict=True)) for row in rows], schema=FLOW_SCHEMA)


def totals_of(*rows):
    """Totals as the store has them."""
    return pa.Table.from_pylist([dict(zip(NAMES, row, strict=True)) for row in rows], schema=TOTALS_SCHEMA)


def rows_of(totals):
    """The rows of some totals, in the store's order."""
    return [tuple(row.values()) for row in sort_totals(totals).to_pylist()]


def judged(flows):
    """The totals of flow records in the store's order, as DuckDB sums them."""
    query = """SELECT hour, src_app, dest_app, vpc_id, sum(bytes_tx)::BIGINT AS bytes_tx, sum(bytes_rx)::BIGINT AS bytes_rx,
                      count(*) AS flows
               FROM flows GROUP BY ALL ORDER BY hour, src_app, dest_app, vpc_id"""
    return duckdb.sql(query).to_arrow_table().cast(TOTALS_SCHEMA)


def write_totals(path, totals):
    """Writes an hour's totals as a run does."""
    path.write_bytes(encode_partition(totals, sums_of(totals)))


def write_record(path, fields):
    """Writes a run's record with these fields, sealed; returns its checksum."""
    fields = {"version": 2} | {name: value for name, value in fields.items() if name != "checksum"}
    text = "{" + ",".join(f"\n {json.dumps(name)}: {json.dumps(value)}" for name, value in fields.items())
    path.write_bytes(seal(text.encode()))
    return checksum_of(path.read_bytes())


def forge_record(store, edit, number=1):
    """Edits a run's record, and has the later ones follow it: as somebody would who knows the format, and the index gone."""
    previous = None
    for run_id in store.run_ids()[number - 1 :]:
        path = store.record_of(run_id)
        fields = json.loads(path.read_text())
        if previous is None:
            edit(fields)
        else:
            fields["previous"] = previous
        previous = write_record(path, fields)
    store.index.unlink(missing_ok=True)
