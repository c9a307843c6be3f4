"""Killed at any step and run again, a run leaves what a run leaves that was never killed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.jobs.ingest import ingest
from pipeline.store.layout import Locations

ROOT = Path(__file__).parent.parent
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"


#: The same step, or each pair of steps, at which a run and its recovery are killed: thousands, for `make soak`.
TWICE, EVERY = (
    pytest.param("ingest", times, marks=pytest.mark.skipif("FLOWLOG_SOAK" not in os.environ, reason="make soak"))
    for times in ("twice", "every")
)


@pytest.mark.parametrize(
    ("action", "times"),
    [("ingest", "once"), ("replace", "once"), ("drop", "once"), ("forget", "once"), TWICE, EVERY],
)
def test_a_run_that_is_killed_at_any_step_and_repeated_leaves_the_same_store(tmp_path, action, times):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "a.csv").write_text(HEADER + "1,a,b,v,1,1\n2,a,b,v,2,2\n0,bad,b,v,1,1\n")
    if action == "forget":  # an hour of the forgotten stays, made anew
        (raw / "b.csv").write_text(HEADER + "1,a,b,v,10,10\n")
    ingest([str(raw)], Locations(tmp_path / "base"))
    if action == "replace":  # one of its hours goes, one changes, one is new
        (raw / "a.csv").write_text(HEADER + "1,a,b,v,1,5\n5,a,b,v,2,2\n0,worse,b,v,1,1\n")
    # New sources that add to hours that are there, make new ones, and bring rejects of their own.
    if action != "forget":
        (raw / "b.csv").write_text(HEADER + "1,a,b,v,10,10\n3,a,b,v,3,3\n1,bad,b,v,x,1\n")
    (raw / "c.csv").write_text(HEADER + "1,c,d,v,5,5\n4,c,d,v,6,6\n")
    command = [sys.executable, "-m", "tests.crash_driver", str(tmp_path), action, times]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["wrong"] == []
    assert result["steps"] > (10 if action in ("drop", "forget") else 25)
    assert result["tried"] >= result["steps"]
