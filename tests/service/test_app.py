"""HTTP: the contract's answers, and what HTTP itself asks for."""

import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.service import body, limits
from tests.service.conftest import EXAMPLE, JSON, record, running, wait_until


def plain(answer):
    """What is wrong, and that it is plain text."""
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.status, answer.text


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    with running(tmp_path_factory.mktemp("narrow") / "store", max_body=1000) as service:
        yield service


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with running(tmp_path_factory.mktemp("guarded") / "store", token="s3cret") as service:
        yield service


class TestTheExample:
    def test_gives_the_sums_of_each_hour(self, service):
        answer = service.post(EXAMPLE)
        assert (answer.status, answer.body) == (200, b"")
        assert service.get(hour=1) == [
            record(1, src_app="baz", dest_app="qux", vpc_id="vpc-0", bytes_tx=100, bytes_rx=500),
            record(1, src_app="foo", dest_app="bar", vpc_id="vpc-0", bytes_tx=300, bytes_rx=900),
        ]
        assert service.get(hour=2) == [
            record(2, src_app="baz", dest_app="qux", vpc_id="vpc-0", bytes_tx=100, bytes_rx=500),
            record(2, src_app="baz", dest_app="qux", vpc_id="vpc-1", bytes_tx=100, bytes_rx=500),
        ]
        assert service.get(hour=3) == []

    def test_the_six_fields_stand_in_the_contracts_order(self, service):
        service.post(EXAMPLE)
        assert [list(total) for total in service.get(hour=1)] == [list(body.NAMES)] * 2


class TestPost:
    def test_the_whole_array_is_refused_if_one_record_is_bad(self, shared):
        answer = shared.post([record(100), record(100, bytes_tx=0)])
        assert plain(answer) == (400, "The bytes_tx value must be positive")
        assert shared.get(hour=100) == []

    @pytest.mark.parametrize(
        ("body", "text"),
        [
            (b"", "Missing request data"),
            (b"null", "Missing request data"),
            (b"[]", "No flowlog found"),
            (b'[{"src_app": 5}]', "The src_app value must be a string"),
            (
                b'[{"src_app": "a", "dest_app": "b", "vpc_id": "c", "bytes_tx": 5.0}]',
                "The bytes_tx value must be an integer",
            ),
        ],
    )
    def test_the_contracts_words(self, shared, body, text):
        assert plain(shared.post(body)) == (400, text)

    def test_a_post_without_anything_at_all(self, shared):
        assert plain(shared.ask("POST", "/flows")) == (400, "Missing request data")

    def test_problem_json_has_every_problem_with_its_record(self, shared):
        answer = shared.post([record(), record(src_app="", hour=0), 5], Accept="application/problem+json")
        assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
        assert answer.json == {
            "type": "about:blank",
            "title": "Bad Request",
            "status": 400,
            "detail": "The src_app value must be a string",
            "errors": [
                {"record": 1, "field": "src_app", "detail": "The src_app value must be a string"},
                {"record": 1, "field": "hour", "detail": "The hour value must be positive"},
                {"record": 2, "detail": "The record must be a JSON object"},
            ],
        }

    def test_of_many_problems_some_are_told_and_of_the_rest_how_many(self, shared):
        answer = shared.post([{}] * 1000, Accept="application/problem+json")
        assert (answer.status, len(answer.json["errors"]), answer.json["more"]) == (400, 100, 5900)
        assert len(answer.body) < 20_000

    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("*/*", "text/plain; charset=utf-8"),
            ("text/html, APPLICATION/problem+json;q=0.5", "application/problem+json"),
            ("application/problem+json;q=0", "text/plain; charset=utf-8"),
            (",;", "text/plain; charset=utf-8"),
        ],
    )
    def test_accept_chooses(self, shared, accept, content_type):
        assert shared.post([], Accept=accept).headers["content-type"] == content_type

    @pytest.mark.parametrize(
        "headers",
        [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": ""}],
    )
    def test_415_for_what_is_not_json(self, shared, headers):
        body = json.dumps([record(101)]).encode()
        assert plain(shared.ask("POST", "/flows", body, headers)) == (415, "The request data must be application/json")
        assert shared.get(hour=101) == []

    def test_415_for_an_encoded_body(self, shared):
        assert shared.post([record(101)], Content_Encoding="gzip").status == 415

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "APPLICATION/JSON"])
    def test_json_by_other_spellings(self, shared, content_type):
        body = json.dumps([record(102)]).encode()
        assert shared.ask("POST", "/flows", body, {"Content-Type": content_type}).status == 200

    def test_a_chunked_body(self, shared):
        whole = json.dumps([record(103)] * 3000).encode()
        pieces = (whole[start : start + 70_000] for start in range(0, len(whole), 70_000))
        assert shared.ask("POST", "/flows", pieces, JSON).status == 200
        assert shared.get(hour=103) == [record(103, bytes_tx=3000, bytes_rx=6000)]


class TestLimits:
    def test_413_for_a_long_body_that_says_so_and_one_that_does_not(self, narrow):
        body = json.dumps([record()] * 100).encode()
        for sent in (body, iter([body[:900], body[900:]])):
            assert plain(narrow.ask("POST", "/flows", sent, JSON)) == (413, "The request data must have at most 1000 bytes")
        assert narrow.post([record(5)]).status == 200
        assert narrow.get(hour=1) == []

    def test_413_for_who_asks_before_sending(self, narrow):
        with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
            connection.sendall(
                b"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
                b"content-length: 1001\r\nexpect: 100-continue\r\n\r\n"
            )
            answer = connection.recv(10_000)
        assert answer.startswith(b"HTTP/1.1 413 ")
        assert b"connection: close" in answer

    def test_the_connection_goes_on_behind_a_413(self, narrow):
        long = (
            b"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 2000\r\n\r\n"
            + b" " * 2000
        )
        with socket.create_connection(("127.0.0.1", narrow.port)) as connection:
            connection.sendall(long + b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answers = b"".join(iter(lambda: connection.recv(10_000), b""))
        assert answers.startswith(b"HTTP/1.1 413 ")
        assert answers.endswith(b"\r\n\r\nok\n")

    def test_413_for_too_many_records(self, shared, monkeypatch):
        monkeypatch.setattr(body, "MAX_RECORDS", 2)
        assert shared.post([record(104)] * 3).status == 413
        assert shared.get(hour=104) == []

    def test_long_bodies_wait_for_each_other_and_are_refused_when_that_takes_too_long(self, shared, monkeypatch):
        monkeypatch.setattr(limits, "SMALL_BODY_BYTES", 1000)
        monkeypatch.setattr(limits, "ROOM_SECONDS", 0.3)
        monkeypatch.setattr(shared.app.bodies, "_size", 20_000)
        body = json.dumps([record(104)] * 200).encode()
        head = f"POST /flows HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        chunked = head.replace(f"content-length: {len(body)}", "transfer-encoding: chunked")

        def begun(head, start):
            connection = socket.create_connection(("127.0.0.1", shared.port), timeout=20)
            connection.sendall(head.encode() + start)
            return connection

        with begun(head, body[:11_000]) as first:
            wait_until(lambda: shared.app.bodies.used == 11_000)
            assert shared.post([record(105)]).status == 200  # a small one needs no room
            with begun(head, body[:11_000]) as refused:
                answer = refused.recv(1000)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: 5\r\n" in answer
            monkeypatch.setattr(limits, "ROOM_SECONDS", 30)
            start = b"%x\r\n%b\r\n" % (11_000, body[:11_000])
            with begun(head, body[:11_000]) as second, begun(chunked, start) as third:
                wait_until(lambda: len(shared.app.bodies._waiting) == 2)
                first.sendall(body[11_000:])
                second.sendall(body[11_000:])
                third.sendall(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body) - 11_000, body[11_000:]))
                for connection in (first, second, third):
                    assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        wait_until(lambda: shared.app.bodies.used == 0)
        assert shared.get(hour=104) == [record(104, bytes_tx=600, bytes_rx=1200)]

    def test_where_all_wait_for_room_the_oldest_goes_on(self, shared, monkeypatch):
        monkeypatch.setattr(limits, "SMALL_BODY_BYTES", 1000)
        monkeypatch.setattr(shared.app.bodies, "_size", 8_000)
        body = json.dumps([record(107)] * 200).encode()
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(shared.ask, "POST", "/flows", iter([body[:6000], body[6000:]]), JSON) for _ in range(20)]
            assert [answer.result().status for answer in waiting] == [200] * 20
        wait_until(lambda: shared.app.bodies.used == 0)
        assert shared.get(hour=107)[0]["bytes_tx"] == 4000

    def test_an_hours_bytes_stay_within_64_bits_whatever_comes(self, service):
        large = [record(bytes_tx=2**53 - 1, bytes_rx=2**53 - 1, src_app=f"a{number}") for number in range(100)]
        answers = [service.post(large) for _ in range(7)]
        assert [answer.status for answer in answers] == [200] * 5 + [400] * 2
        assert answers[-1].text == "The sum of the bytes of hour 1 must fit into 64 bits"
        assert service.post([record(2, bytes_tx=2**53 - 1)]).status == 200
        service.flush()
        assert service.post(large).status == 400
        assert service.post([record(3)]).status == 200
        assert service.get(hour=1, src_app="a7") == [
            record(src_app="a7", bytes_tx=5 * (2**53 - 1), bytes_rx=5 * (2**53 - 1)),
        ]


class TestGet:
    @pytest.mark.parametrize(
        ("question", "text"),
        [
            ("", "Missing hour parameter in the request query_params"),
            ("?src_app=a", "Missing hour parameter in the request query_params"),
            ("?hour=", "The hour value must be an integer"),
            ("?hour=1.0", "The hour value must be an integer"),
            ("?hour=one", "The hour value must be an integer"),
            ("?hour=%D9%A1", "The hour value must be an integer"),
            ("?hour=+1", "The hour value must be an integer"),
            ("?hour=0", "The hour value must be positive"),
            ("?hour=-3", "The hour value must be positive"),
            ("?hour=9223372036854775808", "The hour value must fit into 64 bits"),
            ("?hour=" + "9" * 5000, "The hour value must fit into 64 bits"),
            ("?hour=5&until=x", "The until value must be an integer"),
            ("?hour=5&until=0", "The until value must be positive"),
            ("?hour=5&until=5", "The until value must be larger than the hour value: it is the first hour left out"),
            ("?hour=1&hour=2", "The hour value must be there once"),
            ("?hour=1&src_app=%FF", "The src_app value must be valid UTF-8"),
            ("?hour=1&src=a", "The parameters are hour, until, src_app, dest_app, vpc_id; there is no 'src'"),
        ],
    )
    def test_400_in_the_contracts_words(self, shared, question, text):
        assert plain(shared.ask("GET", f"/flows{question}")) == (400, text)

    def test_an_unknown_hour_is_an_empty_array(self, shared):
        answer = shared.ask("GET", "/flows?hour=9223372036854775807")
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, "application/json", b"[]")

    @pytest.mark.parametrize("flushed", [False, True])
    def test_filters_and_ranges(self, service, flushed):
        service.post([*EXAMPLE, record(4, src_app="é")])
        if flushed:
            service.flush()
        assert [total["hour"] for total in service.get(hour=1, until=5)] == [1, 1, 2, 2, 4]
        assert [total["hour"] for total in service.get(hour=2, until=4)] == [2, 2]
        assert [total["src_app"] for total in service.get(hour=1, src_app="foo")] == ["foo"]
        assert [total["vpc_id"] for total in service.get(hour=1, until=9, dest_app="qux", vpc_id="vpc-1")] == ["vpc-1"]
        assert service.get(hour=4, src_app="é") == [record(4, src_app="é")]
        assert service.get(hour=1, src_app="nobody") == []
        assert service.get(hour=1, src_app="") == []

    def test_it_is_sorted_by_key_and_comes_in_pieces_when_it_is_long(self, service, monkeypatch):
        monkeypatch.setattr("pipeline.service.limits.PIECE_ROWS", 10)
        names = [f"{chr(65 + number * 7 % 26)}{number}" for number in range(95)]
        service.post([record(src_app=name) for name in names] + [record(2, src_app=name) for name in names])
        answer = service.ask("GET", "/flows?hour=1&until=3")
        assert answer.headers["transfer-encoding"] == "chunked"
        assert [(total["hour"], total["src_app"]) for total in answer.json] == [
            (hour, name) for hour in (1, 2) for name in sorted(names)
        ]
        service.flush()
        assert service.ask("GET", "/flows?hour=1&until=3").body == answer.body

    def test_head_is_get_without_a_body(self, shared):
        shared.post([record(106)])
        head, get = (shared.ask(method, "/flows?hour=106") for method in ("HEAD", "GET"))
        assert (head.status, head.body) == (200, b"")
        assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.body))


class TestOtherPathsAndMethods:
    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
    def test_405_says_what_is_allowed(self, shared, method):
        if method != "BREW":  # the parser of HTTP does not know it
            answer = shared.ask(method, "/flows")
            assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert shared.ask(method, "/healthz").status in (400, 405)

    @pytest.mark.parametrize("path", ["/flows/", "/flow", "/flows/1", "//flows", "/FLOWS", "/redoc"])
    def test_404(self, shared, path):
        assert plain(shared.ask("GET", path)) == (404, "Not Found")
        answer = shared.ask("GET", path, headers={"Accept": "application/problem+json"})
        assert answer.json == {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "Not Found"}

    def test_healthz(self, shared):
        assert plain(shared.ask("GET", "/healthz")) == (200, "ok\n")

    def test_docs(self, shared):
        assert shared.ask("GET", "/docs").status == 200
        assert "/flows" in shared.ask("GET", "/openapi.json").json["paths"]

    def test_metrics(self, service):
        service.post(EXAMPLE)
        service.post([])
        service.ask("GET", "/nope")
        answer = service.ask("GET", "/metrics")
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert 'flowlog_requests_total{method="POST",status="200"} 1\n' in answer.text
        assert 'flowlog_requests_total{method="POST",status="400"} 1\n' in answer.text
        assert 'flowlog_requests_total{method="GET",status="404"} 1\n' in answer.text
        numbers = dict(line.split() for line in answer.text.splitlines() if not line.startswith("#") and "{" not in line)
        assert {name: numbers[name] for name in numbers if "seconds" not in name and "bytes" not in name} == {
            "flowlog_records_total": "5",
            "flowlog_log_syncs_total": "1",
            "flowlog_moved_segments_total": "0",
            "flowlog_moved_records_total": "0",
            "flowlog_move_failing": "0",
            "flowlog_pending_records": "5",
        }
        service.flush()
        numbers = dict(line.rsplit(" ", 1) for line in service.ask("GET", "/metrics").text.splitlines())
        assert numbers["flowlog_moved_records_total"] == "5"
        assert numbers["flowlog_pending_bytes"] == numbers["flowlog_pending_records"] == "0"


class TestToken:
    @pytest.mark.parametrize(
        "given", [None, "", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cret2", "Basic s3cret", "s3cret"]
    )
    @pytest.mark.parametrize(("method", "path"), [("POST", "/flows"), ("GET", "/flows?hour=1"), ("GET", "/metrics")])
    def test_401_without_it(self, guarded, given, method, path):
        headers = JSON | ({} if given is None else {"Authorization": given})
        answer = guarded.ask(method, path, b"[]" if method == "POST" else None, headers)
        assert plain(answer) == (401, "A bearer token is needed")
        assert answer.headers["www-authenticate"] == "Bearer"

    @pytest.mark.parametrize("scheme", ["Bearer", "bearer", "Bearer "])
    def test_with_it(self, guarded, scheme):
        headers = {"Authorization": f"{scheme} s3cret"}
        assert guarded.post([record()], **headers).status == 200
        for path in ("/flows?hour=1", "/metrics"):
            assert guarded.ask("GET", path, headers=headers).status == 200

    @pytest.mark.parametrize("path", ["/healthz", "/docs", "/openapi.json"])
    def test_what_has_no_data_is_open(self, guarded, path):
        assert guarded.ask("GET", path).status == 200
