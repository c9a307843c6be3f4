"""A bucket that keeps replaced objects names a version in each answer, beside the ETag; conditions name the ETag alone."""

from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

pytest.importorskip("obstore")

from pipeline.bucket import Bucket


@pytest.fixture
def conditions(monkeypatch):
    """The conditions under which a bucket with versions was asked to write."""
    asked = []

    class Versioned(BaseHTTPRequestHandler):
        def answer(self, content=b"", size=0):
            self.send_response(200)
            for name in ("x-amz-version-id", "x-ms-version-id"):
                self.send_header(name, "a-version")
            self.send_header("ETag", '"an-etag"')
            self.send_header("Last-Modified", "Tue, 24 Nov 2026 08:00:00 GMT")
            self.send_header("Content-Length", str(size or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self):
            self.answer(b"first")

        def do_HEAD(self):
            self.answer(size=5)

        def do_PUT(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.headers["If-Match"])
            self.answer()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Versioned) as server:
        address = f"http://127.0.0.1:{server.server_port}"
        settings = {
            "AWS_ENDPOINT_URL": address,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AZURE_STORAGE_ENDPOINT": address,
            "AZURE_STORAGE_ACCOUNT": "account",
            "AZURE_STORAGE_KEY": "c2VjcmV0",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield asked
        server.shutdown()


@pytest.mark.parametrize("url", ["s3://bucket", "az://bucket"])
def test_an_object_is_replaced_over_its_etag_where_the_bucket_keeps_versions(conditions, url):
    bucket = Bucket(url)
    versions = [bucket.create("a", b"first"), bucket.head("a").version]
    for version in versions:
        bucket.replace("a", b"second", version)
    assert conditions == [None, *2 * ['"an-etag"']]
