"""What the tests of the jobs share."""

import pytest


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder of raw files, which is the current one."""
    folder = tmp_path / "raw"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "deep/c.csv", "deep/er/d.log.gz"):
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder
