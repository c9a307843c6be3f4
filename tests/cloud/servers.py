"""Real servers of buckets on this machine: SeaweedFS, which speaks S3, and Azurite, which speaks Azure's language.

The processes of a test run share one of each. The first that asks starts it, through a keeper; whoever uses it holds a shared
lock as long as the process lives; the keeper waits for a lock of its own, and stops the server when nobody is left, however the
others ended.

    python -m tests.cloud.servers seaweed|azurite FOLDER      (the keeper)
"""

import base64
import fcntl
import hashlib
import hmac
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

ROOT = Path(__file__).parent.parent.parent
SECONDS_TO_START = 60

#: Who may ask SeaweedFS, and for what: the least that a reader and a driver of the bucket `least` need.
IDENTITIES = {
    "admin": ["Admin", "Read", "Write", "List"],
    "driver": ["Read:least", "List:least", "Write:least"],
    "reader": ["Read:least", "List:least"],
    "stranger": ["Read:elsewhere"],
}
#: Azurite's only account, with the key that its documentation names.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def weed():
    """The program of SeaweedFS, if it is here."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def azurite():
    """The program of Azurite, if it is here."""
    beside = ROOT / ".venv" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    return str(beside) if beside.exists() else shutil.which("azurite-blob")


def free_ports(count):
    """Ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def start_seaweed(folder):
    """Starts SeaweedFS; gives the process and its ports: S3's, and the filer's, where a folder of `/buckets` is a bucket."""
    identities = [
        {"name": name, "credentials": [{"accessKey": name, "secretKey": f"{name}-secret"}], "actions": actions}
        for name, actions in IDENTITIES.items()
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    services = ("master", "volume", "filer", "s3")
    names = [f"{service}.port{kind}" for service in services for kind in ("", ".grpc")]
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    settings = {
        **ports,
        "dir": folder,
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.config": folder / "s3.json",
        "s3.autoCreateBucket": "false",
        "s3.iam": "false",
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "filer.saveToFilerLimit": 100_000,  # what is smaller needs no volume, which takes a while to make
        "filer.localSocket": folder / "filer.sock",
        "s3.localSocket": folder / "s3.sock",
        "master.volumeSizeLimitMB": 64,
        "master.telemetry": "false",
        "volume.max": 1000,  # each bucket has its own
        "volume.preStopSeconds": 0,
        "volume.minFreeSpacePercent": 0,
    }
    command = [weed(), "server", "-filer", "-s3", *(f"-{name}={value}" for name, value in settings.items())]
    one_volume = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}  # for a bucket, instead of seven
    return start(command, folder, one_volume), {"port": ports["s3.port"], "filer": ports["filer.port"]}


def start_azurite(folder):
    """Starts Azurite; gives the process and its port."""
    (port,) = free_ports(1)
    switches = ["--silent", "--skipApiVersionCheck", "--disableTelemetry"]
    command = [azurite(), "--blobHost", "127.0.0.1", "--blobPort", str(port), "--location", str(folder), *switches]
    return start(command, folder), {"port": port}


def start(command, folder, environment=None):
    own = {**os.environ, **(environment or {})}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder, env=own)


STARTS = {"seaweed": start_seaweed, "azurite": start_azurite}


def answers(port):
    """Whether a server answers, whatever."""
    connection = HTTPConnection("127.0.0.1", port, timeout=1)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


def keep(name, folder):
    """Starts a server, tells where it is, and stops it when no process uses it any more."""
    data = folder / name
    data.mkdir()
    server, where = STARTS[name](data)
    try:
        until = time.monotonic() + SECONDS_TO_START
        while not all(answers(port) for port in where.values()) and time.monotonic() < until and server.poll() is None:
            time.sleep(0.05)
        (folder / f"{name}.new").write_text(json.dumps(where))
        (folder / f"{name}.new").rename(folder / f"{name}.json")
        with (folder / f"{name}.users").open("r") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
    finally:
        server.send_signal(signal.SIGKILL)  # nothing of its data is needed any more
        server.wait()
        shutil.rmtree(data, ignore_errors=True)


def shared(name, folder):
    """Where a server is, as a dictionary of its ports; starts the server if this process is the first that asks.

    The server goes on until this process, and each other that asked, has ended.
    """
    users = os.open(folder / f"{name}.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)  # open until this process ends
    fcntl.flock(users, fcntl.LOCK_SH)
    where = folder / f"{name}.json"
    with (folder / f"{name}.start").open("w") as starting:
        fcntl.flock(starting, fcntl.LOCK_EX)
        if not where.exists():
            command = [sys.executable, "-m", "tests.cloud.servers", name, str(folder)]
            keeper = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, start_new_session=True)
            until = time.monotonic() + SECONDS_TO_START
            while not where.exists():
                if time.monotonic() > until or keeper.poll() is not None:
                    raise RuntimeError(f"{name} did not start; see {folder / name / 'log'}")
                time.sleep(0.05)
            keeper.returncode = 0  # it outlives this process on purpose
    return json.loads(where.read_text())


def make_bucket(filer_port, name):
    """Makes a bucket of SeaweedFS, which is a folder of its filer."""
    with urlopen(Request(f"http://127.0.0.1:{filer_port}/buckets/{name}/", method="POST"), timeout=10):
        pass


def make_container(port, name):
    """Makes a container of Azurite, by a request signed as Azure's documentation of shared keys has it."""
    date = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    headers = {"x-ms-date": date, "x-ms-version": "2021-08-06", "Content-Length": "0"}
    signed = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:2021-08-06\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
    headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/{name}?restype=container"
    with urlopen(Request(url, method="PUT", headers=headers), timeout=10):
        pass


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
