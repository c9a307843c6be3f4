"""Counting again: each source is read alone, and adds what it added."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.counting.count import Limits, count_group
from pipeline.counting.resources import Resources
from pipeline.counting.sources import Source
from pipeline.counting.workers import threads
from pipeline.jobs.count import record_of
from pipeline.jobs.recount import find_again, recount
from pipeline.jobs.verify import DeepOptions
from pipeline.options import ReadOptions
from pipeline.store.ledger import ActiveSource

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
HOURS = (1, 2, 3)
RESOURCES = Resources(workers=1)

rows = st.lists(st.tuples(st.sampled_from(HOURS), st.sampled_from("xy"), st.integers(1, 9)), max_size=4)
hours_of = st.frozensets(st.sampled_from(HOURS))


def active_of(path: Path, rows, hours=frozenset(HOURS), wrong=False):
    """A source as the ledger has it, counted with this very interpretation."""
    path.write_text(HEADER + "".join(f"{hour},{app},b,v,{size},1\n" for hour, app, size in rows))
    source = Source.at(path)
    (counted,) = count_group([source], ReadOptions(), Limits(1 << 20), str(path.parent)).results
    record = replace(record_of(source, counted), bytes_tx=counted.bytes_tx + wrong)
    return ActiveSource(record, ReadOptions().to_json(), hours & frozenset(record.hours))


def recounted(active, hours, scratch):
    with threads(RESOURCES) as workers:
        totals, problems = recount(active, find_again(active), hours, scratch, workers)
    sums = Counter()
    for hour, read in totals.by_hour():
        sums.update({(hour, row["src_app"]): row["bytes_tx"] for row in read().to_pylist()})
    return sums, problems


@given(st.lists(st.tuples(rows, hours_of, st.booleans()), max_size=4), hours_of)
@settings(max_examples=settings.default.max_examples // 2)
def test_each_adds_what_it_has_in_its_hours_if_it_counts_as_before(tmp_path_factory, sources, hours):
    folder = tmp_path_factory.mktemp("raw")
    active, expected, wrong = [], Counter(), []
    for number, (its_rows, its_hours, is_wrong) in enumerate(sources):
        active.append(active_of(folder / f"{number}.csv", its_rows, its_hours, is_wrong))
        if is_wrong:
            wrong.append(str(folder / f"{number}.csv"))
            continue
        for hour, app, size in its_rows:
            if hour in its_hours & hours:
                expected[hour, app] += size
    sums, problems = recounted(active, hours, folder)
    assert sums == expected
    assert [problem.partition(": ")[0] for problem in problems] == wrong


def test_what_was_counted_from_two_paths_adds_twice(tmp_path):
    active = [active_of(tmp_path / name, [(1, "x", 5)]) for name in ("a.csv", "b.csv")]
    assert recounted(active, frozenset(HOURS), tmp_path) == ({(1, "x"): 10}, [])


def test_a_raw_file_that_has_become_unreadable_is_said_and_the_others_add(tmp_path):
    active = [active_of(tmp_path / name, [(1, name[0], 5)]) for name in ("x.csv", "y.csv")]
    found = find_again(active)
    (tmp_path / "x.csv").unlink()
    with threads(RESOURCES) as workers:
        totals, problems = recount(active, found, frozenset(HOURS), tmp_path, workers)
    assert problems == [f"{tmp_path / 'x.csv'}: cannot be read: No such file or directory"]
    assert [row["src_app"] for _, read in totals.by_hour() for row in read().to_pylist()] == ["y"]


@pytest.mark.parametrize("hours", [{1}, {2}, {1, 2}])
def test_other_hours_are_left_out(tmp_path, hours):
    active = [active_of(tmp_path / f"{i}.csv", [(1, "x", 1), (2, "x", 1)]) for i in range(2)]
    assert recounted(active, frozenset(hours), tmp_path)[0] == {(hour, "x"): 2 for hour in hours}


class Told:
    """What a progress bar is told."""

    def __init__(self):
        self.total = self.done = self.rows = 0

    def start(self, total_bytes):
        self.total = total_bytes

    def advance(self, raw_bytes, rows):
        self.done += raw_bytes
        self.rows += rows


@pytest.mark.parametrize("job", ["verify", "forget"])
def test_jobs_that_count_again_say_how_far_they_are(ingested, tmp_path, job):
    ingested("a,b,v,1,1,1", "a,b,v,1,1,2")
    store = ingested("c,d,v,1,1,1")
    first, second = sorted((tmp_path / "raw").iterdir())
    told = Told()
    if job == "verify":
        store.verify(deep=DeepOptions(progress=told))
    else:
        store.forget([str(second)], progress=told)
    read = [first, second] if job == "verify" else [first]
    assert told.total == told.done == sum(path.stat().st_size for path in read)
    assert told.rows == (3 if job == "verify" else 2)
