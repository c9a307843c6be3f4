"""The page in a real browser: no request leaves, nothing goes wrong, and the figures that it shows are those of `query`."""

import json
import shutil
import subprocess

import pytest

from pipeline.flowstore import FlowStore
from pipeline.hours import HourRange
from pipeline.report.figures import figures_of
from pipeline.report.page import render
from tests.query.test_query import stored
from tests.report.test_page import FIRST, STRANGE, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
#: What Chromium asks for by itself, were it not told otherwise.
QUIET = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
]


def look_at(page, folder):
    """What the browser has of a page in the end; what it wrote to standard error; what the page asked for but files."""
    command = [
        *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", *QUIET),
        *("--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}"),
        *(f"--log-net-log={folder / 'net.json'}", "--enable-logging=stderr", "--v=0", "--virtual-time-budget=2000"),
        *("--dump-dom", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    text = (folder / "net.json").read_text(encoding="utf-8")
    try:
        log = json.loads(text)
    except ValueError:  # a browser that ends at once may leave the log without its last brackets
        log = json.loads(text.rstrip().rstrip(",") + "]}")
    start = log["constants"]["logEventTypes"]["URL_REQUEST_START_JOB"]
    asked = [event["params"] for event in log["events"] if event["type"] == start and "url" in event.get("params", {})]
    # What the browser asks for by itself, as the time, has no origin; what a page from the disk asks for has the origin "null".
    return done.stdout.decode(), done.stderr.decode(), [one["url"] for one in asked if one["initiator"] != "not an origin"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A store, and its page from the disk in the browser."""
    folder = tmp_path_factory.mktemp("opened")
    rows = [
        (
            FIRST + hour,
            f"{name}{hour % 3}",
            STRANGE[(place + hour) % len(STRANGE)],
            "v",
            10**9 * place + hour,
            7**hour % 10**6,
            hour,
        )
        for hour in range(12)
        for place, name in enumerate(STRANGE)
    ]
    stored(folder / "store", rows)
    store = FlowStore(folder / "store")
    page = folder / "page.html"
    page.write_text(render("a store", figures_of(store, HourRange(FIRST, FIRST + 24))), encoding="utf-8")
    text, errors, asked = look_at(page, folder)
    return store, Page(text), errors, asked


def test_the_console_is_silent(opened):
    assert [line for line in opened[2].splitlines() if "CONSOLE" in line] == []


def test_no_request_leaves(opened):
    assert [url for url in opened[3] if not url.startswith(("file:", "data:"))] == []


def test_a_request_would_be_seen(tmp_path):
    page = tmp_path / "other.html"
    page.write_text('<img src="http://example.invalid/x.png"><script>console.error("seen")</script>')
    _, errors, asked = look_at(page, tmp_path)
    assert "http://example.invalid/x.png" in asked
    assert "seen" in errors


def test_the_figures_are_those_of_query(opened):
    store, page, *_ = opened
    span = {"hour": FIRST, "until": FIRST + 24}
    total = store.page(**span).total
    (shown,) = page.all("p", "data-tx")
    assert sums_of(shown) == (*total,)
    pairs = store.page(**span, by=["src_app", "dest_app"], sort="bytes", most=20)
    mine = [(row["bytes_tx"], row["bytes_rx"], row["flows"]) for row in pairs.rows.to_pylist()]
    rows = [sums_of(attributes) for attributes in page.all("tr", "data-tx")]
    assert [*mine, tuple(pairs.other)] == rows[-len(mine) - 1 :]  # without hours before, the list of new pairs has no rows
    by_hour = {row["hour"]: row["bytes_tx"] + row["bytes_rx"] for row in store.table(**span, by="hour").to_pylist()}
    slots = [(int(slot["data-hour"]), int(slot["data-bytes"])) for slot in page.all("rect", "data-hour")]
    assert slots == 2 * [(hour, by_hour.get(hour, 0)) for hour in range(FIRST, FIRST + 24)]
    assert sum(int(cell["data-bytes"]) for cell in page.all("rect", "data-row")) == total.bytes


def sums_of(attributes):
    return tuple(int(attributes[f"data-{name}"]) for name in ("tx", "rx", "flows"))
