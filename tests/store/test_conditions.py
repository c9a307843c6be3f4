"""A store in a bucket whose server takes no notice of conditions is not begun."""

import pytest

from pipeline.errors import UsageError
from pipeline.jobs.ingest import ingest
from pipeline.store.layout import Locations
from tests.conformance import memory


class Careless(memory.MemoryBucket):
    """A server that keeps the conditions of some requests."""

    def __init__(self, keeps):
        super().__init__()
        self.keeps = keeps

    def put(self, name, content, over):
        kind = "If-Match" if over else "If-None-Match"
        if kind not in self.keeps:
            over = memory.version_of(self.objects[name]) if name in self.objects else ""
        return super().put(name, content, over)


def store_in(bucket, tmp_path):
    return Locations(memory.BucketPath("bucket/store"), memory.MemoryFiles(bucket), machine=tmp_path / "machine")


@pytest.fixture
def raw(tmp_path):
    path = tmp_path / "raw.csv"
    path.write_text("hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n1,a,b,v,1,1\n")
    return str(path)


@pytest.mark.parametrize("keeps", [(), ("If-Match",), ("If-None-Match",)])
def test_a_store_is_not_begun_where_a_condition_is_not_kept(tmp_path, raw, keeps):
    bucket = Careless(keeps)
    with pytest.raises(UsageError, match="takes no notice of the conditions"):
        ingest([raw], store_in(bucket, tmp_path))
    assert bucket.objects == {}


def test_a_store_is_begun_where_they_are_kept_and_nothing_of_the_trial_is_left(tmp_path, raw):
    bucket = Careless(("If-Match", "If-None-Match"))
    ingest([raw], store_in(bucket, tmp_path))
    assert {name.split("/")[2] for name in bucket.objects} == {"flows", "runs"}
