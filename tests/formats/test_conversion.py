"""A log's records become flow records in the same way, whatever the log's columns are called."""

from dataclasses import replace
from ipaddress import ip_network

import numpy as np
import pyarrow as pa
import pytest

from pipeline.formats.apps import AppMap
from pipeline.formats.conversion import to_flows
from pipeline.formats.record import Endpoint, Record
from pipeline.options import ReadOptions
from pipeline.schema import DICTIONARY_TEXT, FLOW_SCHEMA
from pipeline.syntax.batch import Batch

NOON = 1_764_158_400


def texts(*values):
    return pa.array(values, DICTIONARY_TEXT)


def batch_of(*, when=(NOON, NOON), client=("10.0.0.1", "10.0.0.2"), server=("10.0.0.9", "10.0.0.9"), **columns):
    table = {"when": pa.array(when), "client": texts(*client), "server": texts(*server)}
    return Batch(pa.table(table | columns), np.arange(1, len(when) + 1), str)


def record_of(**changes):
    plain = Record(
        start="when",
        src=Endpoint(("client",)),
        dst=Endpoint(("server",)),
        sent=pa.array([5, 7]),
        received=pa.array([50, 70]),
        required=("when", "client", "server"),
    )
    return replace(plain, **changes)


def flows(batch, record, vpc_id=None, apps=None):
    return to_flows(batch, record, ReadOptions(vpc_id=vpc_id), apps or AppMap())


def rejects(batch):
    return [(reject.row, reject.field, reject.rule, reject.value) for reject in batch.rejects]


@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000, 1_000_000_000, 1.0])
def test_the_hour_is_that_of_the_start_in_whatever_unit(unit):
    batch = flows(batch_of(when=(NOON * unit, (NOON + 3_599) * unit)), record_of())
    assert batch.table.schema == FLOW_SCHEMA
    assert batch.table["hour"].to_pylist() == [NOON // 3_600] * 2


def test_what_lacks_a_value_or_is_no_time_is_rejected_under_the_name_of_the_log():
    batch = flows(batch_of(when=(NOON, None), client=(None, "10.0.0.2")), record_of())
    assert rejects(batch) == [(2, "when", "must not be missing", ""), (1, "client", "must not be missing", "")]
    batch = flows(batch_of(when=(NOON, 20_251_126)), record_of())
    assert rejects(batch) == [(2, "when", "must be a time between 1990 and 2200", "20251126")]
    assert batch.table.to_pylist() == [
        {
            "hour": NOON // 3_600,
            "src_app": "10.0.0.1",
            "dest_app": "10.0.0.9",
            "vpc_id": "-",
            "bytes_tx": 5,
            "bytes_rx": 50,
        }
    ]


def test_a_null_among_the_bytes_stays_one_for_the_rules_of_flow_records():
    for answer in (None, np.array([True, False])):
        table = flows(batch_of(), record_of(sent=pa.array([None, 7]), answer=answer)).table
        assert table["bytes_rx" if answer is not None else "bytes_tx"].to_pylist()[0] is None


class TestEndpoints:
    TWO = Endpoint(("original", "client"))

    def test_the_first_address_that_a_row_has_counts(self):
        batch = flows(batch_of(original=texts(None, "10.7.7.7")), record_of(src=self.TWO))
        assert batch.table["src_app"].to_pylist() == ["10.0.0.1", "10.7.7.7"]

    def test_a_log_may_lack_a_column_of_addresses(self):
        assert flows(batch_of(), record_of(src=self.TWO)).table["src_app"].to_pylist() == ["10.0.0.1", "10.0.0.2"]

    def test_a_bad_address_is_rejected_under_the_name_of_its_own_column(self):
        batch = flows(batch_of(client=("x", "y"), original=texts(None, "z")), record_of(src=self.TWO))
        rule = "must be an IP address"
        assert rejects(batch) == [(2, "original", rule, "z"), (1, "client", rule, "x")]

    def test_an_app_that_the_log_names_goes_before_the_address(self):
        batch = flows(batch_of(), record_of(dst=Endpoint(("server",), texts("web", None))))
        assert batch.table["dest_app"].to_pylist() == ["web", "10.0.0.9"]

    def test_the_mapping_file_s_word_goes_before_the_log_s(self):
        apps = AppMap([(ip_network("10.0.0.1"), "mine", None)])
        batch = flows(batch_of(), record_of(src=Endpoint(("client",), texts("web", "cache"))), apps=apps)
        assert batch.table["src_app"].to_pylist() == ["mine", "cache"]

    def test_an_end_without_an_address_may_have_an_app(self):
        record = record_of(src=Endpoint(("client",), texts("web", "cache")), required=("when", "server"))
        for apps in (AppMap(), AppMap([(ip_network("10.0.0.0/8"), "mine", None)])):
            batch = flows(batch_of(client=(None, None)), record, apps=apps)
            assert (batch.table["src_app"].to_pylist(), rejects(batch)) == (["web", "cache"], [])

    def test_a_bad_address_is_rejected_whatever_app_the_log_names(self):
        batch = flows(batch_of(client=("x", "10.0.0.2")), record_of(src=Endpoint(("client",), texts("web", "cache"))))
        assert rejects(batch) == [(1, "client", "must be an IP address", "x")]

    @pytest.mark.parametrize(
        ("named", "apps"),
        [
            ([True, False], ["web", "10.0.0.9"]),
            ([False, True], ["10.0.0.9", "10.0.0.9"]),
            ([False, False], ["10.0.0.9", "10.0.0.9"]),
        ],
    )
    def test_an_app_may_count_in_some_rows_alone(self, named, apps):
        end = Endpoint(("server",), texts("web", None), np.array(named))
        assert flows(batch_of(), record_of(dst=end)).table["dest_app"].to_pylist() == apps
        batch = flows(batch_of(when=(None, NOON)), record_of(dst=replace(end, app=texts("cache", "web"))))
        assert batch.table["dest_app"].to_pylist() == (["web"] if named[1] else ["10.0.0.9"])


class TestAnswers:
    ANSWER = np.array([False, True])

    def test_an_answer_is_turned_round(self):
        table = flows(batch_of(), record_of(answer=self.ANSWER)).table
        assert table["src_app"].to_pylist() == ["10.0.0.1", "10.0.0.9"]
        assert table["dest_app"].to_pylist() == ["10.0.0.9", "10.0.0.2"]
        assert (table["bytes_tx"].to_pylist(), table["bytes_rx"].to_pylist()) == ([5, 70], [50, 7])

    def test_a_record_of_one_direction_has_its_bytes_on_one_side(self):
        table = flows(batch_of(), record_of(received=None, answer=self.ANSWER)).table
        assert (table["bytes_tx"].to_pylist(), table["bytes_rx"].to_pylist()) == ([5, 0], [0, 7])

    def test_rows_that_are_rejected_do_not_shift_the_answers(self):
        table = flows(batch_of(when=(None, NOON)), record_of(answer=self.ANSWER)).table
        assert table.select(["src_app", "bytes_tx", "bytes_rx"]).to_pylist() == [
            {"src_app": "10.0.0.9", "bytes_tx": 70, "bytes_rx": 7}
        ]


class TestVpc:
    def vpc_ids(self, vpc_id=None, **changes):
        return flows(batch_of(), record_of(**changes), vpc_id).table["vpc_id"].to_pylist()

    def test_it_is_that_of_the_record_then_of_the_user_then_of_the_owner(self):
        own, owner = texts("vpc-1", None), texts(None, "111")
        assert self.vpc_ids(vpc=own, owner=owner, vpc_id="mine") == ["vpc-1", "mine"]
        assert self.vpc_ids(vpc=own, owner=owner) == ["vpc-1", "111"]
        assert self.vpc_ids(owner=owner) == ["-", "111"]
        assert self.vpc_ids(vpc_id="mine") == ["mine", "mine"]
        assert self.vpc_ids() == ["-", "-"]


def test_an_empty_text_names_neither_an_app_nor_a_vpc():
    record = record_of(src=Endpoint(("client",), texts("", "web")), vpc=texts("", "vpc-1"), owner=texts("", "111"))
    table = flows(batch_of(), record).table
    assert table["src_app"].to_pylist() == ["10.0.0.1", "web"]
    assert table["vpc_id"].to_pylist() == ["-", "vpc-1"]
