"""Where the parts of a picture lie: as high as their bytes, none over another."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.query.page import NOTHING, Total
from pipeline.report.charts import STACK_HEIGHT, heat, sankey, stack
from pipeline.report.figures import Matrix, Ranked
from pipeline.report.timeline import Series

counts = st.integers(0, 2**64)


def edges_of(path):
    """The heights of an area's upper edge, and those of its lower edge from the right to the left."""
    steps = [float(y) for y in re.findall(r"(?:M0 |V)(-?[\d.]+)H", path)]
    return steps[: len(steps) // 2], steps[len(steps) // 2 :]


@settings(max_examples=50)
@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(counts, min_size=n, max_size=n), min_size=1, max_size=4)))
def test_each_area_stands_on_the_one_before(values):
    *apps, other = values
    chart = stack(Series([str(place) for place in range(len(apps))], apps, other))
    assert chart.totals == [sum(of_period) for of_period in zip(*values, strict=True)]
    most = chart.ticks[-1].value
    assert max(chart.totals) <= most
    assert chart.ticks[-1].at == 0
    floor = [0] * len(other)
    for area, row in zip(chart.areas, values, strict=True):
        ceiling = [low + value for low, value in zip(floor, row, strict=True)]
        if any(row):
            upper, lower = edges_of(area)
            assert upper == pytest.approx([STACK_HEIGHT * (1 - high / most) for high in ceiling], abs=0.06)
            assert lower[::-1] == pytest.approx([STACK_HEIGHT * (1 - low / most) for low in floor], abs=0.06)
        else:
            assert area == ""
        floor = ceiling


@pytest.mark.parametrize(
    ("most", "top"), [(0, 4), (1, 4), (5, 8), (11, 12), (99, 100), (101, 120), (10**12 + 1, 12 * 10**11)]
)
def test_the_axis_ends_at_a_round_number(most, top):
    assert stack(Series([], [], [most])).ticks[-1].value == top


def test_a_cell_is_as_dark_as_the_root_of_its_bytes():
    cells = {(cell.row, cell.column): cell.shade for cell in heat(Matrix(["a"], ["b"], [[100, 0], [25, 1]]))}
    assert cells == {(0, 0): 1.0, (1, 0): 0.5, (1, 1): 0.1}
    assert heat(Matrix([], [], [[0]])) == []


@settings(max_examples=50)
@given(
    st.dictionaries(st.tuples(st.sampled_from("abcde"), st.sampled_from("abcde")), counts, max_size=10),
    st.integers(0, 2**64),
)
def test_what_leaves_the_left_is_what_arrives_at_the_right(pairs, other):
    order = sorted(pairs, key=lambda pair: -pairs[pair])
    totals = [Total(pairs[pair], 0, 1) for pair in order]
    flow = sankey(Ranked(order, totals, Total(other, 0, 1) if other else NOTHING, 1 if other else 0))
    whole = sum(pairs.values()) + other
    assert sum(ribbon.bytes for ribbon in flow.ribbons) == whole
    for nodes, place in ((flow.left, 0), (flow.right, 1)):
        assert sum(node.bytes for node in nodes) == whole
        for node in nodes:
            assert node.bytes == (
                other if node.name is None else sum(n for pair, n in pairs.items() if pair[place] == node.name)
            )
        assert all(one.y + one.height < below.y for one, below in pairwise(nodes))
    assert all(node.y >= 0 and node.y + node.height <= flow.height + 1 for node in (*flow.left, *flow.right))
