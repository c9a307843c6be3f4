"""Several processes on one store: the lock holds, and whoever reads sees whole hours."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import StoreLocked
from pipeline.jobs.ingest import ingest
from pipeline.jobs.verify import verify
from pipeline.query.query import Query, run_query
from pipeline.store.layout import Locations
from pipeline.store.lock import locked

ROOT = Path(__file__).parents[1]
HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"

WRITER = """
import sys
from pathlib import Path
from pipeline.jobs.ingest import IngestOptions, ingest
from pipeline.store.layout import Locations
store, *raw = sys.argv[1:]
for file in raw:
    ingest([file], Locations(Path(store)), IngestOptions(wait_seconds=120))
"""

READER = """
import sys
from pathlib import Path
from pipeline.query.query import Query, run_query
from pipeline.store.layout import Locations
store = Locations(Path(sys.argv[1]))
seen, last = 0, {}
print("reading", flush=True)
while not Path(sys.argv[2]).exists():
    for hour in store.hours():
        rows = run_query(store, Query(hour)).to_pylist()
        counts = {row["flows"] for row in rows}
        # Each run adds one record to each of the three keys: what differs was torn.
        assert len(rows) == 3 and len(counts) == 1, rows
        (count,) = counts
        assert count >= last.get(hour, 0), "an hour went back in time"
        last[hour] = count
        seen += 1
print(seen)
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_runs_from_several_processes_all_count_and_no_query_sees_a_torn_hour(tmp_path):
    files = []
    for number in range(20):
        lines = [f"{hour},{app},b,v,{number},1" for hour in (1, 2) for app in "xyz"]
        files.append(tmp_path / f"{number}.csv")
        files[-1].write_text(HEADER + "\n".join(lines) + "\n")
    store, done = tmp_path / "store", tmp_path / "done"
    reader = run(READER, store, done)
    assert reader.stdout.readline() == "reading\n"
    writers = [run(WRITER, store, *files[start::4]) for start in range(4)]
    errors = [writer.communicate()[1] for writer in writers]
    done.touch()
    seen, error = reader.communicate()
    assert [writer.returncode for writer in writers] == [0] * 4, errors
    assert reader.returncode == 0, error
    assert int(seen) > 20
    totals = run_query(Locations(store), Query(1)).to_pylist()
    assert [(row["bytes_tx"], row["flows"]) for row in totals] == [(sum(range(20)), 20)] * 3
    assert len(Locations(store).run_ids()) == 20
    assert verify(Locations(store)).problems == []


def test_of_two_runs_at_once_one_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + "1,a,b,v,1,1\n")
    store = Locations(tmp_path / "store")
    with locked(store), pytest.raises(StoreLocked):
        ingest([str(tmp_path / "a.csv")], store)
    assert ingest([str(tmp_path / "a.csv")], store).ingested == 1
