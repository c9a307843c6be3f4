"""The simulated loss of power loses what was not synced, and nothing else."""

import random
import shutil
import subprocess
import sys

import pytest

from tests.soak.power import Disk

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")

#: What a process may do to `root`, with a way to sync a file or a folder.
PROGRAM = """
import os, pathlib, sys
root = pathlib.Path(sys.argv[1])
def sync(path):
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
"""


@pytest.fixture
def after(tmp_path):
    """What is left of the folder when a program has run and power is lost, many times over: the set of all outcomes."""

    def outcomes(program):
        found = set()
        root, work = tmp_path / "root", tmp_path / "work"
        work.mkdir(exist_ok=True)
        for seed in range(16):
            shutil.rmtree(root, ignore_errors=True)
            root.mkdir()
            (root / "old").write_text("old")
            disk = Disk(root, work)
            subprocess.run([sys.executable, "-c", PROGRAM + program, str(root)], env=disk.environment, check=True)
            disk.lose_power(random.Random(seed))
            found.add(
                tuple(sorted((path.name, path.read_text() if path.is_file() else "a folder") for path in root.iterdir()))
            )
        return found

    return outcomes


OLD, NEW = ("old", "old"), ("new", "new")


def test_what_was_synced_with_its_folder_is_there(after):
    assert after("(root / 'new').write_text('new'); sync(root / 'new'); sync(root)") == {(NEW, OLD)}


def test_a_name_that_was_not_synced_may_be_gone(after):
    assert after("(root / 'new').write_text('new'); sync(root / 'new')") == {(NEW, OLD), (OLD,)}


def test_content_that_was_not_synced_may_be_cut_off(after):
    outcomes = after("(root / 'new').write_text('new'); sync(root)")
    assert outcomes >= {(NEW, OLD), (("new", ""), OLD)}
    assert all(content in ("", "n", "ne", "new") for (_, content), _ in outcomes)


def test_a_rename_that_was_not_synced_may_not_have_happened(after):
    outcomes = after(
        "(root / 'new').write_text('new'); sync(root / 'new'); sync(root); (root / 'new').replace(root / 'old')"
    )
    assert {dict(outcome)["old"] for outcome in outcomes} == {"old", "new"}


def test_a_file_that_was_removed_may_be_there_still(after):
    assert after("(root / 'old').unlink()") == {(OLD,), ()}


def test_a_file_that_was_written_over_has_its_old_content_or_its_new(after):
    assert after("open(root / 'old', 'r+').write('new')") == {(OLD,), (("old", "new"),)}


def test_a_folder_that_was_removed_may_be_there_still(after):
    assert after("(root / 'new').mkdir(); sync(root); (root / 'new').rmdir()") == {(("new", "a folder"), OLD), (OLD,)}
