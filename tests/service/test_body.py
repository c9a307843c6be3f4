"""A posted is refused whole, in the contract's words, by the rules of the schema; and what is not refused the job accepts."""

import asyncio
import io
import json

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import formats
from pipeline.counting.validation import validate
from pipeline.formats.apps import AppMap
from pipeline.formats.format import ReadContext
from pipeline.hours import LAST_HOUR
from pipeline.options import ReadOptions
from pipeline.scalars import INT64_MAX
from pipeline.schema import COLUMNS, FLOW_SCHEMA, MAX_NAME_LENGTH, MAX_RECORD_BYTES, flow_schema
from pipeline.service import body
from pipeline.service.body import MAX_RECORDS, Checker, to_lines
from pipeline.service.explain import explain
from pipeline.service.problem import Problem
from tests.formats.helpers import batches_of
from tests.service.conftest import EXAMPLE, record

CHECKERS = {zero_bytes: Checker(zero_bytes) for zero_bytes in ("accept", "reject")}


def read(posted, zero_bytes="reject"):
    posted = posted if isinstance(posted, bytes) else json.dumps(posted).encode()
    return asyncio.run(CHECKERS[zero_bytes].read(posted))


def problems(posted, zero_bytes="reject"):
    with pytest.raises(Problem) as refused:
        read(posted, zero_bytes)
    return [(detail.record, detail.text) for detail in refused.value.details]


def raw(**changes):
    """A posted with one record, whose values are JSON as it stands."""
    cells = {name: json.dumps(value) for name, value in record().items()} | changes
    return b"[{" + ", ".join(f'"{name}": {cell}' for name, cell in cells.items()).encode() + b"}]"


class TestTheContractsWords:
    @pytest.mark.parametrize("name", ["src_app", "dest_app", "vpc_id"])
    @pytest.mark.parametrize("value", ["", None, 5, 5.0, True, ["a"], {"a": 1}])
    def test_a_name_must_be_a_string(self, name, value):
        assert problems([record(**{name: value})]) == [(0, f"The {name} value must be a string")]

    @pytest.mark.parametrize("name", ["bytes_tx", "bytes_rx", "hour"])
    @pytest.mark.parametrize("value", [True, False, 5.0, 1e3, "5", None, [5], {}])
    def test_a_number_must_be_an_integer(self, name, value):
        assert problems([record(**{name: value})]) == [(0, f"The {name} value must be an integer")]

    @pytest.mark.parametrize("name", ["bytes_tx", "bytes_rx", "hour"])
    @pytest.mark.parametrize("value", [0, -1, -(2**63), -(2**70)])
    def test_and_positive(self, name, value):
        assert problems([record(**{name: value})]) == [(0, f"The {name} value must be positive")]

    @pytest.mark.parametrize("name", body.NAMES)
    def test_a_missing_key_is_like_null(self, name):
        lacking = record()
        del lacking[name]
        assert problems([lacking]) == problems([record(**{name: None})])

    @pytest.mark.parametrize("posted", [b"", b"  \n", b"null"])
    def test_no_data(self, posted):
        assert problems(posted) == [(None, "Missing request data")]

    @pytest.mark.parametrize("posted", [b"[]", b" [ ] "])
    def test_no_record(self, posted):
        assert problems(posted) == [(None, "No flowlog found")]

    def test_zero_can_be_accepted(self):
        assert read([record(bytes_tx=0, bytes_rx=0)], "accept")
        assert problems([record(bytes_tx=-1)], "accept") == [(0, "The bytes_tx value must be at least 0")]
        assert problems([record(hour=0)], "accept") == [(0, "The hour value must be positive")]

    def test_the_first_problem_is_the_first_records_in_the_contracts_order(self):
        found = problems([record(), {"hour": 0}, record(src_app="")])
        assert found == [
            (1, "The src_app value must be a string"),
            (1, "The dest_app value must be a string"),
            (1, "The vpc_id value must be a string"),
            (1, "The bytes_tx value must be an integer"),
            (1, "The bytes_rx value must be an integer"),
            (1, "The hour value must be positive"),
            (2, "The src_app value must be a string"),
        ]


class TestBeyondTheContract:
    def test_limits_of_numbers(self):
        assert read([record(bytes_tx=MAX_RECORD_BYTES, hour=LAST_HOUR)])
        assert problems([record(bytes_rx=2**53)]) == [(0, "The bytes_rx value must be at most 9007199254740991")]
        assert problems([record(bytes_rx=2**70)]) == [(0, "The bytes_rx value must be at most 9007199254740991")]
        assert problems([record(hour=2**31)]) == [(0, "The hour value must be at most 2147483647")]
        assert problems([record(hour=2**63)]) == [(0, "The hour value must be at most 2147483647")]
        assert problems(raw(hour="9" * 5000)) == [(0, "The hour value must be at most 2147483647")]
        assert problems(raw(hour="-" + "9" * 5000)) == [(0, "The hour value must be positive")]

    def test_the_length_of_a_name(self):
        assert read([record(src_app="é" * MAX_NAME_LENGTH)])
        assert problems([record(src_app="é" * (MAX_NAME_LENGTH + 1))]) == [
            (0, "The src_app value must be at most 1024 characters long")
        ]

    @pytest.mark.parametrize("value", [5, None, "x", [], [[]], True])
    def test_a_record_is_an_object(self, value):
        assert problems([record(), value]) == [(1, "The record must be a JSON object")]

    @pytest.mark.parametrize("posted", [b"{}", b'{"flows": []}', b"5", b'"text"', b"true"])
    def test_the_data_is_an_array(self, posted):
        ((index, text),) = problems(posted)
        assert index is None
        assert text.startswith("The request data is not valid JSON: it must be an array")

    @pytest.mark.parametrize(
        "posted",
        [
            b"[", b"[{", b"[{}", b"[1,]", b"[1 2]", b"nope", b"[NaN]", b"[Infinity]", b"[] []", b"\xef\xbb\xbf[]", b"[\x00]",
            raw()[:-1], raw(bytes_tx="NaN"), raw(more="-Infinity"), raw(src_app='"a\nb"'), raw(bytes_tx="01"),
        ],
    )  # fmt: skip
    def test_what_is_no_json(self, posted):
        assert any(text.startswith("The request data is not valid JSON: ") for _, text in problems(posted))

    def test_too_deep_nesting(self):
        for posted in (b"[" * 100_000, b'[{"a":' * 50_000, raw(more="[" * 100_000 + "]" * 100_000)):
            assert problems(posted)

    @pytest.mark.parametrize("value", [b'"\xff"', b'"\xed\xa0\x80"', b'"\xc0\x80"'])
    def test_bytes_that_are_not_utf8(self, value):
        posted = raw().replace(b'"a"', value)
        assert problems(posted) == [(None, "The request data must be valid UTF-8")]

    @pytest.mark.parametrize("value", [r'"\ud800"', r'"\udc00"', r'"a\ud800b"'])
    def test_lone_surrogates(self, value):
        assert problems(raw(src_app=value)) == [(0, "The src_app value must be valid UTF-8")]

    def test_escapes_are_text(self):
        (found,) = read(raw(src_app=r'"\ud83d\ude00 \u0000 \n \" \\ \/"'))
        assert found.src_app == '😀 \0 \n " \\ /'
        assert json.loads(to_lines([found])) == record(src_app=found.src_app)

    @pytest.mark.parametrize(
        "more",
        [
            '"src_app": "x"', '"hour": 1', r'"\u0068our": 1', r'"hour" : 7, "hour": 7', r'"h\u006Fur": null',
        ],
    )  # fmt: skip
    def test_a_key_that_stands_twice_is_ambiguous(self, more):
        posted = raw().replace(b"}]", b", " + more.encode() + b"}]")
        name = "src_app" if "src_app" in more else "hour"
        assert problems(posted) == [(0, f"The {name} value must be there once")]

    @pytest.mark.parametrize(
        "changes",
        [
            {"more": "1"}, {"more": '"hour"'}, {"more": '{"hour": 1}'}, {"src_app": '"hour"'}, {"more": r'"\u0041"'},
            {"src_app": r'"\\"'}, {"more": "[]"}, {"": "null"}, {"Hour": "5"},
        ],
    )  # fmt: skip
    def test_other_keys_are_ignored_and_do_not_look_like_these(self, changes):
        (found,) = read(raw(**changes))
        assert json.loads(to_lines([found])) == {**record(), "src_app": json.loads(changes.get("src_app", '"a"'))}

    def test_too_many_records(self, monkeypatch):
        monkeypatch.setattr(body, "MAX_RECORDS", 2)
        assert len(read([record()] * 2)) == 2
        for posted in ([record()] * 3, [5] * 3, [record(), 5, 5]):
            with pytest.raises(Problem) as refused:
                read(posted)
            assert refused.value.status == 413


class TestLines:
    def test_are_the_records_and_nothing_else(self):
        lines = to_lines(read([entry | {"more": 1} for entry in EXAMPLE]))
        assert [json.loads(line) for line in lines.splitlines()] == EXAMPLE
        assert to_lines(body.read_lines(lines)) == lines


# --- the same rules as the job's ---------------------------------------------------------------------------------------

TEXTS = st.one_of(st.text(max_size=5), st.text(alphabet='\x00\x1f \u2028\u00e9\U0001f600"\\/hour', max_size=8))
EDGES = [0, 1, -1, MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1, INT64_MAX, INT64_MAX + 1, -INT64_MAX - 1, -INT64_MAX - 2, 2**70]
INTEGERS = st.one_of(st.integers(), st.sampled_from(EDGES))
ODD = st.one_of(st.none(), st.booleans(), st.floats(), TEXTS, INTEGERS, st.just([]), st.just({}))


def flows(texts, integers, odd):
    def mostly(strategy):
        return st.one_of(strategy, strategy, strategy, strategy, odd)

    keys = {name: mostly(texts) for name in ("src_app", "dest_app", "vpc_id")}
    keys |= {name: mostly(integers) for name in ("bytes_tx", "bytes_rx", "hour")}
    return st.fixed_dictionaries({}, optional=keys | {"more": odd}) | st.fixed_dictionaries(keys)


def accepted_by_the_service(posted, zero_bytes):
    try:
        return to_lines(read(posted, zero_bytes))
    except Problem:
        return None


def read_by_the_job(lines, zero_bytes):
    known, stream = formats.open_source(io.BytesIO(lines), "segment", "json")
    found = list(batches_of(known.read(stream, ReadContext(ReadOptions(), AppMap()))))
    batches = list(validate(found, flow_schema(zero_bytes)))
    return pa.concat_tables(batch.table for batch in batches), sum(len(batch.rejects) for batch in batches)


@given(flows(TEXTS, INTEGERS, ODD), st.sampled_from(["accept", "reject"]))
def test_the_service_and_the_job_accept_the_same_records(flow, zero_bytes):
    try:
        line = json.dumps(flow, allow_nan=False).encode()
    except ValueError:
        return  # no JSON
    lines = accepted_by_the_service(b"[" + line + b"]", zero_bytes)
    table, rejected = read_by_the_job(line + b"\n", zero_bytes)
    assert (lines is not None) == (rejected == 0)
    if lines is not None:
        assert table.to_pylist() == read_by_the_job(lines, zero_bytes)[0].to_pylist()


FITTING = st.one_of(st.integers(-5, 5), st.sampled_from([edge for edge in EDGES if -(2**63) <= edge < 2**63]))
TYPED = {
    name: st.none() | (st.text(max_size=3) if name in ("src_app", "dest_app", "vpc_id") else FITTING) for name in COLUMNS
}


@given(st.lists(st.fixed_dictionaries(TYPED), min_size=1, max_size=4), st.sampled_from(["accept", "reject"]))
def test_the_decoder_and_the_pandera_schema_accept_the_same_records(flows, zero_bytes):
    frame = pa.Table.from_pylist(flows, FLOW_SCHEMA).to_pandas(types_mapper=pd.ArrowDtype)
    from pandera.errors import SchemaErrors

    try:
        flow_schema(zero_bytes).validate(frame, lazy=True)
        bad = set()
    except SchemaErrors as errors:
        bad = {index for error in errors.schema_errors for index in error.failure_cases["index"]}
    found = set()
    try:
        read(flows, zero_bytes)
    except Problem as refused:
        found = {detail.record for detail in refused.details}
    assert found == bad


@given(st.lists(flows(TEXTS, INTEGERS, ODD), min_size=1, max_size=3), st.sampled_from(["accept", "reject"]))
def test_the_decoder_refuses_what_the_explanation_finds_and_nothing_else(flows, zero_bytes):
    posted = json.dumps(flows).encode()
    assert (accepted_by_the_service(posted, zero_bytes) is None) == bool(explain(posted, zero_bytes, MAX_RECORDS)[0])
