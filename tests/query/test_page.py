"""A page: the first rows of an answer. With what it says of the other rows, it makes the total, always."""

import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SumOverflow
from pipeline.query import page as page_module
from pipeline.query import query as query_module
from pipeline.query.page import Total, read_page
from pipeline.query.query import GROUPINGS, Query, run_query
from pipeline.store.layout import Locations
from tests.query.test_query import SMALL, apps, rows_of, stored

DAYS = [498743, 498744, 498752, 498768]  # the 23rd, the 24th twice, the 25th of November 2026
rows = st.tuples(
    st.sampled_from([1, *DAYS]),
    apps,
    apps,
    st.sampled_from(["v", "w"]),
    st.integers(0, 2**53 - 1) | st.sampled_from([0, 2**63 - 1]),
    st.integers(0, 9),
    st.integers(1, 3),
)
queries = st.fixed_dictionaries(
    {"hour": st.sampled_from([1, 2, 498752])},
    optional={
        "until": st.sampled_from([498753, 498769]),
        "app": st.lists(apps | st.just("*b"), max_size=2),
        "vpc_id": st.just("v"),
        "by": st.permutations(GROUPINGS).flatmap(lambda by: st.integers(1, 6).map(lambda n: tuple(by[:n]))),
        "sort": st.sampled_from(["bytes_rx", "bytes"]),
        "top": st.integers(1, 5),
    },
)


@settings(max_examples=60)
@given(
    st.lists(rows, min_size=1, max_size=15, unique_by=lambda row: row[:4]),
    st.lists(queries, min_size=1, max_size=4),
    st.integers(1, 6),
    st.sampled_from([1, 1 << 18]),
    st.sampled_from([0, 1000]),
)
def test_the_rows_of_a_page_and_the_others_are_all_rows_that_pass_the_filters(rows, queries, most, at_once, few):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(query_module, "_BYTES_AT_ONCE", at_once)
        patch.setattr(page_module, "_PIECE_ROWS", 2)
        patch.setattr(page_module, "_FEW_ROWS", few)
        store = stored(folder, rows)
        for asked in queries:
            query = Query(**asked)
            try:
                answer = run_query(store, query)
            except SumOverflow:
                continue
            page = read_page(store, query, most)
            assert rows_of(page.rows) == rows_of(answer.slice(0, most))
            assert page.rows.schema == answer.schema
            shown = [sum(page.rows.column(name).to_pylist()) for name in ("bytes_tx", "bytes_rx", "flows")]
            assert [one + other for one, other in zip(shown, page.other, strict=True)] == list(page.total)
            assert page.total == total_of(rows, query)
            assert page.others == len(rows_of(run_query(store, Query(**asked | {"top": 10**9})))) - page.rows.num_rows


def total_of(rows, query):
    """What the rows that pass a query's filters add up to, by plain Python."""
    until = query.until or query.hour + 1
    passing = [
        row
        for row in rows
        if query.hour <= row[0] < until
        and (query.vpc_id is None or row[3] == query.vpc_id)
        and (query.app is None or any(is_meant(name, text) for name in row[1:3] for text in query.app))
    ]
    return Total(*(sum(row[place] for row in passing) for place in (4, 5, 6)))


def is_meant(name, text):
    return name.endswith("b") if text == "*b" else name == text


def test_sums_of_a_page_may_be_beyond_64_bits(tmp_path):
    store = stored(tmp_path, [(1, app, "b", "v", 2**63 - 1, 2, 1) for app in "abc"])
    page = read_page(store, Query(1), 1)
    assert page.total == Total(3 * (2**63 - 1), 6, 3)
    assert page.other == Total(2 * (2**63 - 1), 4, 2)
    assert page.total.bytes == 3 * (2**63 - 1) + 6


def test_where_nothing_is_the_page_is_empty(tmp_path):
    for query in (Query(1), Query(1, 9), Query(1, 9, top=1), Query(1, 9, by=("day",)), Query(1, app="x")):
        page = read_page(Locations(tmp_path), query, 10)
        assert (page.rows.num_rows, page.count, page.total, page.others) == (0, 0, Total(0, 0, 0), 0)


def test_top_shortens_a_page_but_does_not_lengthen_it(tmp_path):
    store = stored(tmp_path, SMALL)
    assert rows_of(read_page(store, Query(1, 11, top=2), 4).rows) == [SMALL[4], SMALL[3]]
    assert read_page(store, Query(1, 11, top=4), 2).others == 3


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        (("day",), [("1970-01-01", 1), ("2026-11-23", 2), ("2026-11-24", 12), ("2026-11-25", 16)]),
        (("month",), [("1970-01", 1), ("2026-11", 30)]),
        (("month", "day"), [("1970-01", "1970-01-01", 1), *(("2026-11", f"2026-11-{day}", tx) for day, tx in ((23, 2), (24, 12), (25, 16)))]),
    ],
)  # fmt: skip
def test_hours_are_summed_by_their_day_and_month_in_utc(tmp_path, by, expected):
    hours = [1, *DAYS]
    store = stored(tmp_path, [(hour, "a", "b", "v", 2**place, 0, 1) for place, hour in enumerate(hours)])
    assert [row[:-2] for row in rows_of(run_query(store, Query(1, 2**31, by=by)))] == expected


def test_an_hour_that_no_calendar_reaches_is_a_period_of_its_own(tmp_path):
    store = stored(tmp_path, [(hour, "a", "b", "v", 1, 0, 1) for hour in (2147483646, 2147483647)])
    found = rows_of(run_query(store, Query(1, 2**31, by=("month",))))
    assert [row[0] for row in found] == ["2147483646", "2147483647"]
