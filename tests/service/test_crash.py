"""Killed again and again under load, the service has what it acknowledged, once."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def drive(folder, *options):
    command = [sys.executable, "-m", "tests.service.crash_driver", str(folder), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_dozens_of_kills_under_load_lose_nothing_and_count_nothing_twice(tmp_path):
    result = drive(tmp_path, "--kills", "30")
    assert result["wrong"] == []
    assert result["kills"] == 30
    assert result["acknowledged"] > 100
    assert result["asked"] > 30
    assert result["runs"] > 10  # it was flushed in between


def test_nor_do_they_while_the_batch_job_writes_the_same_hours(tmp_path):
    result = drive(tmp_path, "--kills", "10", "--ingest")
    assert result["wrong"] == []
    assert result["files"] > 2
