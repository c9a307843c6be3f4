"""What the tests of the jobs share."""

import pytest

from pipeline import bucket as buckets


@pytest.fixture
def raw(tmp_path, monkeypatch):
    """A folder of raw files, which is the current one."""
    folder = tmp_path / "raw"
    (folder / "deep" / "er").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "deep/c.csv", "deep/er/d.log.gz"):
        (folder / name).write_text(name)
    monkeypatch.chdir(folder)
    return folder


class Logs(buckets.Bucket):
    """A bucket whose objects others write."""

    def put(self, key, content):
        """Puts an object there, whatever is there."""
        self._put(key, content, "overwrite")


@pytest.fixture
def logs(monkeypatch):
    """The bucket s3://logs, in this process's memory."""
    stores = pytest.importorskip("obstore.store")
    made = Logs("s3://logs")
    made.__dict__["_store"] = stores.MemoryStore()
    monkeypatch.setattr(buckets, "_bucket", {"s3://logs": made}.__getitem__)
    monkeypatch.setattr(buckets, "_opened", [made])
    return made
