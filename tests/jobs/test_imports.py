"""What counting needs is imported by a thread of its own, which is gone before the process is copied."""

import subprocess
import sys

PROGRAM = """
import sys, threading
from pipeline.jobs import imports
imports.begin()
imports.begin()
assert threading.active_count() <= 2
imports.finish()
assert threading.active_count() == 1
print("pandera.pandas" in sys.modules, "pyarrow.parquet" in sys.modules, "pipeline.counting.count" in sys.modules)
"""


def test_what_counting_needs_is_there_and_no_thread_is_once_imports_are_finished():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("True True True\n", "")
