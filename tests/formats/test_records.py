"""The columns of a log's record, which a file may lack."""

import numpy as np
import pyarrow as pa

from pipeline.formats.record import column_of, integers_of, texts_of
from pipeline.schema import DICTIONARY_TEXT
from pipeline.syntax.batch import Batch

TABLE = pa.table(
    {"n": pa.array([1, None, 3]), "t": pa.array(["a", "a", None], DICTIONARY_TEXT), "whole": pa.array([1, 2, 3])}
)
BATCH = Batch(pa.concat_tables([TABLE, TABLE]), np.arange(6), str)


def test_a_column_that_is_not_there_is_null():
    assert texts_of(BATCH, "x").equals(pa.nulls(6, DICTIONARY_TEXT))
    assert column_of(BATCH, "x", pa.float64()).equals(pa.nulls(6, pa.float64()))
    assert integers_of(BATCH, "x", missing=-1).tolist() == [-1] * 6


def test_one_that_is_there_comes_in_one_piece():
    assert texts_of(BATCH, "t").to_pylist() == ["a", "a", None] * 2
    assert integers_of(BATCH, "n", missing=-1).tolist() == [1, -1, 3] * 2
    assert integers_of(BATCH, "whole", missing=-1).tolist() == [1, 2, 3] * 2
