"""What changed between two spans: all that was changed is found, nothing else, and the figures reconcile."""

import tempfile
from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import SumOverflow, UsageError
from pipeline.hours import HourRange
from pipeline.query.diff import diff
from tests.query.test_query import stored


def hour(number):
    return HourRange(number, number + 1)


def found(difference):
    """The changes, as tuples: kind, source app, destination app, VPC, bytes before, after, and the change."""
    return [tuple(row.values()) for row in difference.changes.to_pylist()]


def reconciles(difference, before, after):
    """Whether the changes and the others make the total, and this is what the spans have."""
    shown = [sum(difference.changes.column(name).to_pylist()) for name in ("before", "after", "change")]
    other, total = difference.other_than(difference.changes), difference.total
    sums = (shown[0] + other.before, shown[1] + other.after, shown[2] + other.change)
    return sums == (total.before, total.after, total.change) and (total.before, total.after) == (before, after)


class TestKinds:
    ROWS = (
        (1, "web", "db", "v", 90, 10, 1), (2, "web", "db", "v", 95, 10, 1),  # as ever
        (1, "web", "old", "v", 500, 0, 1),
        (2, "web", "odd", "v", 7, 1, 1),
        (1, "a", "b", "v", 100, 0, 1), (2, "a", "b", "v", 150, 50, 1),  # twice as much
        (1, "c", "b", "v", 100, 0, 1), (2, "c", "b", "v", 0, 50, 1),  # half as much
        (1, "d", "b", "v", 100, 0, 1), (2, "d", "b", "v", 199, 0, 1),
        (1, "z", "z", "v", 0, 0, 1), (2, "z", "z", "v", 0, 3, 1),
        (1, "e", "b", "v", 1, 0, 1), (2, "e", "b", "w", 1, 0, 1),  # in another VPC now
    )  # fmt: skip

    def test_new_vanished_and_stepped_pairs_the_largest_change_first(self, tmp_path):
        difference = diff(stored(tmp_path, self.ROWS), hour(1), hour(2))
        assert found(difference) == [
            ("vanished", "web", "old", "v", 500, 0, -500),
            ("stepped", "a", "b", "v", 100, 200, 100),
            ("stepped", "c", "b", "v", 100, 50, -50),
            ("new", "web", "odd", "v", 0, 8, 8),
            ("stepped", "z", "z", "v", 0, 3, 3),
            ("vanished", "e", "b", "v", 1, 0, -1),
            ("new", "e", "b", "w", 0, 1, 1),
        ]
        assert (difference.pairs, [difference.count(kind) for kind in ("new", "vanished", "stepped")]) == (9, [2, 2, 3])
        assert reconciles(difference, 901, 566)
        assert not difference.per_hour

    @pytest.mark.parametrize(
        ("options", "apps"),
        [
            ({"min_bytes": 50}, ["old", "b", "b"]),
            ({"min_bytes": 501}, []),
            ({"min_bytes": 2**70}, []),
            ({"factor": 1.99, "min_bytes": 50}, ["old", "b", "b", "b"]),
            ({"factor": 3, "min_bytes": 8}, ["old", "odd"]),
        ],
    )
    def test_small_changes_and_small_steps_can_be_left_out(self, tmp_path, options, apps):
        difference = diff(stored(tmp_path, self.ROWS), hour(1), hour(2), **options)
        assert [row[2] for row in found(difference)] == apps
        assert reconciles(difference, 901, 566)

    def test_figures_may_be_large_but_not_beyond_64_bits(self, tmp_path):
        store = stored(
            tmp_path / "a", [(1, app, "b", "v", 2**62, 2**62 - 1, 1) for app in "ab"] + [(2, "c", "b", "v", 1, 1, 1)]
        )
        difference = diff(store, hour(1), hour(2))
        assert reconciles(difference, 2 * (2**63 - 1), 2)
        store = stored(tmp_path / "b", [(1, "a", "b", "v", 2**62, 2**62, 1), (2, "c", "b", "v", 1, 1, 1)])
        with pytest.raises(SumOverflow, match="the sum of bytes for src_app 'a', dest_app 'b', vpc_id 'v' does not fit"):
            diff(store, hour(1), hour(2))


class TestSpans:
    def test_spans_with_totals_for_different_numbers_of_hours_are_compared_by_the_hour(self, tmp_path):
        rows = [(number, "a", "b", "v", 100, 0, 1) for number in range(1, 4)]
        rows += [(number, "x", "b", "v", 1, 0, 1) for number in range(2, 4)]
        store = stored(tmp_path, [*rows, (10, "a", "b", "v", 100, 0, 1), (10, "x", "b", "v", 40, 0, 1)])
        difference = diff(store, HourRange(1, 10), HourRange(10, 34))
        assert (difference.before.hours, difference.after.hours, difference.per_hour) == (3, 1, True)
        assert found(difference) == [("stepped", "x", "b", "v", 1, 40, 39)]  # 2 bytes in 3 hours are about one an hour
        assert reconciles(difference, 101, 140)

    def test_hours_of_both_spans_belong_to_the_second(self, tmp_path):
        store = stored(tmp_path, [(number, "a", "b", "v", number, 0, 1) for number in range(1, 8)])
        difference = diff(store, HourRange(1, 8), HourRange(6, 8), factor=1)
        assert difference.before.ranges == (HourRange(1, 6),)
        assert difference.total == (3, 7)  # (1 + … + 5) / 5, and (6 + 7) / 2, rounded up
        difference = diff(store, HourRange(1, 8), HourRange(3, 4))
        assert difference.before.ranges == (HourRange(1, 3), HourRange(4, 8))
        assert str(difference.before) == "1970-01-01T01 to 1970-01-01T02 and 1970-01-01T04 to 1970-01-01T07"

    @pytest.mark.parametrize(
        ("before", "after", "complaint"),
        [
            (hour(1), hour(3), "there are no totals of 1970-01-01T03 to compare"),
            (HourRange(3, 9), hour(1), "there are no totals of 1970-01-01T03 to 1970-01-01T08 to compare"),
            (hour(1), hour(1), "nothing is left to compare with: the hours 1970-01-01T01 are all among 1970-01-01T01"),
            (hour(1), HourRange(1, 4), "nothing is left to compare with"),
        ],
    )
    def test_nothing_is_not_compared(self, tmp_path, before, after, complaint):
        with pytest.raises(UsageError, match=complaint):
            diff(stored(tmp_path, [(1, "a", "b", "v", 1, 1, 1)]), before, after)

    @pytest.mark.parametrize(
        "options", [{"factor": 0.5}, {"factor": float("nan")}, {"factor": float("inf")}, {"min_bytes": -1}]
    )
    def test_limits_that_mean_nothing_are_refused(self, tmp_path, options):
        with pytest.raises(UsageError):
            diff(stored(tmp_path, [(1, "a", "b", "v", 1, 1, 1)]), hour(1), hour(2), **options)


pairs = st.tuples(st.sampled_from("abc"), st.sampled_from("xyz"), st.sampled_from("vw"))
rows = st.tuples(st.integers(1, 6), pairs, st.integers(0, 9) | st.integers(0, 10**6), st.integers(0, 9))


@settings(max_examples=60)
@given(
    st.lists(rows, min_size=1, max_size=25, unique_by=lambda row: row[:2]),
    st.tuples(st.integers(1, 5), st.integers(1, 3)),
    st.tuples(st.integers(1, 5), st.integers(1, 3)),
    st.sampled_from([0, 1, 5, 100]),
    st.sampled_from([1.0, 1.5, 2.0, 10.0]),
)
def test_all_changes_are_found_and_nothing_else(rows, before, after, min_bytes, factor):
    first, second = (HourRange(start, start + length) for start, length in (before, after))
    with tempfile.TemporaryDirectory() as folder:
        store = stored(folder, [(at, *pair, tx, rx, 1) for at, pair, tx, rx in rows])
        try:
            difference = diff(store, first, second, min_bytes, factor)
        except UsageError:
            hours = {at for at, *_ in rows}
            assert not hours & set(range(*second)) or not hours & (set(range(*first)) - set(range(*second)))
            return
        expected, totals = judged(rows, first, second, min_bytes, factor)
        assert found(difference) == expected
        assert reconciles(difference, *totals)


def judged(rows, first, second, min_bytes, factor):
    """The changes, and the totals of both spans, by plain Python and exact fractions."""
    spans = [set(range(*first)) - set(range(*second)), set(range(*second))]
    sums = [Counter(), Counter()]
    seen = [{pair for at, pair, _, _ in rows if at in span} for span in spans]
    for at, pair, tx, rx in rows:
        for side, span in zip(sums, spans, strict=True):
            if at in span:
                side[pair] += tx + rx
    counted = [len({at for at, *_ in rows if at in span}) for span in spans]
    by = [1, 1] if counted[0] == counted[1] else counted

    def rounded(bytes_, hours):
        return int(Fraction(bytes_, hours) + Fraction(1, 2))

    changes = []
    for pair in seen[0] | seen[1]:
        before, after = (rounded(side[pair], hours) for side, hours in zip(sums, by, strict=True))
        kind = "new" if pair not in seen[0] else "vanished" if pair not in seen[1] else "stepped"
        low, high = sorted((before, after))
        if abs(after - before) >= min_bytes and (kind != "stepped" or (low < high and high >= factor * low)):
            changes.append((kind, *pair, before, after, after - before))
    changes.sort(key=lambda change: (-abs(change[-1]), *change[1:4]))
    return changes, [rounded(side.total(), hours) for side, hours in zip(sums, by, strict=True)]
