"""What a report shows is what the store has: each figure by plain Python, and always shown + other = total."""

import tempfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import StoreError, UsageError
from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.query.page import NOTHING, Total
from pipeline.report import figures as figures_module
from pipeline.report import timeline as timeline_module
from pipeline.report.figures import LISTED, MATRIX, PAIRS, STACKED, figures_of
from tests.query.test_query import stored

NAMES = [*"abcdefghijklmnopqrst", "*", "<b>", "é𐀀"]
rows = st.tuples(
    st.sampled_from([1, 2, 3, 498743, 498744, 498752, 498767, 498768]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.sampled_from(["v", "w"]),
    st.integers(0, 2**53),
    st.integers(0, 9),
    st.integers(0, 3),
)
spans = st.sampled_from([(1, 2), (2, 4), (1, 4), (498744, 498768), (498743, 498769), (1, 498753), (400, 500)])
filters = st.fixed_dictionaries(
    {}, optional={"app": st.sampled_from(NAMES).map(lambda name: name.replace("*", r"\*")), "vpc_id": st.just("v")}
)


@settings(max_examples=60)
@given(st.lists(rows, max_size=60, unique_by=lambda row: row[:4]), spans, filters, st.sampled_from([0, 1 << 20]))
def test_each_figure_is_what_plain_python_adds_up(rows, span, selection, kept_bytes):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        patched.setattr(timeline_module, "_KEPT_BYTES", kept_bytes)
        stored(folder, rows)
        figures = figures_of(FlowStore(folder, create=True), HourRange(*span), selection)
    first, until = span
    mine = [row for row in passing(rows, selection) if first <= row[0] < until]
    before = [row for row in passing(rows, selection) if 2 * first - until <= row[0] < first]
    assert figures.span.total == total(mine)
    assert figures.before.total == total(before)
    assert figures.span.hours == len({row[0] for row in rows if first <= row[0] < until})
    holds(figures.sources, summed(mine, 1), LISTED)
    holds(figures.destinations, summed(mine, 2), LISTED)
    holds(figures.pairs, summed(mine, 1, 2), PAIRS)
    known = set(summed(before, 1, 2))
    holds(figures.new, {pair: sums for pair, sums in summed(mine, 1, 2).items() if pair not in known}, LISTED)
    for side, series, place in (
        (figures.sources, figures.timeline.by_source, 1),
        (figures.destinations, figures.timeline.by_destination, 2),
    ):
        assert series.names == [name for (name,) in side.names[:STACKED]]
        for at, period in enumerate(figures.timeline.periods):
            of_period = Counter()
            for row in mine:
                if period.first <= row[0] < period.until:
                    of_period[row[place]] += row[4] + row[5]
            assert [values[at] for values in series.bytes] == [of_period[name] for name in series.names]
            assert series.totals[at] == of_period.total()
        assert sum(series.totals) == figures.span.total.bytes
    matrix, by_pair = figures.matrix, summed(mine, 1, 2)
    assert sum(map(sum, matrix.cells)) == figures.span.total.bytes
    for source, cells in zip(matrix.sources, matrix.cells, strict=False):
        for destination, cell in zip(matrix.destinations, cells, strict=False):
            assert cell == by_pair.get((source, destination), NOTHING).bytes
    assert matrix.sources == [name for (name,) in figures.sources.names[:MATRIX]]


def passing(rows, selection):
    app = selection.get("app", "").replace(r"\*", "*")
    return [row for row in rows if (not app or app in row[1:3]) and row[3] == selection.get("vpc_id", row[3])]


def total(rows):
    return Total(*(sum(row[place] for row in rows) for place in (4, 5, 6)))


def summed(rows, *places):
    sums = {}
    for row in rows:
        name = tuple(row[place] for place in places)
        sums[name] = sums.get(name, NOTHING).plus(Total(*row[4:7]))
    return sums


def holds(ranked, sums, most):
    """The names with the most bytes stand there, each with its sums, and the others with theirs."""
    order = sorted(sums, key=lambda name: (-sums[name].bytes, [text.encode() for text in name]))
    assert ranked.names == order[:most]
    assert ranked.totals == [sums[name] for name in order[:most]]
    assert ranked.others == len(order[most:])
    other = NOTHING
    for name in order[most:]:
        other = other.plus(sums[name])
    assert ranked.other == other


def test_hours_that_end_before_they_start_are_refused(tmp_path):
    stored(tmp_path, [(5, "a", "b", "v", 1, 1, 1)])
    with pytest.raises(UsageError, match="until"):
        figures_of(FlowStore(tmp_path), HourRange(5, 5))


def test_hours_that_a_run_changes_meanwhile_are_read_again(tmp_path, monkeypatch):
    stored(tmp_path, [(5, "a", "b", "v", 1, 1, 1)])
    store = FlowStore(tmp_path)
    timeline_of = figures_module.timeline_of
    changes = [(6, "a", "b", "v", 10, 10, 1), (7, "a", "b", "v", 100, 100, 1)]

    def after_a_change(*arguments):
        if changes:
            stored(tmp_path, [changes.pop()])
        return timeline_of(*arguments)

    monkeypatch.setattr(timeline_module, "_KEPT_BYTES", 0)
    monkeypatch.setattr(figures_module, "timeline_of", after_a_change)
    figures = figures_of(store, HourRange(1, 100))
    assert figures.span.total.bytes == sum(figures.timeline.by_source.totals) == 222


def test_hours_that_change_all_the_time_are_told(tmp_path, monkeypatch):
    stored(tmp_path, [(5, "a", "b", "v", 1, 1, 1)])
    hour = iter(range(6, 99))
    timeline_of = figures_module.timeline_of

    def after_a_change(*arguments):
        stored(tmp_path, [(next(hour), "a", "b", "v", 1, 1, 1)])
        return timeline_of(*arguments)

    monkeypatch.setattr(timeline_module, "_KEPT_BYTES", 0)
    monkeypatch.setattr(figures_module, "timeline_of", after_a_change)
    with pytest.raises(StoreError, match="all the time"):
        figures_of(FlowStore(tmp_path), HourRange(1, 100))


def test_where_the_hours_have_no_totals_the_figures_say_which_have(tmp_path):
    assert figures_of(FlowStore(tmp_path / "empty", create=True), HourRange(1, 2)).known is None
    stored(tmp_path, [(5, "a", "b", "v", 1, 1, 1), (9, "a", "b", "v", 1, 1, 1)])
    assert figures_of(FlowStore(tmp_path), HourRange(1, 2)).known == HourRange(5, 10)
