"""The page at `/`: for a browser, behind the token, with its state in the address."""

import base64
import threading

import pytest

from tests.report.test_page import Page
from tests.service.conftest import EXAMPLE, running


def basic(password, name="anybody"):
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    with running(tmp_path_factory.mktemp("guarded") / "store", token="s3:cret") as service:
        yield service


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    with running(tmp_path_factory.mktemp("filled") / "store", flush_seconds=3600) as service:
        service.post(EXAMPLE)
        service.flush()
        yield service


def totals_of(answer):
    (total,) = Page(answer.text).all("p", "data-tx")
    return [int(total[name]) for name in ("data-tx", "data-rx", "data-flows")]


def test_the_newest_hour_is_shown(filled):
    answer = filled.ask("GET", "/")
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert totals_of(answer) == [200, 1000, 2]


def test_the_address_chooses(filled):
    assert totals_of(filled.ask("GET", "/?when=1&until=3")) == [600, 2400, 5]
    assert totals_of(filled.ask("GET", "/?when=1&until=3&app=&src_app=f*&dest_app=")) == [300, 900, 2]
    assert totals_of(filled.ask("GET", "/?when=1&until=3&app=qux&vpc_id=vpc-1")) == [100, 500, 1]
    assert "No totals of these hours pass the filters" in filled.ask("GET", "/?when=1&app=no").text


def test_the_links_lead_to_pages(filled):
    links = {link["href"] for link in Page(filled.ask("GET", "/?when=1&until=3").text).all("a", "href")}
    assert "?when=1970-01-01T02&until=" not in links
    assert any("src_app=foo&dest_app=bar" in link for link in links)
    for link in links:
        assert filled.ask("GET", f"/{link}").status == 200


def test_the_browser_may_show_it_and_nothing_else(filled):
    policy = filled.ask("GET", "/").headers["content-security-policy"]
    for part in ("default-src 'none'", "style-src 'unsafe-inline'", "form-action 'self'", "frame-ancestors 'none'"):
        assert part in policy
    assert "script-src" not in policy


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("when=x", "the hour 'x' is neither"),
        ("when=20261124", "looks like a date"),
        ("when=3&until=2", "until (2) must be later than hour (3)"),
        ("when=1&when=2", "when must be there once"),
        ("hour=1", "there is no choice 'hour'"),
        ("app=%ff", "app must be valid UTF-8"),
        ("when=%3Cscript%3E%ff", "the hour '<script>"),
    ],
)
def test_a_wrong_choice_is_told_on_a_page(filled, query, told):
    answer = filled.ask("GET", f"/?{query}")
    page = Page(answer.text)
    assert (answer.status, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert told in page.text
    assert page.all("form")
    assert not page.all("script")


def test_what_waits_in_the_log_is_told(service):
    service.post(EXAMPLE)
    assert "5 acknowledged records wait" in service.ask("GET", "/").text
    service.flush()
    assert "acknowledged records wait" not in service.ask("GET", "/").text


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wrong"),
        basic(""),
        {"Authorization": "Basic !"},
        {"Authorization": "Basic"},
        {"Authorization": "Bearer no"},
    ],
)
def test_without_the_token_the_browser_is_told_to_ask_for_it(guarded, headers):
    answer = guarded.ask("GET", "/", headers=headers.items())
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="flowlog"')


def test_the_token_is_the_password_or_the_bearer(guarded):
    for headers in (basic("s3:cret"), {"Authorization": "Bearer s3:cret"}):
        assert guarded.ask("GET", "/", headers=headers.items()).status == 200


def test_other_paths_take_no_password_which_browsers_send_by_themselves(guarded):
    answer = guarded.ask("GET", "/metrics", headers=basic("s3:cret").items())
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_too_many_rows_for_a_page_are_told_with_the_command(filled, monkeypatch):
    monkeypatch.setattr("pipeline.service.limits.ANSWERS_BYTES", 1000)
    answer = filled.ask("GET", "/?when=1&until=3")
    assert answer.status == 400
    assert "flowlog report 1 --until 3 --store" in answer.text


def test_while_a_page_is_made_healthz_answers(filled, monkeypatch):
    started, released = threading.Event(), threading.Event()

    def slow(*_):
        started.set()
        released.wait()
        raise OSError

    monkeypatch.setattr("pipeline.service.page.figures_of", slow)
    asking = threading.Thread(target=filled.ask, args=("GET", "/"))
    asking.start()
    try:
        assert started.wait(60)
        assert filled.ask("GET", "/healthz").status == 200  # before the page is done
    finally:
        released.set()
        asking.join()


def test_a_medium_that_does_not_answer_in_time_is_no_lack_of_room(filled, monkeypatch):
    def late(*_):
        raise TimeoutError

    monkeypatch.setattr("pipeline.service.page.figures_of", late)
    answer = filled.ask("GET", "/")
    assert (answer.status, "too many" in answer.text) == (500, False)


def test_a_page_gives_its_room_back(filled):
    for query in ("", "?when=x", "?when=1&until=3"):
        filled.ask("GET", f"/{query}")
    assert filled.app.answers.used == 0
