"""What `docs/buckets.md` says of other readers, run as it stands there, against a bucket."""

import re
import subprocess
import sys
from pathlib import Path

from tests.cloud.machine import Machine

PAGE = (Path(__file__).parents[2] / "docs" / "buckets.md").read_text()
READERS = re.findall(r"^```python\n(.*?)^```", PAGE[PAGE.index("## Readers outside") :], re.MULTILINE | re.DOTALL)


def test_other_readers_find_the_totals_in_their_plainest_calls(s3, tmp_path):
    rows = [f"{hour},a,b,v,{hour},1" for hour in range(1, 13)]
    for name, some in (("kept", rows[:10]), ("forgotten", rows[10:])):
        (tmp_path / f"{name}.csv").write_text("\n".join(["hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx", *some]) + "\n")
    store = f"{s3.url}/flowlog"
    with Machine(tmp_path / "machine", s3.environment) as machine:
        assert machine.run("ingest", tmp_path / "kept.csv", tmp_path / "forgotten.csv", "--store", store).code == 0
        # Its hours have no rows from now on; their objects stay.
        assert machine.run("forget", tmp_path / "forgotten.csv", "--store", store).code == 0
    program = "".join(READERS).replace("s3://totals/flowlog", store)
    settings = {**s3.environment, "AWS_REGION": "us-east-1", "AWS_ALLOW_HTTP": "true", "PATH": "/usr/bin"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=settings, check=False)
    assert done.stdout.split() == [str(sum(range(1, 11)))] * 4, done.stderr
    assert {"polars", "pandas", "dask", "duckdb"} <= set(re.findall(r"^import (\w+)", program, re.MULTILINE))
