"""`flowlog report`."""

import pytest


@pytest.fixture
def store(ingested):
    return ingested("foo,bar,vpc-0,100,300,498752", "foo,<b>,vpc-0,200,600,498753").locations.root


def test_the_page_goes_to_a_file_or_to_standard_output(flowlog, store, tmp_path):
    done = flowlog("report", "2026-11-24", "--store", store, "--output", tmp_path / "r.html")
    assert (done.code, done.out, done.err) == (0, "", f"wrote {tmp_path / 'r.html'}\n")
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "<h1><bdi>2026-11-24</bdi></h1>" in page
    assert "sound" in page
    assert "1,200 bytes" in page
    assert flowlog("report", "--store", store).out.startswith("<!doctype html>")


def test_the_newest_hour_is_what_is_shown_by_default(flowlog, store):
    assert "<h1><bdi>2026-11-24T09</bdi></h1>" in flowlog("report", "--store", store).out


@pytest.mark.parametrize("arguments", [["x"], ["3", "--until", "2"], ["--output", "/none/r.html"]])
def test_what_cannot_be_done_is_told(flowlog, store, arguments):
    done = flowlog("report", *arguments, "--store", store)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("flowlog: ")
