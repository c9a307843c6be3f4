"""Bytes of flows that span hours, shared over these by time: `--spread hours`."""

import json
from collections import Counter
from fractions import Fraction
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.counting import spread as spreading
from pipeline.counting.count import Limits, count_group
from pipeline.counting.distinct_hours import DistinctHours
from pipeline.counting.sources import Source
from pipeline.errors import UnreadableSource
from pipeline.flowstore import FlowStore
from pipeline.formats.spans import SPAN
from pipeline.jobs.ingest import IngestOptions
from pipeline.jobs.verify import DeepOptions
from pipeline.options import ReadOptions
from pipeline.syntax.batch import Batch
from tests.formats.helpers import read
from tests.records import flows_of

SECOND, HOUR = 10**9, 3600 * 10**9
TEN = 1_764_151_200  # 2025-11-26T10:00Z
NUMBER = TEN // 3600
AWS = "version srcaddr dstaddr srcport dstport bytes start end action log-status\n"

#: Flows as (start, duration, tx, rx), in nanoseconds.
spans = st.tuples(
    st.integers(TEN * SECOND, TEN * SECOND + 3 * HOUR),
    st.one_of(st.integers(0, 30 * HOUR), st.sampled_from([0, 1, HOUR, 2 * HOUR])),
    st.one_of(st.integers(0, 20), st.integers(0, 2**53 - 1)),
    st.one_of(st.just(0), st.integers(0, 2**53 - 1)),
)


def batch_of(*flows):
    """Flow records with their spans."""
    table = flows_of([(start // HOUR, "a", "b", "v", tx, rx) for start, _, tx, rx in flows])
    times = [(start, start + duration) for start, duration, *_ in flows]
    marks = pa.table(
        [pa.array(column, pa.int64()) for column in (list(zip(*times, strict=True)) or [(), ()])], names=list(SPAN)
    )
    return Batch(table, np.arange(len(flows)), str, marks=marks)


def spread(*flows):
    batch = batch_of(*flows)
    return spreading.spread(batch.table, spreading.span_of(batch))


def shares(*flows):
    """What the hours of each flow get: (hour, tx, rx, flows), by the flow's position."""
    found = {position: [] for position in range(len(flows))}
    for positions, part in spread(*flows):
        columns = [part.column(name).to_pylist() for name in ("hour", "bytes_tx", "bytes_rx", "flows")]
        for position, *row in zip(positions.tolist(), *columns, strict=True):
            found[position].append(tuple(row))
    return list(found.values())


def exact(start, duration, count):
    """The exact share of each hour, by hour."""
    hours = range(start // HOUR, max(start, start + duration - 1) // HOUR + 1)
    if len(hours) == 1:
        return {hours[0]: Fraction(count)}
    within = {hour: min(start + duration, (hour + 1) * HOUR) - max(start, hour * HOUR) for hour in hours}
    return {hour: Fraction(count * time, duration) for hour, time in within.items()}


def by_largest_remainder(shares_of):
    """Integers that sum to what the exact shares sum to; of equal remainders the earlier hours' come first."""
    whole = {hour: int(share) for hour, share in shares_of.items()}
    left = int(sum(shares_of.values())) - sum(whole.values())
    for hour in sorted(shares_of, key=lambda hour: (whole[hour] - shares_of[hour], hour))[:left]:
        whole[hour] += 1
    return whole


class TestShares:
    @given(spans)
    @example((TEN * SECOND + 1, 8784 * HOUR, 2**53 - 1, 1))
    def test_they_sum_to_the_record_and_are_within_one_byte_of_the_exact_ones(self, flow):
        (rows,) = shares(flow)
        assert [sum(column) for column in zip(*rows, strict=True)][1:] == [*flow[2:], 1]
        for place in (0, 1):
            wanted = exact(*flow[:2], flow[2 + place])
            got = {hour: pair[place] for hour, *pair, _ in rows}
            assert all(abs(got.get(hour, 0) - share) < 1 for hour, share in wanted.items())
            assert got.keys() <= wanted.keys()
            assert Counter(got) == Counter(by_largest_remainder(wanted))

    def test_the_first_hour_counts_the_flow(self):
        assert shares((TEN * SECOND + HOUR // 2, HOUR, 100, 10)) == [[(NUMBER, 50, 5, 1), (NUMBER + 1, 50, 5, 0)]]

    def test_where_the_hour_ends_the_next_one_is_not_touched(self):
        assert shares((TEN * SECOND, HOUR, 3, 3)) == [[(NUMBER, 3, 3, 1)]]

    def test_an_hour_without_a_byte_is_not_opened_but_the_first_is(self):
        assert shares((TEN * SECOND, 4 * HOUR, 1, 0)) == [[(NUMBER, 1, 0, 1)]]
        assert shares((TEN * SECOND + HOUR - 1, HOUR, 1, 0)) == [[(NUMBER, 0, 0, 1), (NUMBER + 1, 1, 0, 0)]]

    @given(st.lists(spans, min_size=1, max_size=20))
    @settings(max_examples=50)
    def test_in_pieces_they_are_the_same(self, flows):
        whole = shares(*flows)
        with mock.patch.object(spreading, "_ROWS_AT_ONCE", 7):
            assert shares(*flows) == whole
        assert [shares(flow)[0] for flow in flows] == whole

    def test_of_no_flow_there_are_none(self):
        assert list(spread()) == []


class TestHours:
    @given(st.lists(spans, max_size=10))
    @settings(max_examples=50)
    def test_they_are_all_from_the_starts_to_the_ends(self, flows):
        expected = {hour for start, duration, *_ in flows for hour in exact(start, duration, 0)}
        assert spreading.spanned_hours(spreading.span_of(batch_of(*flows))).tolist() == sorted(expected)

    def test_a_source_may_open_so_many_alone(self):
        year = 366 * 24 * HOUR
        batch = batch_of(*((TEN * SECOND + number * year, year, 9, 9) for number in range(6)))
        with pytest.raises(UnreadableSource, match=r"more than 50,000 different hours, from 2025-11-26T10 to 2031-12"):
            DistinctHours().add(batch)


def aws(*records):
    """AWS text of records (bytes, start, end), from ten o'clock on."""
    return AWS + "".join(
        f"2 10.0.0.1 10.0.0.{9 + number % 3} 40000 443 {count} {TEN + start} {end if isinstance(end, str) else TEN + end} ACCEPT OK\n"
        for number, (count, start, end) in enumerate(records)
    )


def count(folder, *texts, **options):
    """Counts files of these contents together."""
    paths = [folder / f"{number}.raw" for number in range(len(texts))]
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    return count_group(
        list(map(Source.at, paths)), ReadOptions(**{"spread": "hours"} | options), Limits(1 << 30), str(folder)
    )


def faults(group):
    return [(row["row"], row["field"], row["rule"]) for batch in group.rejects.batches() for row in batch.to_pylist()]


def totals_of(group):
    """(bytes_tx, bytes_rx, flows) by key."""
    rows = [tuple(row.values()) for _, read in group.totals.by_hour() for row in read().to_pylist()]
    return {row[:4]: row[4:] for row in rows}


def sum_of(sums):
    """Sums by key, added up by key."""
    found = {}
    for key, added in sums:
        found[key] = tuple(map(sum, zip(found.get(key, (0, 0, 0)), added, strict=True)))
    return found


def by_hour(group):
    """The sums by hour, from ten o'clock on."""
    return sum_of((hour - NUMBER, sums) for (hour, *_), sums in totals_of(group).items())


class TestCounting:
    LONG = (100, 1800, 2 * 3600 + 1800)

    def test_by_default_a_flow_counts_where_it_starts(self, tmp_path):
        assert by_hour(count(tmp_path, aws(self.LONG), spread="start")) == {0: (100, 0, 1)}

    def test_its_bytes_are_shared_over_its_hours(self, tmp_path):
        group = count(tmp_path, aws(self.LONG))
        assert by_hour(group) == {0: (25, 0, 1), 1: (50, 0, 0), 2: (25, 0, 0)}
        (result,) = group.results
        assert (result.read, result.valid, result.bytes_tx) == (1, 1, 100)
        assert result.hours == {NUMBER, NUMBER + 1, NUMBER + 2}

    @pytest.mark.parametrize("end", ["-", -1, "0", "1", str(TEN - 86400)], ids=str)
    def test_without_an_end_behind_its_start_it_counts_at_its_start(self, tmp_path, end):
        assert by_hour(count(tmp_path, aws((100, 1800, end)))) == {0: (100, 0, 1)}

    @pytest.mark.parametrize("end", [str(TEN + 400 * 86400), "99999999999", str(TEN * 10**6 + 400 * 86400 * 10**6)])
    def test_a_flow_that_would_last_for_years_is_rejected(self, tmp_path, end):
        text = aws((7, 0, 1), (100, 0, end))
        group = count(tmp_path, text)
        assert by_hour(group) == {0: (7, 0, 1)}
        assert faults(group) == [(3, "end", "must not be more than 366 days after the start")]
        assert by_hour(count(tmp_path, text, spread="start")) == {0: (107, 0, 2)}

    def test_an_end_that_is_none_is_looked_at_only_where_it_matters(self, tmp_path):
        text = aws((7, 0, 1), (100, 0, "soon"))
        assert faults(count(tmp_path, text)) == [(3, "end", "must be an integer")]
        assert faults(count(tmp_path, text, spread="start")) == []

    def test_milliseconds_count(self, tmp_path):
        start, end = TEN * 1000 + 3_599_000, TEN * 1000 + 3_601_500
        text = AWS + f"2 10.0.0.1 10.0.0.9 40000 443 5 {start} {end} ACCEPT OK\n"
        assert by_hour(count(tmp_path, text)) == {0: (2, 0, 1), 1: (3, 0, 0)}

    def test_a_record_is_validated_whole(self, tmp_path):
        text = aws((3, 1800, 20 * 3600))
        assert faults(count(tmp_path, text, zero_bytes="reject")) == []  # the source fails, whose only row is unfit
        assert by_hour(count(tmp_path, text))[0] == (0, 0, 1)

    @given(
        st.lists(
            st.lists(st.tuples(st.integers(0, 500), st.integers(0, 20_000), st.integers(-5, 90_000)), max_size=6), max_size=5
        )
    )
    @settings(max_examples=40)
    def test_order_and_grouping_change_nothing(self, tmp_path_factory, files):
        folder, parts = tmp_path_factory.mktemp("raw"), [aws(*records) for records in files if records]
        together = count(folder, *parts)
        alone = [count(folder, part) for part in parts]
        backwards = count(folder, *parts[::-1])
        assert (
            totals_of(together)
            == totals_of(backwards)
            == sum_of(item for group in alone for item in totals_of(group).items())
        )
        assert together.results == [group.results[0] for group in alone]
        assert backwards.results == together.results[::-1]

    def test_the_kernel_and_the_exact_road_agree(self, tmp_path):
        records = [(1000 + number, 60 * number, 60 * number + 5000) for number in range(50)]
        plain = aws(*records)
        assert totals_of(count(tmp_path, plain)) == totals_of(count(tmp_path, plain.replace(" ACCEPT", "  ACCEPT")))

    def test_aws_parquet_spreads_as_its_text_does(self, tmp_path):
        names, cells = AWS.split(), aws(self.LONG).splitlines()[1].split(" ")
        integers = {"srcport", "dstport", "bytes", "start", "end"}
        columns = {n.replace("-", "_"): [int(c) if n in integers else c] for n, c in zip(names, cells, strict=True)}
        pq.write_table(pa.table(columns), tmp_path / "p.parquet")
        options, limits = ReadOptions(spread="hours"), Limits(1 << 30)
        group = count_group([Source.at(tmp_path / "p.parquet")], options, limits, str(tmp_path))
        assert totals_of(group) == totals_of(count(tmp_path, aws(self.LONG)))


CONN = {"id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.9", "orig_ip_bytes": 100, "resp_ip_bytes": 4}


class TestZeek:
    def test_it_ends_a_duration_after_its_start(self, tmp_path):
        text = json.dumps(CONN | {"ts": TEN + 1800.25, "duration": 3600.5}) + "\n"
        # 1799.75 s of 3600.5 s are in the first hour: 49.986 of 100 bytes, 1.9994 of 4.
        assert by_hour(count(tmp_path, text)) == {0: (50, 2, 1), 1: (50, 2, 0)}

    def test_tsv_is_the_same(self, tmp_path):
        text = f"#fields\tts\tid.orig_h\tid.resp_h\tduration\torig_ip_bytes\tresp_ip_bytes\n{TEN + 1800}\t10.0.0.1\t10.0.0.9\t3600\t100\t4\n"
        assert by_hour(count(tmp_path, text)) == {0: (50, 2, 1), 1: (50, 2, 0)}
        assert by_hour(count(tmp_path, text.replace("\t3600\t", "\t-\t"))) == {0: (100, 4, 1)}

    def test_a_duration_of_years_is_rejected(self, tmp_path):
        text = "".join(json.dumps(CONN | {"ts": TEN, "duration": d}) + "\n" for d in (1, 4e7, 1e300, -5))
        group = count(tmp_path, text)
        assert by_hour(group) == {0: (200, 8, 2)}
        assert faults(group) == [(row, "duration", "must not be more than 366 days after the start") for row in (2, 3)]


SILK = "sIP|dIP|bytes|sTime|duration|eTime|\n10.0.0.1|10.0.0.9|100|2025/11/26T10:30:00|{}|{}|\n"
ARGUS = "StartTime,Dur,SrcAddr,DstAddr,SrcBytes,DstBytes\n{}.5,3600.000000,10.0.0.1,10.0.0.9,100,10\n"
PMACCT = {"ip_src": "10.0.0.1", "ip_dst": "10.0.0.9", "bytes": 100, "timestamp_start": str(TEN + 1800)}


class TestOtherFormats:
    @pytest.mark.parametrize(
        ("duration", "end"), [("3600.000", ""), ("", "2025/11/26T11:30:00"), ("1.0", "2025/11/26T11:30:00")]
    )
    def test_silk_has_an_end_which_goes_before_the_duration(self, tmp_path, duration, end):
        assert by_hour(count(tmp_path, SILK.format(duration, end))) == {0: (50, 0, 1), 1: (50, 0, 0)}

    def test_a_silk_flow_of_years_is_rejected_under_the_field_that_says_so(self, tmp_path):
        texts = [SILK.format(cells[0], cells[1]) for cells in (("1.0", "2027/11/26T11:30:00"), ("4e7", ""))]
        assert [reject[1] for text in texts for reject in read(text, spread="hours").faults] == ["eTime", "duration"]

    def test_argus_has_a_duration(self, tmp_path):
        assert by_hour(count(tmp_path, ARGUS.format(TEN + 1799))) == {0: (50, 5, 1), 1: (50, 5, 0)}
        flow = {"stime": TEN + 1800, "dur": 3600.0, "saddr": "10.0.0.1", "daddr": "10.0.0.9", "sbytes": 100, "dbytes": 10}
        for text in (json.dumps({"ArgusData": [flow]}), json.dumps(flow | {"ltime": TEN + 5400, "dur": 1.0})):
            assert by_hour(count(tmp_path, text)) == {0: (50, 5, 1), 1: (50, 5, 0)}

    @pytest.mark.parametrize("end", [str(TEN + 5400), "2025-11-26 11:30:00", f"{TEN + 5400}.000000"])
    def test_pmacct_has_an_end(self, tmp_path, end):
        assert by_hour(count(tmp_path, json.dumps(PMACCT | {"timestamp_end": end}))) == {0: (50, 0, 1), 1: (50, 0, 0)}

    def test_pmacct_s_end_of_nothing_is_none(self, tmp_path):
        assert by_hour(count(tmp_path, json.dumps(PMACCT | {"timestamp_end": "0.000000"}))) == {0: (100, 0, 1)}


class TestStore:
    """What takes totals apart again knows how they were counted."""

    @pytest.fixture
    def store(self, tmp_path, unsynced):
        (tmp_path / "raw").mkdir()
        (tmp_path / "raw" / "a.log").write_text(aws((100, 1800, 9000), (7, 0, 30)))
        (tmp_path / "raw" / "b.log").write_text(aws((50, 3000, 8000)))
        store = FlowStore(tmp_path / "store", create=True)
        store.ingest([str(tmp_path / "raw")], IngestOptions(spread="hours"))
        return store

    def test_it_is_proved_by_counting_again(self, store):
        proof = store.verify(deep=DeepOptions())
        assert proof.problems == []
        assert proof.flows == 3

    def test_forgetting_a_file_leaves_what_the_others_have(self, store, tmp_path):
        other = FlowStore(tmp_path / "other", create=True)
        other.ingest([str(tmp_path / "raw" / "b.log")], IngestOptions(spread="hours"))
        store.forget([str(tmp_path / "raw" / "a.log")])
        assert store.table(NUMBER, NUMBER + 9).equals(other.table(NUMBER, NUMBER + 9))
        assert store.verify(deep=DeepOptions()).problems == []

    def test_a_changed_file_is_replaced(self, store, tmp_path):
        (tmp_path / "raw" / "a.log").write_text(aws((100, 1800, 1900)))
        store.ingest([str(tmp_path / "raw")], IngestOptions(spread="hours", replace_changed=True))
        assert store.verify(deep=DeepOptions()).problems == []
        assert sum(store.table(NUMBER, NUMBER + 9)["bytes_tx"].to_pylist()) == 150

    def test_an_hour_without_a_start_has_bytes_and_no_flows(self, store):
        assert store.table(NUMBER + 2)["flows"].to_pylist() == [0]
