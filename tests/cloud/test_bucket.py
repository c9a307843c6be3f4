"""Requests to real buckets: what is put is read back, conditions hold, faults have names."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from pipeline import clouds
from pipeline.bucket import Bucket, bucket_of
from pipeline.errors import (
    BucketDenied,
    BucketUnreachable,
    BucketUnusable,
    ObjectChanged,
    UsageError,
)
from pipeline.objectpath import ObjectPath, is_url, object_path
from tests.cloud.conftest import of_seaweed
from tests.cloud.proxy import CUT, PASSED, SWALLOWED, Fault

ODD_KEYS = ["a b", "ü", "日本", "100%", "%2F", "a%20b", "hour=1", "#?&+", "'\"<>", "-", "~", "a:b", "x" * 200, "a@b,c;d"]


def read(bucket, key):
    """A small object, whole, and what the bucket says of it."""
    return bucket.read_start(key, 8 << 20)


class TestPaths:
    @pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/a", "gs://bucket/a/b c", "az://box/ü/100%"])
    def test_a_path_prints_as_its_url(self, url):
        assert str(object_path(url)) == f"{object_path(url)}" == url
        assert str(pickle.loads(pickle.dumps(object_path(url)))) == url

    def test_a_path_has_a_bucket_and_a_key_and_takes_names_as_paths_do(self):
        path = object_path("s3://bucket/a") / "b" / "c"
        assert (path.bucket, path.key, path.name, str(path.parent)) == ("s3://bucket", "a/b/c", "c", "s3://bucket/a/b")
        assert str(path.relative_to(object_path("s3://bucket/a"))) == "b/c"
        assert isinstance(path.parent, ObjectPath)
        assert object_path("s3://bucket/").key == ""

    @pytest.mark.parametrize("text", ["a", "/a/b", "a:b", "s3:/a", "./s3://b"])
    def test_a_path_of_this_machine_is_no_url(self, text):
        assert not is_url(text)

    @pytest.mark.parametrize(
        ("url", "told"),
        [
            ("https://bucket.s3.amazonaws.com/a", "write s3://BUCKET"),
            ("s3a://bucket/a", "write s3://BUCKET"),
            ("s3://", "has no name of a bucket"),
            ("s3:///a", "has no name of a bucket"),
            ("s3://a b/c", "has no name of a bucket behind s3://, as 'a b' is none"),
            ("s3://bucket/a//b", "a part of the key is empty"),
            ("s3://bucket/../b", "two dots"),
            ("s3://bucket/a\nb", "control character"),
            ("s3://bucket/\udcff", "not UTF-8"),
        ],
    )
    def test_a_url_that_names_no_object_is_refused(self, url, told):
        assert is_url(url)
        with pytest.raises(UsageError, match=told):
            object_path(url)


class TestObjects:
    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_any_key_goes_through(self, cloud, key):
        bucket = bucket_of(cloud.root)
        bucket.create(f"{key}/{key}", b"odd")
        assert read(bucket, f"{key}/{key}")[0] == b"odd"
        assert [found.key for page in bucket.list(key) for found in page] == [f"{key}/{key}"]
        assert bucket.names() == ([key], [])
        bucket.delete([f"{key}/{key}"])
        assert [*bucket.list()] == [[]]

    @pytest.mark.parametrize("content", [b"", b"\0\r\n\xff", b"x" * 6_000_000])
    def test_any_content_is_kept(self, cloud, content):
        bucket = bucket_of(cloud.root)
        version = bucket.create("a", content)
        found_content, found = read(bucket, "a")
        assert found_content == content
        assert (found.key, found.size, found.version) == ("a", len(content), version)
        assert bucket.head("a") == found
        assert [*bucket.list()] == [[found]]

    def test_what_is_there_is_not_made_again_and_of_many_one_makes_it(self, cloud):
        bucket = bucket_of(cloud.root)

        def create(number):
            try:
                bucket.create("a", b"%d" % number)
            except FileExistsError:
                return None
            return number

        with ThreadPoolExecutor(8) as pool:
            (winner,) = {*pool.map(create, range(8))} - {None}
        assert read(bucket, "a")[0] == b"%d" % winner

    def test_an_object_is_replaced_where_the_version_is_the_one_that_is_meant(self, cloud):
        bucket = bucket_of(cloud.root)
        first = bucket.create("a", b"first")
        second = bucket.replace("a", b"second", first)
        for key, version in (("a", first), ("none", first)):
            with pytest.raises(ObjectChanged):
                bucket.replace(key, b"third", version)
        assert read(bucket, "a")[0] == b"second"
        assert bucket.head("a").version == second != first

    def test_ranges_are_of_one_content(self, cloud):
        bucket = bucket_of(cloud.root)
        bucket.create("a", b"0123456789")
        etag = bucket.head("a").etag
        assert bucket.read_range("a", 2, 5, etag) == b"234"
        assert bucket.read_range("a", 8, 50, etag) == b"89"
        bucket.replace("a", b"abcdefghij", bucket.head("a").version)
        with pytest.raises(ObjectChanged, match=f"{cloud.url}/a: another object has taken its place"):
            bucket.read_range("a", 2, 5, etag)

    def test_a_listing_has_all_pages(self, s3):
        bucket = bucket_of(s3.root)
        keys = [f"a/{number:04}" for number in range(1_003)]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(bucket.create, keys, [b""] * len(keys)))
        before = bucket.traffic().requests.get("list", 0)
        pages = [[found.key for found in page] for page in bucket.list("a")]
        assert [key for page in pages for key in page] == keys
        assert len(pages) == bucket.traffic().requests["list"] - before == 2
        assert [found.key for page in bucket.list("a", after="a/1000") for found in page] == keys[1001:]
        bucket.delete([f"a/{number:04}" for number in range(1_010)])
        assert [*bucket.list("a")] == [[]]

    def test_what_is_not_there_is_told_and_to_delete_it_does_no_harm(self, cloud):
        bucket = bucket_of(cloud.root)
        for ask in (partial(read, bucket), bucket.head):
            with pytest.raises(FileNotFoundError, match=cloud.url):
                ask("none")
        with pytest.raises(ObjectChanged):
            bucket.read_range("none", 0, 1, '"0"')
        bucket.create("there", b"")
        bucket.delete(["none", "there", "none2"])
        assert bucket.names() == ([], [])

    def test_requests_and_bytes_are_counted(self, s3):
        bucket = bucket_of(s3.root)
        bucket.create("a", b"12345")
        read(bucket, "a")
        bucket.read_range("a", 1, 3, bucket.head("a").etag)
        bucket.names()
        bucket.delete(["a"])
        requests, bytes_read = bucket.traffic()
        assert requests == {"put": 1, "get": 2, "head": 1, "list": 1, "delete": 1}
        assert bytes_read == 7


class TestFaults:
    @pytest.fixture
    def impatient(self, monkeypatch):
        """Tries twice, and waits for a second: what is tried here are the words at the end."""
        monkeypatch.setattr(clouds, "_TRIES", {"max_retries": 1})
        monkeypatch.setattr(clouds, "_TIMEOUT", "1s")

    def test_a_bucket_that_is_not_there(self, s3):
        for ask in (
            lambda bucket: read(bucket, "a"),
            lambda bucket: bucket.create("a", b""),
            lambda bucket: [*bucket.list()],
        ):
            with pytest.raises(BucketUnusable, match=r"^cannot use s3://no-such: there is no such bucket"):
                ask(Bucket("s3://no-such"))

    def test_a_container_that_is_not_there(self, azure):
        with pytest.raises(BucketUnusable, match=r"^cannot use az://no-such: there is no such bucket"):
            read(Bucket("az://no-such"), "a")

    def test_who_may_not(self, s3, seaweed, settings):
        settings(of_seaweed(s3.port, "stranger"))
        bucket = bucket_of(s3.root)
        asks = (
            partial(read, bucket),
            bucket.head,
            bucket.names,
            lambda key: bucket.create(key, b""),
            lambda key: bucket.delete([key]),
        )
        for ask in asks:
            with pytest.raises(BucketDenied, match=f"{s3.url}/a: the credentials do not allow this request"):
                ask("a")

    @pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    def test_credentials_that_are_none(self, s3, settings, name):
        settings({name: "another"})
        with pytest.raises(BucketDenied, match="the credentials are not valid"):
            read(bucket_of(s3.root), "a")

    def test_a_server_that_is_not_there(self, s3, settings, impatient):
        settings({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"})
        with pytest.raises(BucketUnreachable, match=f"{s3.url}/a: the server cannot be reached"):
            read(bucket_of(s3.root), "a")

    def test_plain_http_is_for_an_address_that_the_user_has_set(self, settings, impatient):
        settings({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "https://127.0.0.1:1"})
        with pytest.raises(BucketUnreachable):
            read(Bucket("s3://bucket"), "a")

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_a_server_with_too_much_to_do_is_asked_again(self, proxied, status):
        cloud, proxy = proxied
        proxy.reset(lambda request: Fault(status=status) if request.number <= 2 else PASSED)
        bucket = bucket_of(cloud.root)
        bucket.create("a", b"content")
        proxy.reset(lambda request: Fault(status=status) if request.number <= 2 else PASSED)
        assert read(bucket, "a")[0] == b"content"
        assert len(proxy.requests) == 3

    def test_a_server_that_has_too_much_to_do_for_too_long(self, impatient, proxied):
        cloud, proxy = proxied
        proxy.reset(lambda request: Fault(status=503))
        for ask in (partial(read, bucket_of(cloud.root)), bucket_of(cloud.root).names):
            with pytest.raises(BucketUnreachable, match="overloaded or has a fault"):
                ask("a")

    def test_a_server_that_does_not_answer(self, impatient, proxied):
        cloud, proxy = proxied
        proxy.reset(lambda request: Fault(seconds=3))
        with pytest.raises(BucketUnreachable, match="cannot be reached"):
            read(bucket_of(cloud.root), "a")

    def test_an_answer_that_is_cut_short_is_asked_for_again(self, proxied):
        cloud, proxy = proxied
        bucket = bucket_of(cloud.root)
        bucket.create("a", b"0123456789" * 1000)
        proxy.reset(lambda request: Fault(keeps=5000) if request.number == 1 else PASSED)
        assert read(bucket, "a")[0] == b"0123456789" * 1000
        proxy.reset(lambda request: Fault(keeps=50) if request.number == 1 else PASSED)
        assert bucket.read_range("a", 100, 200, bucket.head("a").etag) == b"0123456789" * 10

    def test_a_listing_and_a_removal_whose_answers_break_off_are_asked_for_again(self, proxied):
        cloud, proxy = proxied
        bucket = bucket_of(cloud.root)
        bucket.create("a", b"")
        for ask in (lambda: [*bucket.list()], bucket.names, lambda: bucket.delete(["a"])):
            proxy.reset(lambda request: Fault(keeps=10) if request.number <= 2 else PASSED)
            ask()
            assert len(proxy.requests) == 3
        proxy.reset(lambda request: Fault(keeps=10))
        with pytest.raises(BucketUnreachable, match="break off"):
            bucket.names()

    def test_an_object_that_is_replaced_behind_a_cut_answer_is_read_whole(self, proxied):
        cloud, proxy = proxied
        bucket = bucket_of(cloud.root)
        version = bucket.create("a", b"0123456789" * 1000)

        def replacing(request):
            if request.number == 1:
                return Fault(keeps=5000)
            if request.number == 2 and request.method == "GET":
                bucket.replace("a", b"abcdefghij" * 1000, version)
            return PASSED

        proxy.reset(replacing)
        content, found = read(bucket, "a")
        assert (content, found.version) == (b"abcdefghij" * 1000, bucket.head("a").version)

    def test_a_write_that_did_not_arrive_is_sent_again(self, proxied):
        cloud, proxy = proxied
        proxy.reset(lambda request: CUT if request.number == 1 else PASSED)
        bucket_of(cloud.root).create("a", b"content")
        assert read(bucket_of(cloud.root), "a")[0] == b"content"

    def test_a_write_whose_answer_is_lost_is_sent_again_and_meets_itself(self, proxied):
        cloud, proxy = proxied
        bucket = bucket_of(cloud.root)
        proxy.reset(lambda request: SWALLOWED if request.number == 1 else PASSED)
        with pytest.raises(FileExistsError):
            bucket.create("a", b"content")
        content, found = read(bucket, "a")
        assert content == b"content"
        proxy.reset(lambda request: SWALLOWED if request.number == 1 else PASSED)
        with pytest.raises(ObjectChanged):
            bucket.replace("a", b"another", found.version)
        assert read(bucket, "a")[0] == b"another"
