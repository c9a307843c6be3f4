"""Under which names a service may be asked where it listens on more than loopback; `test_edge` has loopback."""

import socket

import pytest

from pipeline.errors import UsageError
from pipeline.service.hosts import Hosts
from pipeline.service.server import ServeOptions


def allows(hosts, *names):
    return [hosts.allows(name.encode()) for name in names]


def test_without_a_token_no_name_that_a_page_can_have():
    hosts = Hosts("0.0.0.0", "0.0.0.0", (), has_token=False)
    assert all(
        allows(hosts, "10.1.2.3:3000", "[2001:db8::1]:3000", "localhost", "flowlog", "flowlog:3000", socket.gethostname())
    )
    assert not any(allows(hosts, "evil.example", "flowlog.example:3000", "1.2.3.4.evil.example"))


def test_with_a_token_any_name_since_no_page_knows_it():
    hosts = Hosts("0.0.0.0", "0.0.0.0", (), has_token=True)
    assert all(allows(hosts, "flows.example", "10.1.2.3"))
    assert hosts.allows_origin(b"https://flows.example", b"flows.example")


def test_who_says_which_names_means_these_even_with_a_token():
    hosts = Hosts("0.0.0.0", "0.0.0.0", ("flows.example",), has_token=True)
    assert allows(hosts, "flows.example:443", "evil.example") == [True, False]


def test_a_token_opens_no_loopback():
    assert not any(allows(Hosts("127.0.0.1", "127.0.0.1", (), has_token=True), "evil.example"))


def test_the_name_that_it_listens_on_is_its_own():
    assert all(allows(Hosts("10.1.2.3", "flows.example", (), has_token=False), "flows.example:3000"))


def test_a_star_allows_all():
    hosts = Hosts("127.0.0.1", "127.0.0.1", ("*",), has_token=False)
    assert all(allows(hosts, "evil.example", "x"))
    assert hosts.allows_origin(b"http://evil.example", b"localhost")


def test_a_page_of_another_address_is_no_own_page():
    hosts = Hosts("0.0.0.0", "0.0.0.0", (), has_token=False)
    assert hosts.allows_origin(b"http://10.1.2.3:3000", b"10.1.2.3:3000")
    assert not hosts.allows_origin(b"http://10.9.9.9", b"10.1.2.3:3000")
    assert not hosts.allows_origin(b"http://localhost", b"10.1.2.3:3000")


@pytest.mark.parametrize("name", ["", "a b", "flows.example:3000", "http://flows.example", "*.example"])
def test_what_is_no_name_is_a_users_error(name):
    with pytest.raises(UsageError, match="must be a name"):
        ServeOptions(allowed_hosts=(name,))


@pytest.mark.parametrize("name", ["*", "flows.example", "10.1.2.3", "[::1]", "x_y"])
def test_what_is_one_is_none(name):
    ServeOptions(allowed_hosts=(name,))
