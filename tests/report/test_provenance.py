"""Where a report says its numbers come from: the sources of its hours alone, each record once, and the proof."""

from pathlib import Path

import pytest

from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.options import IngestOptions
from pipeline.report.figures import figures_of
from pipeline.report.page import render
from pipeline.report.provenance import LeftOut, provenance_of
from pipeline.store.lock import locked
from tests.report.test_page import Page

SAMPLE = Path(__file__).parents[2] / "data"
FIELDS = "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status"
HOUR = 498752


def aws(size, status="OK", action="ACCEPT", hour=HOUR):
    start = hour * 3600
    if status != "OK":
        return f"2 1 eni-1 - - - - - - - {start} {start + 60} - {status}"
    return f"2 1 eni-1 10.0.0.1 10.0.0.2 49152 443 6 1 {size} {start} {start + 60} {action} OK"


@pytest.fixture
def counted(tmp_path, unsynced):
    """Counts some lines of AWS's as one more source, each call one run."""
    store = FlowStore(tmp_path / "store", create=True)

    def count(name, *lines):
        (tmp_path / name).write_text("\n".join([FIELDS, *lines]) + "\n")
        store.ingest([str(tmp_path / name)], IngestOptions(vpc_id="v"))
        return store

    return count


def test_each_record_is_told_once(counted):
    store = counted(
        "a.log", aws(10), aws(20), aws(30, action="REJECT"), aws("x"), aws("y"), aws(0, "SKIPDATA"), aws(0, "NODATA")
    )
    found = provenance_of(store, HourRange(HOUR, HOUR + 1))
    assert (found.sources, found.runs, found.read, found.valid, found.rejected, found.lost) == (1, 1, 7, 2, 2, 1)
    assert found.rejected_by.total() == 2
    assert sorted(found.ignored, key=lambda left_out: left_out.reason) == [
        LeftOut("denied", 1, 30),
        LeftOut("no traffic", 1, 0),
    ]
    assert (found.twice, found.problems, found.gaps) == ([], [], [])


def test_only_the_sources_that_count_in_the_hours_are_told(counted):
    counted("a.log", aws(10), aws("x"))
    counted("b.log", aws(10, hour=HOUR + 5), aws("y", hour=HOUR + 5), aws("z", hour=HOUR + 5))
    store = counted("c.log", aws(7), aws("y"))
    found = provenance_of(store, HourRange(HOUR, HOUR + 2))
    assert (found.sources, found.runs, found.valid, found.rejected, found.rejected_by.total()) == (2, 2, 2, 2, 2)
    assert [(run.number, run.sources, run.rows) for run in found.last_runs] == [("00000003", 1, 1), ("00000001", 1, 1)]
    store.forget([str(store.locations.root.parent / "c.log")])
    assert provenance_of(store, HourRange(HOUR, HOUR + 2)).rejected_by.total() == 1


def test_hours_without_any_source_are_ranges(counted):
    store = counted("a.log", aws(10), aws(10, hour=HOUR + 1), aws(10, hour=HOUR + 4))
    gaps = provenance_of(store, HourRange(HOUR - 2, HOUR + 9)).gaps
    assert gaps == [HourRange(HOUR - 2, HOUR), HourRange(HOUR + 2, HOUR + 4), HourRange(HOUR + 5, HOUR + 9)]
    store.drop(HOUR + 1)
    assert provenance_of(store, HourRange(HOUR, HOUR + 2)).gaps == [HourRange(HOUR, HOUR + 1)]


def test_sources_that_count_in_no_hour_are_told_whatever_the_hours(counted):
    counted("a.log", aws(10))
    store = counted("b.log", aws(0, "SKIPDATA"), aws(0, "SKIPDATA"), aws(0, "NODATA"))
    found = provenance_of(store, HourRange(HOUR, HOUR + 1))
    assert (found.sources, found.lost, found.idle, found.idle_lost) == (1, 0, 1, 2)
    text = Page(render("s", figures_of(store, HourRange(HOUR, HOUR + 1)), found)).text
    assert "1 further sources of the store had nothing to count in any hour, and say 2 times that records were lost" in text


def test_a_damaged_store_is_not_called_sound(counted):
    store = counted("a.log", aws(10), aws(10, hour=HOUR + 1))
    store.locations.partition(HOUR + 1).unlink()
    found = provenance_of(store, HourRange(HOUR, HOUR + 1))
    assert len(found.problems) == 1
    assert (
        "1 problem; flowlog verify names it" in Page(render("s", figures_of(store, HourRange(HOUR, HOUR + 1)), found)).text
    )


def test_while_a_run_holds_the_store_nothing_is_proved(counted):
    store = counted("a.log", aws(10))
    with locked(store.locations):
        found = provenance_of(store, HourRange(HOUR, HOUR + 1))
    assert found.problems is None
    assert "not proved: the store" in Page(render("s", figures_of(store, HourRange(HOUR, HOUR + 1)), found)).text


def test_the_samples_records_add_up_and_each_is_told_for_its_reason(tmp_path, unsynced):
    store = FlowStore(tmp_path / "store", create=True)
    summary = store.ingest([str(SAMPLE / "raw")], IngestOptions(apps=SAMPLE / "apps.csv"))
    span = HourRange(1, 10**6)
    found = provenance_of(store, span)
    assert (found.read, found.valid, found.rejected) == (summary.read, summary.valid, summary.rejected)
    assert found.rejected_by.total() == found.rejected
    left_out = {one.reason: one.records for one in (*found.twice, *found.ignored)}
    assert left_out | {"lost by the source": found.lost} == dict(summary.ignored)
    assert found.sources == summary.ingested
    text = " ".join(Page(render("s", figures_of(store, span), found)).text.split())
    assert f"{found.read:,} read = {found.valid:,} valid" in text
    assert "sound: every total of the store is what was counted" in text
