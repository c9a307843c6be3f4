"""The kernel reads and writes nothing but its own memory: it is run under the compiler's sanitizers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")
#: What is read or written too far is seen in memory that malloc gave. Python does not free all that it has at its end.
ENVIRONMENT = {"PYTHONMALLOC": "malloc", "ARROW_DEFAULT_MEMORY_POOL": "system", "ASAN_OPTIONS": "detect_leaks=0"}


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory):
    """Runs sanitize.py on a copy of the package whose kernel is instrumented."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("there is no gcc")
    asan = subprocess.run(
        [compiler, "-print-file-name=libasan.so"], capture_output=True, check=True, text=True
    ).stdout.strip()
    if not Path(asan).is_absolute():
        pytest.skip("gcc has no address sanitizer")
    folder = tmp_path_factory.mktemp("sanitized")
    package = shutil.copytree(ROOT / "pipeline", folder / "pipeline", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    sources = sorted(map(str, package.glob("kernel/*.c")))
    target = package / "kernel" / "_kernel.so"
    subprocess.run([compiler, "-std=gnu11", "-fPIC", "-shared", *SANITIZE, *sources, "-o", str(target)], check=True)

    def run(*arguments):
        # The package's copy goes before the package that stands beside the tests.
        paths = os.pathsep.join(map(str, (folder, ROOT)))
        return subprocess.run(
            [sys.executable, "-P", str(ROOT / "tests" / "kernel" / "sanitize.py"), *arguments],
            env=os.environ | ENVIRONMENT | {"LD_PRELOAD": asan, "PYTHONPATH": paths},
            capture_output=True,
            check=False,
            text=True,
        )

    return run


def test_nothing_is_read_or_written_that_is_not_the_kernel_s_own(sanitized):
    finished = sanitized()
    assert (finished.returncode, finished.stdout) == (0, "done\n"), finished.stderr


def test_a_step_too_far_would_be_seen(sanitized):
    finished = sanitized("overread")
    assert finished.returncode != 0
    assert "heap-buffer-overflow" in finished.stderr
    assert "survey" in finished.stderr
