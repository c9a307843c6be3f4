"""`flowlog report`."""

import signal
import subprocess
import sys

import pytest

#: The command line, with a proof that takes for ever, in threads of its own as for a large store.
ENDLESS = """
from concurrent.futures import ThreadPoolExecutor
import sys, threading, pipeline.report.provenance
def proof(store):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(print, "proving", file=sys.stderr, flush=True).result()
        pool.submit(threading.Event().wait).result()
pipeline.report.provenance._proof = proof
from pipeline.__main__ import main
main()
"""


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


def test_hours_without_totals_are_told(flowlog, store, tmp_path):
    done = flowlog("report", "3", "--store", store, "--output", tmp_path / "r.html")
    assert (done.code, done.err.splitlines()[0]) == (0, f"wrote {tmp_path / 'r.html'}")
    assert "no rows: the store has none for 1970-01-01T03, but for 2 hours" in done.err


def test_the_newest_hour_is_what_is_shown_by_default(flowlog, store):
    assert "<h1><bdi>2026-11-24T09</bdi></h1>" in flowlog("report", "--store", store).out


@pytest.mark.parametrize("arguments", [["x"], ["3", "--until", "2"], ["--output", "/none/r.html"]])
def test_what_cannot_be_done_is_told(flowlog, store, arguments):
    done = flowlog("report", *arguments, "--store", store)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("flowlog: ")


def test_ctrl_c_does_not_wait_for_the_proof(store):
    command = [sys.executable, "-c", ENDLESS, "report", "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr.readline() == "proving\n"
        run.send_signal(signal.SIGINT)
        try:
            out, told = run.communicate(timeout=60)
        finally:
            run.kill()
    assert (run.returncode, out, told) == (130, "", "flowlog: interrupted; a run is there whole, or not at all\n")
