"""Raw objects in real buckets: found, counted once, and what servers refuse."""

import gzip
import json

import pytest

from pipeline.bucket import bucket_of
from pipeline.flowstore import FlowStore
from pipeline.objectpath import object_path
from tests.cloud.proxy import PASSED, Fault

HEADER = "hour,src_app,dest_app,vpc_id,bytes_tx,bytes_rx\n"
ODD = "in/a b/é #1%20?+&=.csv.gz"


def fill(url, *keys):
    """Puts objects with 1, 10, 100, … bytes sent into a bucket."""
    bucket = bucket_of(object_path(f"{url}/"))
    for place, key in enumerate(keys):
        bucket.create(key, gzip.compress(f"{HEADER}1,a,b,v,{10**place},0\n".encode(), mtime=0))
    return bucket


def bytes_tx(store):
    return sum(FlowStore(store).table(1).column("bytes_tx").to_pylist())


def test_objects_count_once_and_an_idle_run_asks_for_none(cloud, tmp_path, flowlog):
    fill(cloud.url, "in/1", "in/2/x.csv.gz", ODD, "inside/4")
    ingest = ["ingest", f"{cloud.url}/in", "--store", tmp_path / "store", "--json"]
    first = json.loads(flowlog(*ingest).out)
    assert (first["sources"]["ingested"], first["bytes_tx"], first["requests"]["get"]) == (3, 111, 3)
    second = json.loads(flowlog(*ingest).out)
    assert (second["sources"]["skipped"], second["requests"]["get"], second["fetched_bytes"]) == (3, 0, 0)


def test_an_object_looks_the_same_however_it_was_found(cloud, tmp_path, flowlog):
    """By a listing, by its own name, and by a pattern: Azure writes an ETag in two ways."""
    fill(cloud.url, ODD)
    store = tmp_path / "store"
    flowlog("ingest", f"{cloud.url}/in/", "--store", store)
    for url in (f"{cloud.url}/{ODD}", f"{cloud.url}/in/*/*.gz", f"{cloud.url}/**"):
        again = json.loads(flowlog("ingest", url, "--store", store, "--json").out)
        assert (again["sources"]["skipped"], again["requests"]["get"]) == (1, 0)


def test_objects_are_proved_and_taken_back_by_name(cloud, tmp_path, flowlog):
    fill(cloud.url, "a", "b", "c")
    store = tmp_path / "store"
    flowlog("ingest", f"{cloud.url}/", "--store", store)
    assert "1 hour counted again" in flowlog("verify", "--deep", "--store", store).err
    assert flowlog("forget", f"{cloud.url}/b", "--store", store).code == 0
    assert bytes_tx(store) == 101


@pytest.mark.parametrize(("scheme", "fixture"), [("s3", "s3"), ("az", "azure")])
def test_a_bucket_that_is_not_there_is_named(request, scheme, fixture, tmp_path, flowlog):
    request.getfixturevalue(fixture)
    done = flowlog("ingest", f"{scheme}://not-there/x/", "--store", tmp_path / "store")
    assert (done.code, done.err) == (
        2,
        f"flowlog: cannot use {scheme}://not-there: there is no such bucket: make it, or mend the name\n",
    )


class TestRefusals:
    @pytest.fixture
    def bucket(self, proxied):
        return proxied[0].url

    @pytest.fixture
    def proxy(self, proxied):
        return proxied[1]

    def test_who_may_not_list_is_told_which_prefix(self, bucket, proxy, tmp_path, flowlog):
        fill(bucket, "in/1")
        proxy.reset(lambda request: Fault(status=403))
        done = flowlog("ingest", f"{bucket}/in/", "--store", tmp_path / "store")
        assert done.code == 3
        assert f"failed {bucket}/in/: cannot be looked for: the credentials do not allow this request" in done.err

    def test_who_may_not_read_an_object_is_told_which_and_the_others_count(self, bucket, proxy, tmp_path, flowlog):
        fill(bucket, "in/1", "in/2")
        proxy.reset(lambda request: Fault(status=403) if request.target.endswith("/in/1") else PASSED)
        done = flowlog("ingest", f"{bucket}/in/", "--store", tmp_path / "store")
        assert (done.code, bytes_tx(tmp_path / "store")) == (3, 10)
        assert f"failed {bucket}/in/1: cannot be read: the credentials do not allow this request" in done.err

    def test_an_answer_that_is_cut_short_is_asked_for_again(self, bucket, proxy, tmp_path, flowlog):
        fill(bucket, "in/1")
        cut = []

        def once(request):
            if request.target.endswith("/in/1") and not cut:
                cut.append(request)
                return Fault(keeps=20)
            return PASSED

        proxy.reset(once)
        assert flowlog("ingest", f"{bucket}/in/", "--store", tmp_path / "store").code == 0
        assert (len(cut), bytes_tx(tmp_path / "store")) == (1, 1)

    def test_a_server_that_is_overloaded_for_a_moment_is_asked_again(self, bucket, proxy, tmp_path, flowlog):
        fill(bucket, "in/1", "in/2", "in/3")
        proxy.reset(lambda request: Fault(status=503) if request.number % 3 == 1 else PASSED)
        assert flowlog("ingest", f"{bucket}/in/", "--store", tmp_path / "store").code == 0
        assert bytes_tx(tmp_path / "store") == 111
