"""HTTP as strangers speak it: odd spellings of each path, odd requests, odd hosts. No data without the token, no 500, no traceback."""

import itertools
import json
import re
import socket

import pytest

from tests.service.attacks import heard
from tests.service.conftest import JSON, record, running

SECRET = "classified"
TOKEN = b"authorization: Bearer s3cret\r\n"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with running(tmp_path_factory.mktemp("edge") / "store", token="s3cret", flush_seconds=3600) as service:
        assert service.post([record(src_app=SECRET)], Authorization="Bearer s3cret").status == 200
        yield service


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    options = {"allowed_hosts": ("flows.example", "10.1.2.3"), "flush_seconds": 3600}
    with running(tmp_path_factory.mktemp("named") / "store", **options) as service:
        yield service


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog):
    yield
    assert not [line for line in caplog.records if line.levelname in ("WARNING", "ERROR")]


def hear(port, raw, ends=True):
    """All that is answered to some bytes; `ends` has the client end its side."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(raw)
        if ends:
            connection.shutdown(socket.SHUT_WR)
        return heard(connection)


def statuses(answer):
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def get(target, *headers, method=b"GET", host=b"localhost"):
    return b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"host: " + host, *headers, b"connection: close", b"", b""])


SPELLINGS = [
    b"{}", b"{}?", b"{}?hour=1", b"{}#x", b"{}/", b"{}//", b"/{}", b"//{}", b"/.{}", b"/x/..{}", b"{}/.", b"{}/..", b"{}/x",
    b"{}%0A", b"{}%0a", b"{}%0D%0A", b"{}%00", b"{}%20", b"{};x=1", b"{}%3Bx", b"{}%2F", b"{}%3Fhour=1", b"{}%23", b"{}.json",
    b"http://localhost{}", b"http://localhost/{}", b"HTTP://LOCALHOST{}", b"https://localhost{}?hour=1", b"http://evil.example{}",
    b"http://localhost:1{}?hour=1", b"{}%", b"{}%zz", b"{}\\", b"\\{}", b"{}%C3%A9", b"{}%FF", b"{}..;/",
]  # fmt: skip
PATHS = [b"/flows", b"/metrics", b"/healthz", b"/docs", b"/openapi.json"]
METHODS = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"BREW", b"get", b"PROPFIND", b"PRI"
]  # fmt: skip


def odd_targets():
    for path in PATHS:
        for spelling in SPELLINGS:
            yield spelling.replace(b"{}", path)
        yield path.upper()
        yield path.title()
        yield b"/%" + path[1:2].hex().encode() + path[2:]  # the same path, by RFC 3986
        yield b"/%25" + path[1:2].hex().encode() + path[2:]  # another one
        yield path[1:]
    yield from (
        b"*",
        b"/",
        b"//",
        b"http://localhost",
        b"localhost:80",
        b"/..",
        b"/../flows?hour=1",
        b"/./flows?hour=1",
        b"?hour=1",
    )


class TestSpellings:
    @pytest.mark.parametrize("target", sorted(set(odd_targets())))
    def test_no_path_has_data_without_the_token(self, guarded, target):
        for method, token in itertools.product(METHODS, (False, True)):
            answer = hear(guarded.port, get(target, *([TOKEN.strip()] if token else []), method=method), ends=False)
            (status,) = statuses(answer)
            assert status in (200, 400, 401, 403, 404, 405, 415, 421, 501)
            has_data = SECRET.encode() in answer or b"flowlog_records_total" in answer
            assert token or not has_data
            if status == 200 and not token and method != b"HEAD":
                assert answer.endswith((b"ok\n", b"</p>", b"}"))  # health, the page, the document

    def test_the_same_path_in_other_letters_needs_the_token_too(self, guarded):
        for target in (b"/%66lows?hour=1", b"/flow%73?hour=1", b"http://localhost/flows?hour=1"):
            assert statuses(hear(guarded.port, get(target))) == [401]
            assert SECRET.encode() in hear(guarded.port, get(target, TOKEN.strip()))

    def test_a_line_feed_behind_a_path_makes_it_another(self, guarded):
        for target in (b"/metrics%0A", b"/metrics%0a", b"/metrics%0D", b"/flows%0A?hour=1"):
            assert statuses(hear(guarded.port, get(target))) == [404]

    def test_head_is_get_without_a_body(self, guarded):
        for path in (b"/healthz", b"/docs", b"/openapi.json"):
            head, _, body = hear(guarded.port, get(path, method=b"HEAD")).partition(b"\r\n\r\n")
            _, _, content = hear(guarded.port, get(path)).partition(b"\r\n\r\n")
            assert body == b""
            assert f"content-length: {len(content)}\r\n".encode() in head


POST = b"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n" + TOKEN
BODY = json.dumps([record(9)]).encode()
CHUNK = b"%x\r\n%b\r\n" % (len(BODY), BODY)
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n"


def length(text):
    return b"content-length: " + (text if isinstance(text, bytes) else b"%d" % text) + b"\r\n"


#: Each raw request, and the statuses that are answered to it; where one is 400, the connection is ended.
RAW = {
    "both lengths": (POST + length(len(BODY)) + CHUNKED + b"0\r\n\r\n", [400]),
    "both lengths, the other way": (POST + b"transfer-encoding: chunked\r\n" + length(5) + b"\r\n0\r\n\r\n", [400]),
    "two lengths": (POST + length(5) + length(6) + b"\r\nhello!", [400]),
    "two equal lengths": (POST + length(5) * 2 + b"\r\nhello", [400]),
    "a list of lengths": (POST + length(b"5, 5") + b"\r\nhello", [400]),
    "a negative length": (POST + length(-5) + b"\r\nhello", [400]),
    "a length with a plus": (POST + length(b"+5") + b"\r\nhello", [400]),
    "a hexadecimal length": (POST + length(b"0x5") + b"\r\nhello", [400]),
    "a length with an underscore": (POST + length(b"1_0") + b"\r\nhello", [400]),
    "a length of other digits": (POST + length("\u0665".encode()) + b"\r\nhello", [400]),
    "an empty length": (POST + length(b"") + b"\r\nhello", [400]),
    "a length with a fraction": (POST + length(b"5.0") + b"\r\nhello", [400]),
    "a length beyond 64 bits": (POST + length(2**64) + b"\r\n", [400]),
    "a length of 64 bits": (POST + length(2**64 - 1) + b"\r\n", [413]),
    "a length of zeros": (POST + length(b"0" * 5000) + b"\r\n" + HEALTH, [400, 200]),
    "a length with zeros": (POST + length(b"0" * 50 + b"%d" % len(BODY)) + b"\r\n" + BODY + HEALTH, [200, 200]),
    "a blank before the colon": (POST + b"content-length : 5\r\n\r\nhello", [400]),
    "an unknown encoding": (POST + b"transfer-encoding: gzip\r\n\r\n", [400]),
    "an encoding before chunks": (POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", [501]),
    "chunks before an encoding": (POST + b"transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n", [400]),
    "identity": (POST + b"transfer-encoding: identity\r\n\r\n", [400]),
    "chunks twice": (POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", [400, 501]),
    "chunks in capitals": (POST + b"Transfer-Encoding: CHUNKED\r\n\r\n" + CHUNK + b"0\r\n\r\n", [200]),
    "something like chunks": (POST + b"transfer-encoding: xchunked\r\n\r\n0\r\n\r\n", [400]),
    "a vertical tab before chunked": (POST + b"transfer-encoding: \x0bchunked\r\n\r\n0\r\n\r\n", [400]),
    "good chunks": (POST + CHUNKED + CHUNK + b"0\r\n\r\n", [200]),
    "no chunk": (POST + CHUNKED + b"0\r\n\r\n", [400]),
    "an extension": (POST + CHUNKED + CHUNK.replace(b"\r\n", b";a=b\r\n", 1) + b"0\r\n\r\n", [200]),
    "extensions without end": (POST + CHUNKED + b"1;" + b"a" * 200_000, [400]),
    "a negative chunk": (POST + CHUNKED + b"-1\r\nx\r\n0\r\n\r\n", [400]),
    "a chunk with a plus": (POST + CHUNKED + b"+1\r\nx\r\n0\r\n\r\n", [400]),
    "a chunk with 0x": (POST + CHUNKED + b"0x1\r\nx\r\n0\r\n\r\n", [400]),
    "a huge chunk": (POST + CHUNKED + b"f" * 17 + b"\r\nx", [400]),
    "a chunk of no size": (POST + CHUNKED + b"\r\nx\r\n0\r\n\r\n", [400]),
    "a longer chunk than it says": (POST + CHUNKED + b"1\r\nxyz\r\n0\r\n\r\n", [400]),
    "a bare line feed behind a size": (POST + CHUNKED + b"1\nx\r\n0\r\n\r\n", [400]),
    "a blank before a size": (POST + CHUNKED + b" 1\r\nx\r\n0\r\n\r\n", [400]),
    "a bad trailer": (POST + CHUNKED + CHUNK + b"0\r\na\0b: c\r\n\r\n", [400]),
    "a folded header": (POST + b"x: a\r\n b\r\n" + length(len(BODY)) + b"\r\n" + BODY, [400]),
    "a bare line feed": (POST[:-2] + b"\n" + length(len(BODY)) + b"\r\n" + BODY, [400]),
    "only line feeds": (HEALTH.replace(b"\r", b""), [400]),
    "a bare carriage return": (HEALTH.replace(b"localhost", b"local\rhost"), [400]),
    "NUL in a value": (HEALTH.replace(b"localhost", b"local\0host"), [400]),
    "NUL in a name": (HEALTH.replace(b"host:", b"ho\0st:"), [400]),
    "NUL in the target": (HEALTH.replace(b"/healthz", b"/health\0z"), [400]),
    "a header without a colon": (HEALTH.replace(b"\r\n\r\n", b"\r\nhello\r\n\r\n"), [400]),
    "a header without a name": (HEALTH.replace(b"\r\n\r\n", b"\r\n: x\r\n\r\n"), [400]),
    "bytes beyond ASCII in a name": (HEALTH.replace(b"host:", b"h\xc3\xb6st:"), [400]),
    "bytes beyond ASCII in a value": (HEALTH.replace(b"\r\n\r\n", b"\r\nx: \xff\xfe\r\n\r\n"), [200]),
    "no host": (b"GET /healthz HTTP/1.1\r\n\r\n", [400]),
    "two hosts": (HEALTH.replace(b"\r\n\r\n", b"\r\nhost: localhost\r\n\r\n"), [400]),
    "an empty host": (HEALTH.replace(b"localhost", b""), [400]),
    "two tokens": (POST + TOKEN + length(len(BODY)) + b"\r\n" + BODY, [400]),
    "HTTP/0.9": (b"GET /healthz\r\n\r\n", [400]),
    "HTTP/1.0": (b"GET /healthz HTTP/1.0\r\n\r\n", [200]),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\nhost: localhost\r\n\r\n", [400]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [505]),
    "HTTP/2.0 as a word": (b"GET /healthz HTTP/2.0\r\nhost: localhost\r\n\r\n", [505]),
    "HTTP/9.9": (b"GET /healthz HTTP/9.9\r\nhost: localhost\r\n\r\n", [400]),
    "another protocol": (b"OPTIONS rtsp://localhost/ RTSP/1.0\r\n\r\n", [400]),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)), [400]),
    "SSH": (b"SSH-2.0-OpenSSH_9.9\r\n", [400]),
    "empty lines before": (b"\r\n\r\n\r\n" + HEALTH, [200]),
    "only empty lines": (b"\r\n" * 5000, []),
    "nothing": (b"", []),
    "a blank before": (b" " + HEALTH, [400]),
    "two blanks": (HEALTH.replace(b" /", b"  /"), [400]),
    "a blank at the line's end": (HEALTH.replace(b"1.1\r\n", b"1.1 \r\n", 1), [400]),
    "a blank in the target": (HEALTH.replace(b"/healthz", b"/heal thz"), [400]),
    "three at once": (HEALTH * 3, [200] * 3),
    "many refused at once": (b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n" * 500, [401] * 500),
    "an empty line behind a body": (POST + length(len(BODY)) + b"\r\n" + BODY + b"\r\n" + HEALTH, [200, 200]),
    "one behind chunks": (POST + CHUNKED + CHUNK + b"0\r\n\r\n" + HEALTH, [200]),  # closed, and to be asked again
    "close, and one behind it": (HEALTH.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n") + HEALTH, [200]),
    "a body behind GET": (HEALTH.replace(b"\r\n\r\n", b"\r\ncontent-length: 5\r\n\r\nhello") + HEALTH, [200, 200]),
    "a body that looks like a request": (POST + length(len(HEALTH)) + b"\r\n" + HEALTH, [400]),
    "a body that is refused": (POST.replace(b"s3cret", b"s3cre!") + length(len(HEALTH)) + b"\r\n" + HEALTH * 2, [401, 200]),
    "go on": (POST + b"expect: 100-continue\r\n" + length(len(BODY)) + b"\r\n" + BODY, [100, 200]),
    "another expectation": (POST + b"expect: cake\r\n" + length(len(BODY)) + b"\r\n" + BODY, [200]),
    "go on without a body": (HEALTH.replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"), [200]),
    "a long target": (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n", [414]),
    "a target without end": (b"GET /" + b"a" * 100_000, [414]),
    "a long header": (HEALTH.replace(b"\r\n\r\n", b"\r\nx: " + b"a" * 40_000 + b"\r\n\r\n"), [431]),
    "many headers": (HEALTH.replace(b"\r\n\r\n", b"\r\nx: a" * 101 + b"\r\n\r\n"), [431]),
    "a long target with all its names": (
        b"GET /flows?hour=1&src_app=" + b"%C3%A9" * 1024 + b"&dest_app=" + b"b" * 1024 + b" HTTP/1.1\r\nhost: localhost\r\n" + TOKEN + b"\r\n",
        [200],
    ),
}  # fmt: skip


class TestRawRequests:
    @pytest.mark.parametrize("name", RAW)
    def test_is_answered_once_and_the_connection_is_sane(self, guarded, name):
        raw, expected = RAW[name]
        answer = hear(guarded.port, raw)
        if name == "chunks twice":
            assert statuses(answer) in ([400], [501])
        elif name == "a length of zeros":
            assert statuses(answer) == expected
            assert b"Missing request data" in answer
        else:
            assert statuses(answer) == expected
        assert SECRET.encode() not in answer
        assert hear(guarded.port, HEALTH).endswith(b"ok\n")

    def test_in_single_bytes_all_is_the_same(self, guarded):
        for name in ("good chunks", "a length with zeros", "two lengths", "three at once", "an extension"):
            raw, expected = RAW[name]
            with socket.create_connection(("127.0.0.1", guarded.port), timeout=10) as connection:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for start in range(len(raw)):
                        connection.sendall(raw[start : start + 1])
                except OSError:
                    pass  # it was refused early
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65536), b""))
            assert statuses(answer) == expected, name

    def test_a_key_in_a_trailer_is_none(self, guarded):
        raw = POST + CHUNKED + CHUNK.replace(b'"hour": 9', b'"hour": 8') + b"0\r\nidempotency-key: k\r\n\r\n"
        for _ in range(2):
            assert statuses(hear(guarded.port, raw)) == [200]
        assert guarded.ask("GET", "/flows?hour=8", headers={"Authorization": "Bearer s3cret"}).json[0]["bytes_tx"] == 2

    @pytest.mark.parametrize(
        "more", [b"connection: Upgrade, HTTP2-Settings\r\nhttp2-settings: AAM\r\n", b"connection: upgrade\r\n"]
    )
    @pytest.mark.parametrize("name", [b"upgrade", b"Upgrade"])
    def test_an_offer_to_upgrade_is_served_as_it_is(self, guarded, more, name):
        """As curl --http2 and Java's client send it."""
        raw = POST + more + name + b": h2c\r\n" + length(len(BODY)) + b"\r\n" + BODY + HEALTH
        assert statuses(hear(guarded.port, raw)) == [200, 200]


class TestHosts:
    @pytest.mark.parametrize(
        "host", ["localhost", "LOCALHOST.", "localhost:3000", "127.0.0.1", "127.0.0.1:80", "127.9.9.9", "[::1]:3000"]
    )
    def test_loopback_is_asked_by_its_names(self, shared, host):
        assert shared.ask("GET", "/flows?hour=77", headers={"Host": host}).status == 200

    @pytest.mark.parametrize(
        "host",
        [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1",
            "x",
            "[::2]",
            "0.0.0.0",
            "flows.example",
        ],
    )
    @pytest.mark.parametrize("path", ["/flows?hour=1", "/metrics", "/healthz", "/nope"])
    def test_and_by_no_other(self, shared, host, path):
        answer = shared.ask("GET", path, headers={"Host": host})
        assert answer.status == 421
        assert "--allowed-host" in answer.text
        assert shared.ask("POST", "/flows", json.dumps([record(78)]), JSON | {"Host": host}).status == 421
        assert shared.get(hour=78) == []

    @pytest.mark.parametrize("host", ["a b", "user@localhost", "localhost/x", "localhost:port", "::1", "local,host"])
    def test_what_is_no_host_is_refused(self, shared, host):
        assert shared.ask("GET", "/healthz", headers={"Host": host}).status == 400

    def test_the_target_has_a_say_as_well(self, shared):
        for target, host in (
            (b"http://evil.example/flows?hour=1", b"localhost"),
            (b"http://localhost/flows?hour=1", b"evil.example"),
        ):
            assert statuses(hear(shared.port, get(target, host=host))) == [421]

    def test_others_can_be_allowed(self, named):
        for host in ("flows.example", "Flows.Example:443", "10.1.2.3:3000", "localhost"):
            assert named.ask("GET", "/flows?hour=1", headers={"Host": host}).status == 200
        assert named.ask("GET", "/flows?hour=1", headers={"Host": "x.flows.example"}).status == 421

    @pytest.mark.parametrize(
        ("origin", "status"),
        [
            ("http://localhost:3000", 200), ("http://127.0.0.1", 200), ("https://flows.example", 200), ("http://flows.example:8080", 200),
            ("http://evil.example", 403), ("null", 403), ("", 403), ("file://", 403), ("http://localhost.evil.example", 403),
            ("chrome-extension://abc", 403), ("http://localhost@evil.example", 403), ("http://10.0.0.1", 403),
        ],
    )  # fmt: skip
    def test_pages_of_other_origins_are_refused(self, named, origin, status):
        assert named.ask("GET", "/flows?hour=1", headers={"Origin": origin}).status == status
        assert named.ask("POST", "/flows", json.dumps([record(79)]), JSON | {"Origin": origin}).status == status
