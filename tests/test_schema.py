"""The rules of the flow record, stated once."""

import pyarrow as pa
import pytest

from pipeline import schema


def test_every_rendering_of_the_record_has_the_same_columns_in_the_same_order():
    assert tuple(schema.FLOW_SCHEMA.names) == schema.COLUMNS
    assert tuple(schema.flow_schema().columns) == schema.COLUMNS
    assert schema.TOTALS_SCHEMA.names == [*schema.COLUMNS, "flows"]
    assert schema.PARTITION_SCHEMA.names == [*schema.COLUMNS[1:], "flows"]


def test_the_key_and_the_sums_make_up_the_record():
    assert schema.KEY + schema.SUMS == schema.COLUMNS


@pytest.mark.parametrize("field", schema.FIELDS, ids=lambda field: field.name)
def test_pandera_checks_the_type_that_arrow_carries(field):
    column = schema.flow_schema().columns[field.name]
    carried = schema.FLOW_SCHEMA.field(field.name).type
    assert column.dtype.type.pyarrow_dtype == carried
    assert carried == (schema.DICTIONARY_TEXT if field.type == pa.string() else field.type)
    assert not column.nullable


def test_only_the_byte_counts_depend_on_the_zero_rule():
    def rules(zero_bytes):
        columns = schema.flow_schema(zero_bytes).columns
        return {name: [check.error for check in column.checks] for name, column in columns.items()}

    accept, reject = rules("accept"), rules("reject")
    assert {name for name in accept if accept[name] != reject[name]} == {"bytes_tx", "bytes_rx"}
    assert reject["bytes_tx"][0] == "must be positive"


def test_text_is_utf8_by_type():
    texts = {field.name for field in schema.FIELDS if field.type == pa.string()}
    assert texts == {"src_app", "dest_app", "vpc_id"}
