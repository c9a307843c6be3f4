"""Logs that write local times: the zone, the hours that are there twice or not at all, and what the run says of them."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.formats.localcolumns import NOT_LOCAL, with_local_times
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch
from tests.formats.helpers import RANGE_RULE

ZONE = "Europe/Berlin"


def converted(starts, ends=None, zone=ZONE):
    columns = {"first": starts} | ({} if ends is None else {"last": ends})
    table = pa.table({name: pa.array(texts, pa.string()).dictionary_encode() for name, texts in columns.items()})
    assert table.schema.field("first").type == DICTIONARY_TEXT
    batch = Batch(table, np.arange(1, len(starts) + 1), lambda row: f"row {row}")
    return with_local_times(batch, ("first", "last"), zone)


def test_a_time_is_read_in_its_zone_and_a_missing_one_stays_missing():
    found = converted(["1996-11-26 01:00:00", None], ["1996-11-26 02:00:00", "1996-11-26 03:00:00"])
    start = 848966400
    assert found.table.to_pydict() == {"first": [start, None], "last": [start + 3600, start + 7200]}
    assert not found.rejects


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("0000-00-00 00:00:00.000", NOT_LOCAL),
        ("yesterday", NOT_LOCAL),
        ("1970-01-01 00:00:00", RANGE_RULE),
        ("0", RANGE_RULE),
        ("2024-03-31 02:30:00", "must be a time that the clocks of Europe/Berlin showed (--timezone)"),
    ],
)
def test_a_start_that_is_no_time_rejects_its_row_and_is_shown_as_written(text, rule):
    found = converted(["2026-11-26 08:00:00", text])
    assert [(reject.row, reject.field, reject.rule, reject.value) for reject in found.rejects] == [(2, "first", rule, text)]
    assert found.table.num_rows == 1


def test_an_end_that_is_no_time_is_none():
    found = converted(["2026-11-26 08:00:00"] * 2, ["0000-00-00 00:00:00.000", "2024-03-31 02:30:00"])
    assert not found.rejects
    assert found.table.column("last").to_pylist() == [None, None]


def test_the_hour_that_is_there_twice_is_noted_with_its_rows():
    found = converted(["2024-10-27 01:00:00", "2024-10-27 02:00:00", "2024-10-27 02:30:00", "x"])
    (note,) = found.notes
    assert note == "have a time that two hours share, 2024-10-27T02 in Europe/Berlin: the first of the two was taken"
    assert found.noted[note].tolist() == [2, 3]


def test_a_noted_row_that_is_rejected_later_is_noted_no_more():
    found = converted(["2024-10-27 02:00:00", "2024-10-27 02:30:00"])
    left = found.ignore({"denied": np.array([True, False])})
    assert [rows.tolist() for rows in left.noted.values()] == [[2]]
